//! From hyper's request to the waist's: what is asked of a request beyond its framing.
//!
//! Pure. Framing, Host and target were checked by [`super::head`] before hyper saw the head.

use hyper::header::{
    CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

use super::refusal::Refusal;
use crate::exchange::RequestBody;

/// Refuses what must be refused before the body is read, and puts the headers right.
pub(super) fn prepare(parts: &mut Parts, max_body: Option<u64>) -> Result<(), Refusal> {
    if let (Some(limit), Some(length)) = (max_body, announced(parts))
        && length > limit
    {
        return Err(TOO_LARGE);
    }
    // RFC 9110 §10.1.1: 100-continue is the only expectation there is. HTTP/1.0 has none.
    if parts.version == Version::HTTP_11 && !parts.headers.get_all(EXPECT).iter().all(is_known) {
        return Err(Refusal::new(
            StatusCode::EXPECTATION_FAILED,
            "the only known expectation is 100-continue",
        ));
    }
    drop_underscores(parts);
    // RFC 9112 §3.2.2: the host of an absolute-form target stands, whatever Host says.
    if parts.uri.scheme().is_some()
        && let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    Ok(())
}

/// Says how the body is framed now that the chunks are gone: RFC 9112 §7.1.3. Who found Transfer-Encoding would
/// decode it again; who goes by Content-Length has one, if the body is there.
pub(super) fn frame(headers: &mut HeaderMap, body: &RequestBody) {
    if headers.remove(TRANSFER_ENCODING).is_none() {
        return;
    }
    headers.remove(TRAILER);
    let length = match body {
        RequestBody::Empty => 0,
        RequestBody::Whole(bytes) => bytes.len(),
        RequestBody::Stream(_) => return,
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

pub(super) const TOO_LARGE: Refusal =
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than --max-body");

/// Whether a list of expectations has nothing but 100-continue, and perhaps empty elements (RFC 9110 §5.6.1).
fn is_known(expectations: &HeaderValue) -> bool {
    expectations
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|one| one.is_empty() || one.eq_ignore_ascii_case(b"100-continue"))
}

fn announced(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// In an environ `X_A` and `X-A` would be the same key, so that a client could set what a proxy believes it
/// controls. Names with an underscore go.
fn drop_underscores(parts: &mut Parts) {
    let has_underscore = |name: &&HeaderName| name.as_str().contains('_');
    while let Some(name) = parts.headers.keys().find(has_underscore).cloned() {
        parts.headers.remove(&name);
    }
}
