//! A request's body on its way to the application.
//!
//! Owns the bounded channel between the reactor, which reads the client, and a worker, which reads the
//! channel and may block. End of body, a client that left and a refusal are never the same value.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::outlet::Inlet;
use crate::bell::Bell;

/// Bytes that may wait between the client and the application. 256 KiB: several reads of a fast client,
/// and what 1,000 uploads may hold stays below 256 MiB.
const ROOM: usize = 256 * 1024;

/// What a waiting chunk costs at least, in bytes: a body sent in chunks of one byte must not fill the channel with
/// a hundred times its size in bookkeeping.
const LEAST: usize = 64;

/// What a waiting chunk counts for.
fn cost(chunk: &Bytes) -> usize {
    chunk.len().max(LEAST)
}

/// A request's body.
#[derive(Debug)]
pub enum RequestBody {
    /// No body was announced, or its length is 0.
    Empty,
    /// It arrived whole before the request was handed over.
    Whole(Bytes),
    /// It is still coming.
    Stream(BodyReader),
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client left before the end of the request body")]
    ClientLeft,
    #[error("the request body is larger than --max-body {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the client sent nothing of the request body for --body-timeout {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the request body is malformed")]
    Malformed,
}

/// The two ends of a body that is still coming.
pub fn body_channel(bell: Arc<Bell>) -> (BodySender, BodyReader) {
    let pipe = Arc::new(Pipe {
        state: Mutex::new(State {
            chunks: std::collections::VecDeque::new(),
            waiting: 0,
            end: None,
            sender: None,
            reader_gone: false,
        }),
        arrived: Condvar::new(),
        bell,
    });
    (BodySender { pipe: Arc::clone(&pipe) }, BodyReader { source: Source::Pipe(pipe), failed: None })
}

#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    arrived: Condvar,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct State {
    chunks: std::collections::VecDeque<Bytes>,
    /// What `chunks` count for.
    waiting: usize,
    end: Option<Result<(), BodyError>>,
    /// The sender's task, waiting for room or for the reader to go.
    sender: Option<Waker>,
    reader_gone: bool,
}

/// The reactor's end. Dropped without [`BodySender::finish`]: the client left.
#[derive(Debug)]
pub struct BodySender {
    pipe: Arc<Pipe>,
}

/// The reader has dropped its end: nobody wants the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderGone;

impl BodySender {
    /// Waits until there is room, or the reader is gone.
    pub async fn ready(&self) -> Result<(), ReaderGone> {
        poll_fn(|context| {
            let mut state = self.pipe.state.lock();
            if state.reader_gone {
                Poll::Ready(Err(ReaderGone))
            } else if state.waiting < ROOM {
                Poll::Ready(Ok(()))
            } else {
                state.sender = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until the reader is gone: resolves only then.
    pub async fn reader_gone(&self) {
        poll_fn(|context| {
            let mut state = self.pipe.state.lock();
            if state.reader_gone {
                return Poll::Ready(());
            }
            state.sender = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Hands over a chunk. Call [`BodySender::ready`] first: the bound is kept there.
    pub fn send(&self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let mut state = self.pipe.state.lock();
        if state.reader_gone || state.end.is_some() {
            return;
        }
        state.waiting += cost(&chunk);
        state.chunks.push_back(chunk);
        self.pipe.arrived.notify_all();
    }

    /// The body ended, well or badly.
    pub fn finish(self, end: Result<(), BodyError>) {
        self.pipe.finish(end);
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.pipe.finish(Err(BodyError::ClientLeft));
    }
}

impl Pipe {
    fn finish(&self, end: Result<(), BodyError>) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.end = Some(end);
            self.arrived.notify_all();
        }
    }
}

/// The worker's end. Blocking; each wait ends because the sender's side keeps `--body-timeout`.
#[derive(Debug)]
pub struct BodyReader {
    source: Source,
    failed: Option<BodyError>,
}

#[derive(Debug)]
enum Source {
    Pipe(Arc<Pipe>),
    /// In another process.
    Inlet(Box<dyn Inlet>),
}

impl BodyReader {
    /// A body that comes from another process.
    #[must_use]
    pub fn through(inlet: Box<dyn Inlet>) -> Self {
        Self { source: Source::Inlet(inlet), failed: None }
    }

    /// The next chunk without waiting: `None` when nothing has arrived yet.
    pub fn try_read(&mut self) -> Option<Result<Option<Bytes>, BodyError>> {
        match &self.source {
            Source::Pipe(pipe) => Self::pop(&mut pipe.state.lock(), &mut self.failed, &pipe.bell),
            Source::Inlet(_) => self.failed.clone().map(Err),
        }
    }

    /// The next chunk, `None` at the end of the body. Blocks: never call it attached to an interpreter.
    pub fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        let pipe = match &mut self.source {
            Source::Pipe(pipe) => pipe,
            Source::Inlet(inlet) => {
                return match &self.failed {
                    Some(error) => Err(error.clone()),
                    None => inlet.read().inspect_err(|error| self.failed = Some(error.clone())),
                };
            }
        };
        let mut state = pipe.state.lock();
        loop {
            if let Some(read) = Self::pop(&mut state, &mut self.failed, &pipe.bell) {
                return read;
            }
            pipe.arrived.wait(&mut state);
        }
    }

    fn pop(
        state: &mut State,
        failed: &mut Option<BodyError>,
        bell: &Bell,
    ) -> Option<Result<Option<Bytes>, BodyError>> {
        if let Some(error) = failed {
            return Some(Err(error.clone()));
        }
        if let Some(chunk) = state.chunks.pop_front() {
            state.waiting -= cost(&chunk);
            if state.waiting <= ROOM / 2
                && let Some(sender) = state.sender.take()
            {
                bell.leave(sender);
                bell.ring();
            }
            return Some(Ok(Some(chunk)));
        }
        match &state.end {
            None => None,
            Some(Ok(())) => Some(Ok(None)),
            Some(Err(error)) => {
                *failed = Some(error.clone());
                Some(Err(error.clone()))
            }
        }
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let Source::Pipe(pipe) = &self.source else { return };
        let mut state = pipe.state.lock();
        state.reader_gone = true;
        state.chunks.clear();
        state.waiting = 0;
        if let Some(sender) = state.sender.take() {
            pipe.bell.leave(sender);
            pipe.bell.ring();
        }
    }
}
