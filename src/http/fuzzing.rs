//! The door for tests that make up their input (tests/fuzz): plain functions into what nobody else may reach.
//!
//! Owns nothing and decides nothing: each function shows one inner part as it is. Built with the feature
//! `fuzzing` only.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use parking_lot::Mutex;

use super::head::{Inspector, Then};
use super::proxy::{Origin, Parsed, Transport};
use super::syntax::plain;
use super::{Front, FrontEnd, Limits, connection, forwarded, protocol, proxy, request, socket};
use crate::config::{Proxies, ProxyProtocol};
use crate::exchange::{Client, Connection, RequestBody, Scheme};
use crate::listener::Stream;

/// Polls after which hyper has certainly read a message that it has whole. Each poll handles a head or a few
/// dozen chunks.
const POLLS: usize = 10_000;

/// What the strict reader makes of a connection's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    pub messages: Vec<Message>,
    /// Status and reason of the refusal that ends the reading.
    pub refusal: Option<(u16, &'static str)>,
}

/// One request whose head was approved.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it begins in the stream, behind empty lines.
    pub start: usize,
    /// What is approved of it.
    pub approved: Vec<u8>,
    /// Where its target is, if hyper is given another.
    pub target: Option<Range<usize>>,
    pub is_whole: bool,
}

/// Shows bytes to the strict reader as the wire does, read by read.
pub fn inspect<'a>(reads: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Inspected {
    let mut inspector = Inspector::new(limits.head());
    let mut found = Inspected::default();
    let mut held = Vec::new();
    let mut at = 0;
    for read in reads {
        held.extend_from_slice(read);
        while !held.is_empty() {
            let seen = inspector.advance(&held);
            held.drain(..seen.skipped);
            at += seen.skipped;
            if seen.opened {
                found.messages.push(Message {
                    start: at,
                    approved: Vec::new(),
                    target: seen.target,
                    is_whole: false,
                });
            }
            let approved = held.drain(..seen.approved);
            at += approved.len();
            if let Some(message) = found.messages.last_mut() {
                message.approved.extend(approved);
                message.is_whole |= seen.then == Then::End;
            }
            match seen.then {
                Then::More => break,
                Then::End => inspector.begin(),
                Then::Refused(refusal) => {
                    found.refusal = Some((refusal.status.as_u16(), refusal.why));
                    return found;
                }
            }
        }
    }
    found
}

/// What hyper makes of one whole message. An error: hyper refuses it, or waits for more.
pub fn parse(message: &Message, limits: &Limits) -> Result<(Parts, Bytes), String> {
    let mut bytes = message.approved.clone();
    if let Some(target) = message.target.clone() {
        if let Some(minor) = bytes.get_mut(target.end + b" HTTP/1.".len())
            && *minor != b'0'
        {
            *minor = b'1';
        }
        let plain = plain(bytes.get(target.clone()).unwrap_or_default());
        bytes.splice(target, plain);
    }
    let read = Mutex::new(None);
    let service = service_fn(async |request: hyper::Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        *read.lock() = Some((parts, body));
        Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
    });
    let mut conversation = pin!(protocol(limits).serve_connection(Memory { unread: &bytes }, service));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        let polled = conversation.as_mut().poll(&mut context);
        if let Some((parts, body)) = read.lock().take() {
            return Ok((parts, body.map_err(|error| format!("{error:?}"))?));
        }
        if let Poll::Ready(ended) = polled {
            return Err(format!("{ended:?}"));
        }
    }
    Err("hyper waits for more".to_owned())
}

/// What is asked of a request that hyper has read, and its headers put right. An error: the refusal's status.
pub fn prepare(parts: &mut Parts, body: Bytes, max_body: Option<u64>) -> Result<(), u16> {
    request::prepare(parts, max_body).map_err(|refusal| refusal.status.as_u16())?;
    request::frame(&mut parts.headers, &RequestBody::Whole(body));
    Ok(())
}

/// What the first bytes of a connection are, where proxies speak the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    Partial,
    Bad,
    Done {
        /// Bytes of the header.
        length: usize,
        /// Source and destination, if the header tells them.
        addresses: Option<(SocketAddr, SocketAddr)>,
        /// The client's own socket was a unix socket.
        is_unix: bool,
        is_tls: bool,
    },
}

/// Reads a PROXY header.
pub fn preface(bytes: &[u8], protocol: ProxyProtocol) -> Preface {
    let (length, origin) = match proxy::parse(bytes, protocol) {
        Parsed::Partial => return Preface::Partial,
        Parsed::Bad(_) => return Preface::Bad,
        Parsed::Done(length, origin) => (length, origin),
    };
    let (addresses, is_unix, transport) = match origin {
        Origin::Peer => (None, false, Transport::Untold),
        Origin::Unix(transport) => (None, true, transport),
        Origin::Inet { source, destination, transport } => (Some((source, destination)), false, transport),
    };
    Preface::Done { length, addresses, is_unix, is_tls: transport == Transport::Tls }
}

/// Whose request it is, as proxies tell it in headers.
pub fn attribute(headers: &mut HeaderMap, connection: Connection, proxies: &Proxies) -> Arc<Connection> {
    forwarded::attribute(headers, Arc::new(connection), proxies)
}

/// A front end whose connections are made by hand.
#[derive(Debug)]
pub struct Door(Arc<Front>);

impl Door {
    pub fn new(front: FrontEnd) -> Self {
        Self(Arc::new(front.front))
    }

    /// One connection's whole life, as if `stream` had been accepted.
    pub fn converse(&self, stream: Stream) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let connection = Connection {
            client: Client::Unix,
            server_name: "localhost".to_owned(),
            server_port: "80".to_owned(),
            scheme: Scheme::Http,
            script_name: String::new(),
        };
        let socket = socket::Socket::new(stream)?;
        Ok(connection::serve(socket, Arc::new(connection), Arc::clone(&self.0)))
    }
}

/// A client that has sent everything and reads everything.
struct Memory<'a> {
    unread: &'a [u8],
}

impl Read for Memory<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = this.unread.split_at(this.unread.len().min(into.remaining()));
        into.put_slice(now);
        this.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
