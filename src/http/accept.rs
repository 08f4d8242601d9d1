//! From a listener to connections.
//!
//! Owns one listener and the tasks of its connections. The socket may be shared with other processes: it is
//! never shut down, and what is in its backlog when we stop stays there for whoever serves it next.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
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
    let name = Name::of(&listener);
    let mut exhaustion = Exhaustion { warned: None };
    let listener = register(listener)?;
    let draining = front.drain.draining();
    tokio::pin!(draining);
    while !listener.get_ref().is_meddled_with() {
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
                Ok(accepted) => spawn(accepted, &name, front, connections),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if is_exhausted(&error) => {
                    exhaustion.report(&listener, &error);
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
    tracing::warn!(
        "another process makes the socket of file descriptor {} blocking: a thread of its own accepts on it from here on",
        listener.as_raw_fd()
    );
    accept_by_thread(listener.into_inner(), &name, front, connections).await
}

/// As `accept_all`, for a socket on which accept(2) may wait: it does so on a thread of its own.
async fn accept_by_thread(
    listener: Listener,
    name: &Name,
    front: &Arc<Front>,
    connections: &mut JoinSet<()>,
) -> io::Result<()> {
    let (sender, mut accepted) = mpsc::channel(AT_ONCE);
    let (told, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    std::thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || accept_on_this_thread(&listener, &told, &sender))?;
    let draining = front.drain.draining();
    tokio::pin!(draining);
    loop {
        tokio::select! {
            biased;
            () = &mut draining => break,
            Some(ended) = connections.join_next() => report(ended),
            next = accepted.recv() => match next {
                Some(next) => spawn(next, name, front, connections),
                None => return Err(io::Error::other("the thread that accepts has ended")),
            },
        }
    }
    // Its end of the pipe closes, which wakes the thread, unless it waits in accept(2): then it ends with the
    // process, and what it was about to hand over is taken until then.
    drop(stop);
    while let Ok(Some(next)) = tokio::time::timeout(BACK_OFF, accepted.recv()).await {
        spawn(next, name, front, connections);
    }
    Ok(())
}

fn accept_on_this_thread(listener: &Listener, told: &OwnedFd, out: &mpsc::Sender<(Stream, Peer)>) {
    let mut exhaustion = Exhaustion { warned: None };
    loop {
        let mut watched = [PollFd::new(listener, PollFlags::IN), PollFd::new(told, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => {
                tracing::error!("cannot wait for connections: {error}");
                return;
            }
        }
        if !watched[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok(accepted) => {
                if out.blocking_send(accepted).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_exhausted(&error) => {
                exhaustion.report(listener, &error);
                std::thread::park_timeout(BACK_OFF);
            }
            Err(error) => tracing::debug!("connection lost before it was accepted: {error}"),
        }
    }
}

/// What requests on a listener are told that this server is called.
struct Name {
    server_name: String,
    server_port: String,
}

impl Name {
    fn of(listener: &Listener) -> Self {
        let (server_name, server_port) = listener.server_name_port();
        Self { server_name, server_port }
    }
}

/// Says now and then that descriptors are used up.
struct Exhaustion {
    warned: Option<Instant>,
}

impl Exhaustion {
    fn report(&mut self, listener: &impl AsRawFd, error: &io::Error) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            let fd = listener.as_raw_fd();
            tracing::warn!("cannot accept on file descriptor {fd}, trying again: {error}; raise `ulimit -n`");
        }
    }
}

/// Waits for a listener's readiness with the reactor.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types whose descriptor may change; a Listener's cannot"
)]
pub(super) fn register(listener: Listener) -> io::Result<AsyncFd<Listener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}

fn spawn((stream, peer): (Stream, Peer), name: &Name, front: &Arc<Front>, connections: &mut JoinSet<()>) {
    let connection = Connection {
        client: client(&peer),
        server_name: name.server_name.clone(),
        server_port: name.server_port.clone(),
        scheme: Scheme::Http,
        script_name: String::new(),
    };
    match Socket::new(stream) {
        Ok(socket) => {
            connections.spawn(serve(socket, Arc::new(connection), Arc::clone(front)));
        }
        Err(error) => tracing::debug!("connection lost as it was accepted: {error}"),
    }
}

fn client(peer: &Peer) -> Client {
    match peer {
        Peer::Inet(address) => Client::Inet(address.ip(), Some(address.port())),
        Peer::Unix => Client::Unix,
    }
}

/// Descriptors or memory are used up: trying again at once would only burn time.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A panic is a bug, and costs one connection.
pub(super) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection's task panicked: {error}");
    }
}
