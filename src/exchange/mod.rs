//! The waist: a request going in, a reply coming out. Plain data and channels.
//!
//! Owns what crosses between the front end (async) and the workers (blocking). Knows neither hyper nor
//! Python; imports nothing of ours but the bell.
//! Rules: the async side never blocks, the blocking side never awaits. An unsent [`Reply`] that is dropped
//! is an answer; a dropped [`Answer`] tells the worker that the client is gone.

mod answer;
mod body;
mod outlet;
mod reply;
mod revoker;

pub use answer::{Answer, ChunkReader, Missing};
pub use body::{BodyError, BodyReader, BodySender, ReaderGone, RequestBody, body_channel};
pub use outlet::{Inlet, Outlet};
pub use reply::{
    FileRange, NoReader, Reply, ReplyBody, Response, ResponseBody, ResponseHead, Service, Unsent, Witness,
};
pub use revoker::{Revoked, Revoker, Waited};

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};

/// One request and the obligation to answer it.
#[derive(Debug)]
pub struct Exchange {
    /// Boxed: on its way to a worker it changes hands several times.
    pub request: Box<Request>,
    pub reply: Reply,
}

/// What the client asked, its body whole or still coming.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// The target, with its query percent-encoded where RFC 3986 asks for it.
    pub uri: Uri,
    /// The target as it was sent, where that is not the path and query of `uri`.
    pub target: Option<Bytes>,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: RequestBody,
    pub connection: Arc<Connection>,
}

impl Request {
    /// Lets go of what the client sent: while something refers to a connection's buffer, it is not read into again.
    pub fn let_go(&mut self) {
        self.headers = HeaderMap::new();
        self.uri = Uri::default();
        self.target = None;
        self.body = RequestBody::Empty;
    }
}

/// Who asks, and whom. All requests of one connection share it, but for those of which a trusted proxy says more:
/// each of them has its own.
#[derive(Debug, Clone)]
pub struct Connection {
    pub client: Client,
    /// `SERVER_NAME` and `SERVER_PORT` of PEP 3333, never empty.
    pub server_name: String,
    pub server_port: String,
    pub scheme: Scheme,
    /// `SCRIPT_NAME`: what a proxy in front took from the start of the path. Empty, or `/` and more.
    pub script_name: String,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A proxy may tell the address alone.
    Inet(IpAddr, Option<u16>),
    /// A unix socket's peer has no address.
    Unix,
}

impl Client {
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Inet(address, _) => Some(address),
            Self::Unix => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that an URL without one means.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why an exchange has no proper response: whose fault it is decides what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The client's: 4xx, or the connection closes.
    #[error("client: {0}")]
    Client(#[from] BodyError),
    /// The application's: 500, or an aborted connection when the head is out. Never a clean end.
    #[error("application: {0}")]
    Application(&'static str),
    /// The application's: it has taken too long. 504, or an aborted connection when the head is out.
    #[error("application: it took longer than --timeout")]
    Overdue,
    /// The worker process that had it is gone. 502, or an aborted connection when the head is out.
    #[error("its worker process has ended")]
    Lost,
    /// Ours: the worker ended without an answer.
    #[error("server: {0}")]
    Server(&'static str),
}
