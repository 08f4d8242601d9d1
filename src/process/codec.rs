//! Requests and replies as bytes, and back.
//!
//! What is read was written by the other end, in whose process the application may have written over anything: it is
//! checked as far as the types ask, and nothing here panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use crate::exchange::{BodyError, Client, Connection, Fault, Request, RequestBody, ResponseHead, Scheme};

/// Kinds of frames on a lane, from the server.
pub(super) mod down {
    pub(in crate::process) const REQUEST: u8 = 1;
    /// A part of a request's body, for which the worker has asked.
    pub(in crate::process) const BODY: u8 = 2;
    pub(in crate::process) const BODY_END: u8 = 3;
    pub(in crate::process) const BODY_FAILED: u8 = 4;
    /// A request that is the worker's only if it gets a token for it.
    pub(in crate::process) const AHEAD: u8 = 5;
}

/// And to it.
pub(super) mod up {
    /// A whole response.
    pub(in crate::process) const WHOLE: u8 = 1;
    /// A head and a file, which comes beside it.
    pub(in crate::process) const FILE: u8 = 2;
    /// A head, of which parts follow.
    pub(in crate::process) const START: u8 = 3;
    pub(in crate::process) const PART: u8 = 4;
    pub(in crate::process) const END: u8 = 5;
    /// Instead of a head, or of an end.
    pub(in crate::process) const FAULT: u8 = 6;
    /// Headers ahead of the head.
    pub(in crate::process) const HINT: u8 = 7;
    /// The application reads its request's body.
    pub(in crate::process) const WANT: u8 = 8;
    /// Does anybody still wait for this?
    pub(in crate::process) const PROBE: u8 = 9;
    /// The thread is done with the request, when, and how long that took: the next one may come.
    pub(in crate::process) const DONE: u8 = 10;
    /// There was no token for this one.
    pub(in crate::process) const SKIPPED: u8 = 11;
}

/// What was read makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame")]
pub(super) struct Malformed;

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

/// Contents that are read from their front.
struct Reader(Bytes);

impl Reader {
    fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed)
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16_le().map_err(|_| Malformed)
    }

    fn long(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64_le().map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.0.try_get_u32_le().map_err(|_| Malformed)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        if length > self.0.len() {
            return Err(Malformed);
        }
        Ok(self.0.split_to(length))
    }

    fn string(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| Malformed)
    }

    fn address<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut address = [0; N];
        self.0.try_copy_to_slice(&mut address).map_err(|_| Malformed)?;
        Ok(address)
    }
}

/// Writes a request, but for the contents of a body that is whole: those follow.
pub(super) fn put_request(out: &mut Vec<u8>, request: &Request) {
    text(out, request.method.as_str().as_bytes());
    out.put_u8(match request.version {
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        _ => 11,
    });
    match (request.uri.scheme(), request.uri.authority(), request.uri.path_and_query()) {
        (None, None, Some(path)) => text(out, path.as_str().as_bytes()),
        _ => text(out, request.uri.to_string().as_bytes()),
    }
    out.put_u8(u8::from(request.target.is_some()));
    if let Some(target) = &request.target {
        text(out, target);
    }
    put_connection(out, &request.connection);
    put_headers(out, &request.headers);
    out.put_u8(match request.body {
        RequestBody::Empty => 0,
        RequestBody::Whole(_) => 1,
        RequestBody::Stream(_) => 2,
    });
}

fn put_connection(out: &mut Vec<u8>, connection: &Connection) {
    let start = out.len();
    out.put_u32_le(0);
    let Connection { client, server_name, server_port, scheme, script_name } = connection;
    match client {
        Client::Unix => out.put_u8(0),
        Client::Inet(address, port) => {
            match address {
                IpAddr::V4(address) => {
                    out.put_u8(4);
                    out.put_slice(&address.octets());
                }
                IpAddr::V6(address) => {
                    out.put_u8(6);
                    out.put_slice(&address.octets());
                }
            }
            out.put_u8(u8::from(port.is_some()));
            out.put_u16_le(port.unwrap_or(0));
        }
    }
    out.put_u8(u8::from(*scheme == Scheme::Https));
    for part in [server_name, server_port, script_name] {
        text(out, part.as_bytes());
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(head) = out.get_mut(start..start + 4) {
        head.copy_from_slice(&length.to_le_bytes());
    }
}

/// The connection of the last request, and what it was made of: mostly the next one's.
#[derive(Debug, Default)]
pub(super) struct Known(Option<(Bytes, Arc<Connection>)>);

impl Known {
    fn connection(&mut self, bytes: Bytes) -> Result<Arc<Connection>, Malformed> {
        if let Some((known, connection)) = &self.0
            && *known == bytes
        {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(connection(Reader(bytes.clone()))?);
        // A copy: what it is a slice of may be large.
        self.0 = Some((Bytes::copy_from_slice(&bytes), Arc::clone(&connection)));
        Ok(connection)
    }
}

fn connection(mut from: Reader) -> Result<Connection, Malformed> {
    let address = match from.byte()? {
        0 => None,
        4 => Some(IpAddr::V4(Ipv4Addr::from(from.address::<4>()?))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(from.address::<16>()?))),
        _ => return Err(Malformed),
    };
    let client = match address {
        None => Client::Unix,
        Some(address) => {
            let (is_known, port) = (from.byte()?, from.short()?);
            Client::Inet(address, (is_known == 1).then_some(port))
        }
    };
    let scheme = if from.byte()? == 1 { Scheme::Https } else { Scheme::Http };
    let (server_name, server_port, script_name) = (from.string()?, from.string()?, from.string()?);
    Ok(Connection { client, server_name, server_port, scheme, script_name })
}

/// Whether a request's body comes on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Here,
    OnDemand,
}

/// Reads what [`put_request`] wrote, and the body after it.
pub(super) fn request(contents: Bytes, known: &mut Known) -> Result<(Request, Rest), Malformed> {
    let mut from = Reader(contents);
    let method = Method::from_bytes(&from.bytes()?).map_err(|_| Malformed)?;
    let version = match from.byte()? {
        10 => Version::HTTP_10,
        20 => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let uri = Uri::from_maybe_shared(from.bytes()?).map_err(|_| Malformed)?;
    let target = if from.byte()? == 1 { Some(from.bytes()?) } else { None };
    let connection = known.connection(from.bytes()?)?;
    let headers = headers(&mut from)?;
    let (body, rest) = match from.byte()? {
        0 => (RequestBody::Empty, Rest::Here),
        1 => (RequestBody::Whole(from.0), Rest::Here),
        2 => (RequestBody::Empty, Rest::OnDemand),
        _ => return Err(Malformed),
    };
    Ok((Request { method, uri, target, version, headers, body, connection }, rest))
}

pub(super) fn put_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    out.put_u32_le(u32::try_from(headers.len()).unwrap_or(u32::MAX));
    for (name, value) in headers {
        text(out, name.as_str().as_bytes());
        text(out, value.as_bytes());
    }
}

fn headers(from: &mut Reader) -> Result<HeaderMap, Malformed> {
    let count = from.0.try_get_u32_le().map_err(|_| Malformed)?;
    let count = usize::try_from(count).map_err(|_| Malformed)?.min(from.0.len());
    let mut headers = HeaderMap::try_with_capacity(count).map_err(|_| Malformed)?;
    for _ in 0..count {
        let name = HeaderName::from_bytes(&from.bytes()?).map_err(|_| Malformed)?;
        let value = HeaderValue::from_maybe_shared(from.bytes()?).map_err(|_| Malformed)?;
        headers.try_append(name, value).map_err(|_| Malformed)?;
    }
    Ok(headers)
}

/// Reads what [`put_headers`] wrote.
pub(super) fn hint(contents: Bytes) -> Result<HeaderMap, Malformed> {
    headers(&mut Reader(contents))
}

pub(super) fn put_head(out: &mut Vec<u8>, head: &ResponseHead) {
    out.put_u16_le(head.status.as_u16());
    out.put_u8(u8::from(head.reason.is_some()));
    if let Some(reason) = &head.reason {
        text(out, reason);
    }
    out.put_u16_le(u16::try_from(head.names.len()).unwrap_or(u16::MAX));
    for name in head.names.iter().take(usize::from(u16::MAX)) {
        text(out, name);
    }
    put_headers(out, &head.headers);
}

/// Reads what [`put_head`] wrote. Returns what follows it, too.
pub(super) fn head(contents: Bytes) -> Result<(ResponseHead, Bytes), Malformed> {
    let mut from = Reader(contents);
    let status = StatusCode::from_u16(from.short()?).map_err(|_| Malformed)?;
    let reason = if from.byte()? == 1 { Some(from.bytes()?) } else { None };
    let mut names = Vec::new();
    for _ in 0..from.short()? {
        names.push(from.bytes()?);
    }
    let headers = headers(&mut from)?;
    Ok((ResponseHead { status, reason, headers, names }, from.0))
}

/// When a request was done with, by [`super::clock`], and how many nanoseconds that took.
pub(super) fn done(contents: Bytes) -> Result<(u64, u64), Malformed> {
    let mut from = Reader(contents);
    Ok((from.long()?, from.long()?))
}

/// Offset and length of a file, after its head.
pub(super) fn window(contents: Bytes) -> Result<(u64, u64), Malformed> {
    let mut from = Reader(contents);
    Ok((from.long()?, from.long()?))
}

pub(super) fn put_body_error(out: &mut Vec<u8>, error: &BodyError) {
    let (kind, number) = match error {
        BodyError::ClientLeft => (0, 0),
        BodyError::TooLarge { limit } => (1, *limit),
        BodyError::Timeout { seconds } => (2, *seconds),
        BodyError::Malformed => (3, 0),
    };
    out.put_u8(kind);
    out.put_u64_le(number);
}

pub(super) fn body_error(contents: Bytes) -> Result<BodyError, Malformed> {
    let mut from = Reader(contents);
    let (kind, number) = (from.byte()?, from.long()?);
    match kind {
        0 => Ok(BodyError::ClientLeft),
        1 => Ok(BodyError::TooLarge { limit: number }),
        2 => Ok(BodyError::Timeout { seconds: number }),
        3 => Ok(BodyError::Malformed),
        _ => Err(Malformed),
    }
}

pub(super) fn put_fault(out: &mut Vec<u8>, fault: &Fault) {
    match fault {
        Fault::Client(error) => {
            out.put_u8(0);
            put_body_error(out, error);
        }
        Fault::Application(_) => out.put_u8(1),
        Fault::Overdue => out.put_u8(2),
        Fault::Server(_) => out.put_u8(3),
        Fault::Lost => out.put_u8(4),
    }
}

/// Its words are gone: the log of the other end had them.
pub(super) fn fault(mut contents: Bytes) -> Result<Fault, Malformed> {
    let kind = contents.try_get_u8().map_err(|_| Malformed)?;
    match kind {
        0 => body_error(contents).map(Fault::Client),
        1 => Ok(Fault::Application("failed")),
        2 => Ok(Fault::Overdue),
        3 => Ok(Fault::Server("the worker ended without a response")),
        4 => Ok(Fault::Lost),
        _ => Err(Malformed),
    }
}
