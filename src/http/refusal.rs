//! A request that is answered here, without the application.
//!
//! Owns the refusal as a value: status, and why in words a client's author understands.

use hyper::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }

    pub(super) const fn bad_request(why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }
}
