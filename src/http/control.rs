//! The control socket: tells how the process is, and takes commands. Never on the application's sockets. And the
//! socket of the probes, on which there is of all that only what anybody may know.
//!
//! Owns a listener and a thread with a small reactor of its own, so that it answers whatever the other one does:
//! while hooks run, while every interpreter is stuck, while the process drains. Knows the rest by [`Overseen`].

pub mod client;
mod guard;
mod route;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::accept::{self, is_exhausted};
use super::socket::Socket;
use crate::census::{Census, Command, Commands, Outcome, Roster};
use crate::config::{ControlAddress, ProbeAddress};
use crate::listener::{Kind, Listener};

/// Connections that the kernel holds for us: above what probes, a scraper and some people make.
pub const BACKLOG: u32 = 64;

/// Connections at once. The next ones wait in the backlog, behind silent ones at most [`SILENCE`].
const CONNECTIONS: usize = 32;

/// One connection, from its first byte to its end. 10 s: as long as a scrape may take by default.
const WHOLE: Duration = Duration::from_secs(10);

/// A request's head, from the connection's first moment. 3 s: programs of this machine send it at once.
const SILENCE: Duration = Duration::from_secs(3);

/// Bytes of a request's head, the least that hyper works with.
const HEAD: usize = 8 * 1024;

/// What the end of the process waits for answers that are on their way.
const LAST: Duration = Duration::from_millis(500);

/// How long to wait when the process has no descriptors left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What can be asked and commanded.
pub trait Overseen: Send + Sync + 'static {
    /// At any time, without waiting.
    fn census(&self) -> Census;

    fn ask(&self, command: Command) -> impl Future<Output = Outcome> + Send;
}

impl Overseen for (Roster, Commands) {
    fn census(&self) -> Census {
        self.0.snapshot()
    }

    async fn ask(&self, command: Command) -> Outcome {
        self.1.ask(command).await
    }
}

/// The control socket while it is open. Dropped, it is closed and its file removed.
#[derive(Debug)]
pub struct Control {
    stop: Option<oneshot::Sender<()>>,
    ended: Receiver<()>,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Programs of this machine, or of one user of it: they may see requests and command.
    Trusted,
    /// Anybody who reaches the socket: whether it is well, and numbers.
    Anybody,
}

/// What all its connections share.
struct Room<O> {
    overseen: O,
    kind: Kind,
    clients: Clients,
    /// Of the reactor that serves requests.
    reactor: Handle,
}

impl Control {
    /// Opens the socket and serves there. `reactor` is asked whether it is alive. An error: one line, with the cure.
    pub fn open<O: Overseen>(address: &ControlAddress, overseen: O, reactor: Handle) -> Result<Self, String> {
        let listener = Listener::open_private(&address.to_bind(), BACKLOG)
            .map_err(|error| format!("--control: {error}"))?;
        let actual = listener.local_address().map(ControlAddress::Loopback);
        tracing::info!("Control socket on {}", actual.as_ref().unwrap_or(address));
        Self::start(listener, Clients::Trusted, overseen, reactor)
            .map_err(|error| format!("--control {address}: cannot serve there: {error}"))
    }

    /// The same for `--probes`.
    pub fn open_probes<O: Overseen>(
        address: &ProbeAddress,
        overseen: O,
        reactor: Handle,
    ) -> Result<Self, String> {
        let listener =
            Listener::open(address.as_bind(), BACKLOG).map_err(|error| format!("--probes: {error}"))?;
        match listener.local_address() {
            Some(actual) => tracing::info!("Probes on {actual}"),
            None => tracing::info!("Probes on {address}"),
        }
        Self::start(listener, Clients::Anybody, overseen, reactor)
            .map_err(|error| format!("--probes {address}: cannot serve there: {error}"))
    }

    /// Serves on the listener from now on.
    pub fn start<O: Overseen>(
        listener: Listener,
        clients: Clients,
        overseen: O,
        reactor: Handle,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let room = Arc::new(Room { overseen, kind: listener.kind(), clients, reactor });
        let listener = {
            let _entered = runtime.enter();
            accept::register(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let (say_ended, ended) = channel();
        let serve = move || {
            runtime.block_on(serve(listener, room, stopped));
            runtime.shutdown_background();
            // Nobody listens when the end was not waited for.
            let _ = say_ended.send(());
        };
        std::thread::Builder::new().name("chaussette-control".to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), ended })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails if the thread has panicked: then there is nothing to stop.
            let _ = stop.send(());
        }
        // Twice what it needs: a thread that is late is left to the end of the process.
        if self.ended.recv_timeout(LAST * 2) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the control socket has not closed in time");
        }
    }
}

async fn serve<O: Overseen>(
    listener: AsyncFd<Listener>,
    room: Arc<Room<O>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            Some(ended) = connections.join_next() => accept::report(ended),
            accepted = accept(&listener, &free) => match accepted {
                Ok((socket, permit)) => {
                    connections.spawn(converse(socket, permit, Arc::clone(&room)));
                }
                Err(error) => {
                    tracing::error!("the control socket cannot be waited for: {error}");
                    break;
                }
            },
        }
    }
    drop(listener);
    let last = async { while connections.join_next().await.is_some() {} };
    // What has not been taken by then is of a client that does not read.
    let _ = timeout(LAST, last).await;
}

/// The next connection, once there is room for it. An error: none will come. Cancelled, it loses nothing.
async fn accept(
    listener: &AsyncFd<Listener>,
    free: &Arc<Semaphore>,
) -> io::Result<(Socket, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        let mut ready = listener.readable().await?;
        match ready.get_inner().accept() {
            Ok((stream, _)) => match Socket::new(stream) {
                Ok(socket) => return Ok((socket, permit)),
                Err(error) => tracing::debug!("control connection lost as it was accepted: {error}"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if is_exhausted(&error) => sleep(BACK_OFF).await,
            Err(error) => tracing::debug!("control connection lost before it was accepted: {error}"),
        }
    }
}

/// One connection with one request.
async fn converse<O: Overseen>(socket: Socket, _permit: OwnedSemaphorePermit, room: Arc<Room<O>>) {
    let service = service_fn(|request| {
        let room = Arc::clone(&room);
        async move { route::answer(request, &room).await }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    match timeout(WHOLE, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("control connection ended: {error}"),
        Err(_) => tracing::debug!("control connection took longer than {} s: closed", WHOLE.as_secs()),
    }
}
