//! The front end: accepts connections and speaks HTTP/1.1 on them, RFC 9110 and 9112. Alone names hyper.
//!
//! Owns the listeners, the connections and the reactor they run on. Hands requests to the dispatcher and
//! never waits for a worker with anything but a task. Knows no Python.
//!
//! Within: `accept` makes connections of listeners; `connection` is one connection's life; `wire` stands
//! between the socket and hyper, `head`, `chunked` and `syntax` check what passes; `request` and `body` lead in,
//! `response` and `file` lead out, `aside` around hyper; `link` is what they tell one another.

mod accept;
mod aside;
mod body;
mod chunked;
mod connection;
mod file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod head;
mod link;
mod refusal;
mod request;
mod response;
mod socket;
mod syntax;
mod wire;

use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub use crate::config::Limits;
use crate::dispatch::Dispatcher;
use crate::listener::Listener;
use crate::shutdown::Drain;

/// Headers up to which hyper parses on the stack. Beyond, each request costs an allocation.
const HYPER_HEADERS: usize = 100;

/// hyper's read buffer at most. 128 KiB: reads of fast uploads; an idle connection keeps the last one's
/// remainder at worst.
const HYPER_BUFFER: usize = 128 * 1024;

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
    dispatcher: Dispatcher,
    limits: Limits,
    drain: Drain,
    protocol: http1::Builder,
    /// What is read lands here and is passed on at once. Locked only while one read lasts, on one thread.
    scratch: Mutex<Box<[u8]>>,
}

/// Accepts and serves until it is told to stop.
#[derive(Debug)]
pub struct FrontEnd {
    listeners: Vec<Listener>,
    front: Arc<Front>,
}

impl FrontEnd {
    pub fn new(listeners: Vec<Listener>, dispatcher: Dispatcher, limits: Limits, drain: Drain) -> Self {
        let protocol = protocol(&limits);
        let scratch = Mutex::new(vec![0; wire::READ].into_boxed_slice());
        Self { listeners, front: Arc::new(Front { dispatcher, limits, drain, protocol, scratch }) }
    }

    /// Serves. Once it drains no connection is accepted any more, and it ends when the last one has closed;
    /// asked for a quick end, it drops those that are left. An error: a listener cannot be waited for.
    pub async fn serve(self) -> io::Result<()> {
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept::accept(listener, Arc::clone(&self.front)));
        }
        while let Some(ended) = accepting.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// The reactor: one thread's runtime that hands over requests and collects answers each time it is about to
/// wait, so that both cost one wake a batch instead of one a request.
pub fn reactor(dispatcher: &Dispatcher) -> io::Result<Runtime> {
    let handing_over = dispatcher.clone();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_name("chaussette-file")
        .on_thread_park(move || {
            handing_over.flush();
            handing_over.bell().collect();
        })
        .build()?;
    let bell = Arc::clone(dispatcher.bell());
    runtime.spawn(async move { bell.pump().await });
    Ok(runtime)
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    // The wire keeps the limits and the time. hyper's own are set so that they never come first.
    protocol
        .header_read_timeout(None)
        .max_buf_size(HYPER_BUFFER.max(limits.max_header_size + wire::READ))
        .max_header_size(limits.max_header_size + wire::READ)
        .title_case_headers(true);
    if limits.max_headers > HYPER_HEADERS {
        protocol.max_headers(limits.max_headers);
    }
    protocol
}
