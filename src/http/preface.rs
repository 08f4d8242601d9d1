//! What comes on a connection before its first request, where proxies say who their client is: PROXY protocol.
//!
//! Owns the reading of the header, who may send one, and what is said of connections that are turned away. A
//! connection is aborted, without an answer, unless a whole valid header of a trusted peer is its beginning
//! (proxy-protocol.txt §2): whether there is one is never guessed, since a client could then send it by itself.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Front;
use super::proxy::{Origin, Parsed, Transport, parse};
use super::socket::Socket;
use crate::exchange::{Client, Connection, Scheme};

/// How often a connection that is turned away is told of at level info. 10 s: each is at level debug.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Bytes looked at in one go. Longer headers are the exception.
const PIECE: usize = 512;

/// Reads the PROXY header: the connection as the proxy's client made it. Nothing: the connection is to be dropped.
pub(super) async fn receive(
    socket: &Socket,
    peer: Arc<Connection>,
    front: &Front,
) -> Option<Arc<Connection>> {
    if !front.proxies.trusted.has_peer(peer.client.address()) {
        front
            .turned_away
            .tell(peer.client, "it is not in --forwarded-allow-ips, which --proxy-protocol demands");
        return None;
    }
    match header(socket, front).await {
        Ok(Origin::Peer) => Some(peer),
        Ok(origin) => Some(Arc::new(made_by(origin, Connection::clone(&peer)))),
        Err(Failed::Silently) => {
            tracing::debug!("{} closed without a PROXY header", Named(peer.client));
            None
        }
        Err(Failed::Bad(why)) => {
            front.turned_away.tell(peer.client, why);
            None
        }
    }
}

#[derive(Debug)]
enum Failed {
    /// Before its first byte, as health checks do.
    Silently,
    Bad(&'static str),
}

/// Takes the header off the socket, and not a byte more.
async fn header(socket: &Socket, front: &Front) -> Result<Origin, Failed> {
    let mut held = Vec::new();
    poll_fn(|cx| {
        loop {
            let mut scratch = front.scratch.lock();
            let piece = scratch.get_mut(..PIECE).unwrap_or_default();
            let came = match socket.poll_peek(cx, piece) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(came) => came.unwrap_or(0),
            };
            let before = held.len();
            held.extend_from_slice(piece.get(..came).unwrap_or_default());
            let parsed = match parse(&held, front.proxies.protocol) {
                _ if came == 0 && before == 0 => return Poll::Ready(Err(Failed::Silently)),
                _ if came == 0 => Parsed::Bad("a PROXY header that ends too early"),
                parsed => parsed,
            };
            let (taken, result) = match parsed {
                Parsed::Partial => (came, None),
                Parsed::Done(length, origin) => (length - before, Some(Ok(origin))),
                Parsed::Bad(why) => return Poll::Ready(Err(Failed::Bad(why))),
            };
            if socket.take(piece.get_mut(..taken).unwrap_or_default()).is_err() {
                return Poll::Ready(Err(Failed::Bad("a PROXY header that ends too early")));
            }
            if let Some(result) = result {
                return Poll::Ready(result);
            }
        }
    })
    .await
}

/// The endpoints are those of the client's connection to the proxy.
fn made_by(origin: Origin, mut connection: Connection) -> Connection {
    let transport = match origin {
        Origin::Peer => Transport::Untold,
        Origin::Unix(transport) => {
            connection.client = Client::Unix;
            transport
        }
        Origin::Inet { source, destination, transport } => {
            connection.client = Client::Inet(source.ip(), Some(source.port()));
            // RFC 3875 §4.1.14: an IPv6 address stands in brackets.
            connection.server_name = match destination {
                SocketAddr::V4(v4) => v4.ip().to_string(),
                SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            };
            // Not told, the listener's has to do: PEP 3333 makes an URL of it.
            if destination.port() > 0 {
                connection.server_port = destination.port().to_string();
            }
            transport
        }
    };
    if transport == Transport::Tls {
        connection.scheme = Scheme::Https;
    }
    connection
}

/// Says now and then that connections are turned away: whoever opens them must not fill the log.
#[derive(Debug, Default)]
pub(super) struct TurnedAway(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// Not told of since then.
    more: u64,
}

impl TurnedAway {
    fn tell(&self, client: Client, why: &str) {
        let client = Named(client);
        let mut told = self.0.lock();
        if told.last.is_some_and(|last| last.elapsed() < TELL_EVERY) {
            told.more += 1;
            tracing::debug!("connection of {client} closed: {why}");
            return;
        }
        match told.more {
            0 => tracing::info!("connection of {client} closed: {why}"),
            more => tracing::info!("connection of {client} closed: {why}; {more} others were closed before"),
        }
        *told = Told { last: Some(Instant::now()), more: 0 };
    }
}

/// A client as the log names it.
struct Named(Client);

impl std::fmt::Display for Named {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Client::Inet(address, _) => address.fmt(out),
            Client::Unix => out.write_str("a unix socket's peer"),
        }
    }
}

/// The header must have come by now.
pub(super) fn overdue(front: &Front, client: Client) {
    front.turned_away.tell(client, "no whole PROXY header came within --header-timeout");
}
