//! A reply on its way to the client.
//!
//! Owns the slot that a worker fills and the reactor empties, and its bounded buffer. A dropped, unsent
//! [`Reply`] answers 500; a dropped, unfinished [`ReplyBody`] aborts the connection: silence is impossible.

use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use parking_lot::{Condvar, Mutex};

use super::Fault;
use super::revoker::Waits;
use crate::bell::Bell;

/// Bytes of a reply that may wait for a slow client before the application is held. 256 KiB: a typical page
/// leaves its interpreter at once; 1,000 slow clients hold at most 256 MiB.
const ROOM: usize = 256 * 1024;

/// Status and headers as the application gave them.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// The reason phrase, when it differs from the status's usual one.
    pub reason: Option<Bytes>,
    pub headers: HeaderMap,
    /// Header names that are not written as Usual-Case, as the application wrote them: `ETag`.
    pub names: Vec<Bytes>,
}

/// A response whose head is ready.
#[derive(Debug)]
pub struct Response {
    pub head: Box<ResponseHead>,
    pub body: ResponseBody,
}

#[derive(Debug)]
pub enum ResponseBody {
    /// All of it.
    Whole(Bytes),
    /// As it is produced.
    Stream(ChunkReader),
    /// A regular file, to be read without the application.
    File(FileRange),
}

/// A part of a regular file.
#[derive(Debug)]
pub struct FileRange {
    pub file: File,
    /// In bytes from the start of the file.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: Mutex<State>,
    /// Room in `chunks`, or the client is gone.
    pub(super) room: Condvar,
    /// An [`Interest`].
    interest: AtomicU8,
    /// A worker has the request.
    taken: AtomicBool,
    pub(super) bell: Arc<Bell>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Headers of interim responses that were not passed on yet.
    hints: Vec<HeaderMap>,
    pub(super) head: Option<Result<(Box<ResponseHead>, Start), Fault>>,
    /// `head` was filled in, whether or not it has been read since. Nothing is filled in twice.
    pub(super) begun: bool,
    chunks: VecDeque<Bytes>,
    /// Sum of the lengths of `chunks`.
    waiting: usize,
    pub(super) end: Option<Result<(), Fault>>,
    /// The reactor's task that waits for the head or the next chunk.
    reader: Option<Waker>,
    /// How long the application has been waiting for its client.
    pub(super) waits: Waits,
}

impl State {
    /// A stream that has ended by the time it is looked at is a whole body: one write, a known length.
    fn gather(&mut self, start: Start) -> Start {
        match (start, &self.end) {
            (Start::Stream, Some(Ok(()))) => {
                let whole = match self.chunks.len() {
                    0 => Bytes::new(),
                    1 => self.chunks.pop_front().unwrap_or_default(),
                    _ => {
                        let mut whole = BytesMut::with_capacity(self.waiting);
                        self.chunks.drain(..).for_each(|chunk| whole.extend_from_slice(&chunk));
                        whole.freeze()
                    }
                };
                self.waiting = 0;
                Start::Whole(whole)
            }
            (start, _) => start,
        }
    }
}

#[derive(Debug)]
pub(super) enum Start {
    Whole(Bytes),
    Stream,
    File(FileRange),
}

/// Who waits for what a worker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Interest {
    Wanted,
    /// The response has no body, whatever the application sends: HEAD, 204, 304.
    Discarded,
    /// The client is gone, or nobody waits for this answer any more.
    Gone,
    /// It was answered in the worker's place.
    Revoked,
}

impl Slot {
    pub(super) fn interest(&self) -> Interest {
        match self.interest.load(Ordering::Relaxed) {
            0 => Interest::Wanted,
            1 => Interest::Discarded,
            2 => Interest::Gone,
            _ => Interest::Revoked,
        }
    }

    pub(super) fn lose(&self, interest: Interest) {
        self.interest.fetch_max(interest as u8, Ordering::Relaxed);
        // Taken and given back: a writer between its check and its wait would miss the notice otherwise.
        drop(self.state.lock());
        self.room.notify_all();
    }

    /// Fills in `fill` and leaves the reader's waker with the bell, unrung.
    pub(super) fn update(&self, fill: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        fill(&mut state);
        if let Some(reader) = state.reader.take() {
            drop(state);
            self.bell.leave(reader);
        }
    }
}

/// The worker's obligation to answer.
#[derive(Debug)]
pub struct Reply {
    pub(super) slot: Option<Arc<Slot>>,
}

impl Reply {
    /// A reply and the place where it will be read.
    pub fn new(bell: Arc<Bell>) -> (Self, Answer) {
        let slot = Arc::new(Slot {
            state: Mutex::new(State::default()),
            room: Condvar::new(),
            interest: AtomicU8::new(Interest::Wanted as u8),
            taken: AtomicBool::new(false),
            bell,
        });
        (Self { slot: Some(Arc::clone(&slot)) }, Answer { slot })
    }

    /// Whether anybody still waits for this answer.
    pub fn is_wanted(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.interest() == Interest::Wanted)
    }

    /// A worker takes the request: it is answered even to a client that left.
    pub fn take(&self) {
        if let Some(slot) = &self.slot {
            slot.taken.store(true, Ordering::Relaxed);
        }
    }

    /// Sends headers ahead of the response, in an interim one: 103, RFC 8297. Rings: it is good for nothing later.
    pub fn hint(&self, headers: HeaderMap) {
        if let Some(slot) = &self.slot {
            slot.update(|state| state.hints.push(headers));
            slot.bell.ring();
        }
    }

    /// Sends the whole response. The reactor is not rung: the worker does that for a batch.
    pub fn respond(mut self, head: impl Into<Box<ResponseHead>>, body: Bytes) {
        self.set(Ok((head.into(), Start::Whole(body))));
    }

    /// Sends a head and hands over a file. The reactor is not rung.
    pub fn respond_file(mut self, head: impl Into<Box<ResponseHead>>, file: FileRange) {
        self.set(Ok((head.into(), Start::File(file))));
    }

    /// Sends the head; the body follows in chunks.
    pub fn start(mut self, head: impl Into<Box<ResponseHead>>) -> ReplyBody {
        match self.set(Ok((head.into(), Start::Stream))) {
            Some(slot) => ReplyBody { slot, finished: false },
            // `set` takes the slot once, and `self` is consumed here: a Reply without slot cannot exist.
            None => unreachable!("a reply was used twice"),
        }
    }

    /// Answers with a fault instead of a response.
    pub fn fail(mut self, fault: Fault) {
        self.set(Err(fault));
    }

    fn set(&mut self, head: Result<(Box<ResponseHead>, Start), Fault>) -> Option<Arc<Slot>> {
        let slot = self.slot.take()?;
        slot.update(|state| {
            if !std::mem::replace(&mut state.begun, true) {
                if !matches!(head, Ok((_, Start::Stream))) {
                    state.end = Some(Ok(()));
                }
                state.head = Some(head);
            }
        });
        Some(slot)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(slot) = self.set(Err(Fault::Server("the worker ended without a response"))) {
            slot.bell.ring();
        }
    }
}

/// A response's body, being sent. Dropped before [`ReplyBody::finish`]: the connection is aborted, so that
/// no client takes what it has for complete.
#[derive(Debug)]
pub struct ReplyBody {
    slot: Arc<Slot>,
    finished: bool,
}

/// The rest of the body has no reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReader {
    ClientGone,
    /// The response has no body.
    Discarded,
    /// It took too long and was answered in the worker's place.
    Revoked,
}

/// What [`ReplyBody::try_send`] could not take.
#[derive(Debug)]
pub enum Unsent {
    NoReader(NoReader),
    /// The buffer is full: detach, then [`ReplyBody::send`] it.
    Full(Bytes),
}

impl ReplyBody {
    /// Hands over a chunk if there is room, without waiting. The reactor is not rung.
    pub fn try_send(&mut self, chunk: Bytes) -> Result<(), Unsent> {
        self.reader().map_err(Unsent::NoReader)?;
        let mut state = self.slot.state.lock();
        if state.waiting >= ROOM {
            return Err(Unsent::Full(chunk));
        }
        Self::push(&self.slot, &mut state, chunk);
        Ok(())
    }

    /// Hands over a chunk, waiting for room: blocks, so never call it attached to an interpreter.
    /// Ends because the front end gives up on a client that reads nothing.
    pub fn send(&mut self, chunk: Bytes) -> Result<(), NoReader> {
        // What is waiting may still be unrung: ring before sleeping on it.
        self.slot.bell.ring();
        let mut state = self.slot.state.lock();
        if state.waiting >= ROOM {
            state.waits.begin(Instant::now());
            while state.waiting >= ROOM && self.reader().is_ok() {
                self.slot.room.wait(&mut state);
            }
            state.waits.end(Instant::now());
        }
        self.reader()?;
        Self::push(&self.slot, &mut state, chunk);
        Ok(())
    }

    fn push(slot: &Slot, state: &mut State, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        state.waiting += chunk.len();
        state.chunks.push_back(chunk);
        if let Some(reader) = state.reader.take() {
            slot.bell.leave(reader);
        }
    }

    /// Whether anybody reads what is sent, as far as is known.
    pub fn reader(&self) -> Result<(), NoReader> {
        match self.slot.interest() {
            Interest::Wanted => Ok(()),
            Interest::Discarded => Err(NoReader::Discarded),
            Interest::Gone => Err(NoReader::ClientGone),
            Interest::Revoked => Err(NoReader::Revoked),
        }
    }

    /// Wakes the reactor for what was sent.
    pub fn ring(&self) {
        self.slot.bell.ring();
    }

    /// The body is complete. The reactor is not rung: the worker does that for a batch.
    pub fn finish(mut self) {
        self.finished = true;
        self.end(Ok(()));
    }

    /// The body is broken: the connection is aborted.
    pub fn fail(mut self, fault: Fault) {
        self.finished = true;
        self.end(Err(fault));
    }

    fn end(&self, end: Result<(), Fault>) {
        self.slot.update(|state| {
            state.end.get_or_insert(end);
        });
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Err(Fault::Application("ended without finishing its response")));
            self.slot.bell.ring();
        }
    }
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No worker took the request: its client left, or the queue was given up.
    NeverTaken,
    Failed(Fault),
}

/// The reactor's end of a reply. Dropped: the client is gone.
#[derive(Debug)]
pub struct Answer {
    slot: Arc<Slot>,
}

impl Answer {
    /// Waits for the response's head, and passes on what is hinted before it. A request that no worker has taken
    /// is given up once `left` says that its client is gone; `left` is asked each time the task is polled.
    pub async fn response(
        self,
        left: impl Fn() -> bool,
        hint: impl Fn(&HeaderMap),
    ) -> Result<Response, Missing> {
        let (head, start) = poll_fn(|context| {
            let mut state = self.slot.state.lock();
            state.hints.drain(..).for_each(|headers| hint(&headers));
            match state.head.take() {
                Some(Ok((head, start))) => Poll::Ready(Ok((head, state.gather(start)))),
                Some(Err(Fault::Server(_))) if !self.is_taken() => Poll::Ready(Err(Missing::NeverTaken)),
                Some(Err(fault)) => Poll::Ready(Err(Missing::Failed(fault))),
                None if !self.is_taken() && left() => Poll::Ready(Err(Missing::NeverTaken)),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        let body = match start {
            Start::Whole(bytes) => ResponseBody::Whole(bytes),
            Start::File(file) => ResponseBody::File(file),
            Start::Stream => ResponseBody::Stream(ChunkReader { answer: self }),
        };
        Ok(Response { head, body })
    }

    fn is_taken(&self) -> bool {
        self.slot.taken.load(Ordering::Relaxed)
    }

    /// Nobody wants this answer any more, though the connection may live on.
    pub fn abandon(&self) {
        self.slot.lose(Interest::Gone);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // What is discarded has lost its reader in good order.
        if self.slot.interest() == Interest::Wanted {
            self.abandon();
        }
    }
}

/// The reactor's end of a streamed body. Dropped: the client is gone.
#[derive(Debug)]
pub struct ChunkReader {
    answer: Answer,
}

impl ChunkReader {
    /// The response has no body: what is sent of one is thrown away.
    pub fn discard(self) {
        self.answer.slot.lose(Interest::Discarded);
    }

    /// The next chunk; `None` after a complete body; a fault when the body is broken.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let slot = &self.answer.slot;
        let mut state = slot.state.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            let was_full = state.waiting >= ROOM;
            state.waiting -= chunk.len();
            if was_full {
                slot.room.notify_all();
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(fault)) => Poll::Ready(Some(Err(fault.clone()))),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
