//! What of a request and its answer goes to the access log.
//!
//! Where there is none, this costs a look. What is begun here the link completes, or drops.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;

use super::Front;
use super::link::Link;
use super::response::Reply;
use crate::access::{Asked, Line};
use crate::exchange::Connection;

/// The request whose answer is awaited, if it is logged.
pub(super) struct Logged(Option<Arc<Link>>);

/// A request has come, or what stands for one that is refused.
pub(super) fn begin<B>(
    request: &Request<B>,
    connection: &Arc<Connection>,
    front: &Front,
    link: &Arc<Link>,
) -> Logged {
    let Some(lines) = &front.access else { return Logged(None) };
    let asked = match link.sent() {
        Err(refused) => Asked::Raw(refused),
        Ok(target) => Asked::Request {
            method: request.method().clone(),
            target: target.unwrap_or_else(|| Bytes::from(request.uri().to_string())),
            version: request.version(),
        },
    };
    let mut line = Line::new(Arc::clone(connection), asked);
    line.kept = link.served().saturating_sub(1);
    link.log(lines.entry(line, request.headers()));
    Logged(Some(Arc::clone(link)))
}

impl Logged {
    /// This is the answer. What it counts on its way is added.
    pub(super) fn answered(&self, reply: &Reply) {
        if let Some(link) = &self.0 {
            let (status, bytes) = (reply.status().as_u16(), reply.body().whole());
            link.note(|line| (line.status, line.bytes) = (Some(status), line.bytes + bytes));
            link.answered(reply.headers(), bytes);
        }
    }
}
