//! From a listener to connections.
//!
//! Owns one listener and the tasks of its connections. The socket may be shared with other processes: it is
//! never shut down, and what is in its backlog when we stop stays there for whoever serves it next.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinError, JoinSet};

use super::Front;
use super::connection::serve;
use super::socket::Socket;
use crate::exchange::{Client, Connection, Scheme};
use crate::listener::{Listener, Peer, Stream};

/// Connections accepted in one turn of the reactor. 16: others are served in between.
const AT_ONCE: usize = 16;

/// How long to wait when the process has no descriptors or memory left. 100 ms: connections close meanwhile,
/// and the backlog keeps those that come.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often that is said in the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Accepts until the server drains, then waits for the connections to close.
pub(super) async fn accept(listener: Listener, front: Arc<Front>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    accept_all(listener, &front, &mut connections).await?;
    loop {
        tokio::select! {
            biased;
            () = front.drain.quick() => {
                connections.shutdown().await;
                return Ok(());
            }
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => return Ok(()),
            },
        }
    }
}

/// Ends, and forgets the listener, as soon as the server drains.
async fn accept_all(listener: Listener, front: &Arc<Front>, connections: &mut JoinSet<()>) -> io::Result<()> {
    let mut warned: Option<Instant> = None;
    let (server_name, server_port) = listener.server_name_port();
    let listener = register(listener)?;
    let draining = front.drain.draining();
    tokio::pin!(draining);
    loop {
        let mut ready = tokio::select! {
            biased;
            () = &mut draining => return Ok(()),
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            ready = listener.readable() => ready?,
        };
        for _ in 0..AT_ONCE {
            match listener.get_ref().accept() {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        client: client(&peer),
                        server_name: server_name.clone(),
                        server_port: server_port.clone(),
                        scheme: Scheme::Http,
                    };
                    spawn(stream, connection, front, connections);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if is_exhausted(&error) => {
                    if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        let fd = listener.as_raw_fd();
                        tracing::warn!(
                            "cannot accept on file descriptor {fd}, trying again: {error}; raise `ulimit -n`"
                        );
                    }
                    tokio::select! {
                        biased;
                        () = &mut draining => return Ok(()),
                        () = tokio::time::sleep(BACK_OFF) => {}
                    }
                    break;
                }
                // The client left while it was in the backlog, or its network has a problem (accept(2)).
                Err(error) => tracing::debug!("connection lost before it was accepted: {error}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Waits for a listener's readiness with the reactor.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types whose descriptor may change; a Listener's cannot"
)]
fn register(listener: Listener) -> io::Result<AsyncFd<Listener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}

fn spawn(stream: Stream, connection: Connection, front: &Arc<Front>, connections: &mut JoinSet<()>) {
    match Socket::new(stream) {
        Ok(socket) => {
            connections.spawn(serve(socket, Arc::new(connection), Arc::clone(front)));
        }
        Err(error) => tracing::debug!("connection lost as it was accepted: {error}"),
    }
}

fn client(peer: &Peer) -> Client {
    match peer {
        Peer::Inet(address) => Client::Inet(address.ip(), address.port()),
        Peer::Unix => Client::Unix,
    }
}

/// Descriptors or memory are used up: trying again at once would only burn time.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A panic is a bug, and costs one connection.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection's task panicked: {error}");
    }
}
