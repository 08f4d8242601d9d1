//! The front end: accepts connections and speaks HTTP/1.1 on them, RFC 9110 and 9112. Alone names hyper.
//!
//! Owns the listeners, the connections and the reactor they run on. Hands requests to the dispatcher and
//! never waits for a worker with anything but a task. Knows no Python.
//!
//! Within: `accept` makes connections of listeners; `connection` is one connection's life; `wire` stands
//! between the socket and hyper, `head`, `chunked` and `syntax` check what passes; `request` and `body` lead in,
//! `response` and `file` lead out, `aside` around hyper; `link` is what they tell one another. What proxies say is
//! read by `preface` and `proxy` before the first request (PROXY protocol), by `forwarded` and `rfc7239` in each.
//! `routes` picks the queue. `access` tells the access log. `memory` gives the system back what connections had.
//! `control` is another server, beside this one.

mod accept;
mod access;
mod aside;
mod body;
mod chunked;
mod connection;
pub mod control;
mod file;
mod forwarded;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod head;
mod link;
mod memory;
mod preface;
mod proxy;
mod refusal;
mod request;
mod response;
mod rfc7239;
mod routes;
mod socket;
mod syntax;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hyper::server::conn::http1;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use self::memory::Memory;
pub use self::memory::Trim;
use self::preface::TurnedAway;
pub use self::routes::Routes;
use crate::access::Lines;
pub use crate::config::Limits;
use crate::config::Proxies;
use crate::listener::Listener;
use crate::shutdown::Drain;

/// Headers up to which hyper parses on the stack. Beyond, each request costs an allocation.
const HYPER_HEADERS: usize = 100;

/// hyper's read buffer at most, and what it gathers for one write. 64 KiB: as much as the wire reads at once.
const HYPER_BUFFER: usize = wire::READ;

/// Threads that read files, at most. 16: more disks than that need more servers; an idle one ends.
const FILE_THREADS: usize = 16;

impl Limits {
    fn head(&self) -> head::HeadLimits {
        head::HeadLimits { size: self.max_header_size, count: self.max_headers }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Front {
    routes: Routes,
    limits: Limits,
    proxies: Proxies,
    turned_away: TurnedAway,
    drain: Drain,
    /// Where a line is left for each request, if anywhere.
    access: Option<Lines>,
    protocol: http1::Builder,
    /// What is read lands here and is passed on at once, and so does what is written of small slices. Locked only while
    /// one read or write lasts, on one thread.
    scratch: Mutex<Box<[u8]>>,
    /// Connections that wait for a request with hyper and its buffers at hand.
    idle: AtomicUsize,
    memory: Memory,
}

/// Accepts and serves until it is told to stop.
#[derive(Debug)]
pub struct FrontEnd {
    listeners: Vec<Listener>,
    front: Front,
}

impl FrontEnd {
    pub fn new(listeners: Vec<Listener>, routes: impl Into<Routes>, limits: Limits, drain: Drain) -> Self {
        let routes = routes.into();
        let protocol = protocol(&limits);
        let scratch = Mutex::new(vec![0; wire::READ].into_boxed_slice());
        let (proxies, turned_away) = (Proxies::default(), TurnedAway::default());
        let idle = AtomicUsize::new(0);
        let (access, memory) = (None, Memory::new(None));
        let front =
            Front { routes, limits, proxies, turned_away, drain, access, protocol, scratch, idle, memory };
        Self { listeners, front }
    }

    /// Believes these proxies. Without it, none.
    #[must_use]
    pub fn behind(mut self, proxies: Proxies) -> Self {
        self.front.proxies = proxies;
        self
    }

    /// Leaves a line for each request there.
    #[must_use]
    pub fn logging(mut self, access: Option<Lines>) -> Self {
        self.front.access = access;
        self
    }

    /// Has memory given back after a burst of connections.
    #[must_use]
    pub fn trimming(mut self, trim: Option<Trim>) -> Self {
        self.front.memory = Memory::new(trim);
        self
    }

    /// Serves. Once it drains no connection is accepted any more, and it ends when the last one has closed;
    /// asked for a quick end, it drops those that are left. An error: a listener cannot be waited for.
    pub async fn serve(self) -> io::Result<()> {
        let front = Arc::new(self.front);
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept::accept(listener, Arc::clone(&front)));
        }
        while let Some(ended) = accepting.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// The reactor: one thread's runtime that hands over requests and collects answers each time it is about to
/// wait, so that both cost one wake a batch instead of one a request.
pub fn reactor(routes: impl Into<Routes>) -> io::Result<Runtime> {
    let routes = routes.into();
    let bell = Arc::clone(routes.bell());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_name("chaussette-file")
        .on_thread_park(move || {
            routes.flush();
            routes.bell().collect();
        })
        .build()?;
    runtime.spawn(async move { bell.pump().await });
    Ok(runtime)
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    // The wire keeps the limits and the time. hyper's own are set so that they never come first.
    protocol
        .header_read_timeout(None)
        // The wire watches for a client that leaves. hyper would take a buffer for it that nothing is read into.
        .half_close(true)
        // Room for a whole head, which hyper would refuse otherwise.
        .max_buf_size(HYPER_BUFFER.max(limits.max_header_size + 1))
        .max_header_size(limits.max_header_size + wire::READ)
        .title_case_headers(true);
    if limits.max_headers > HYPER_HEADERS {
        protocol.max_headers(limits.max_headers);
    }
    protocol
}
