//! A reply on its way to the client.
//!
//! Owns the slot that a worker fills and the reactor empties, and its bounded buffer. A dropped, unsent
//! [`Reply`] answers 500; a dropped, unfinished [`ReplyBody`] aborts the connection: silence is impossible.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use parking_lot::{Condvar, Mutex};

use super::Fault;
use super::answer::{Answer, ChunkReader};
use super::outlet::Outlet;
use super::revoker::Waits;
use crate::bell::Bell;

/// Bytes of a reply that may wait for a slow client before the application is held. 256 KiB: a typical page
/// leaves its interpreter at once; 1,000 slow clients hold at most 256 MiB.
pub(super) const ROOM: usize = 256 * 1024;

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
    pub(super) taken: AtomicBool,
    /// The number of the interpreter that has it, plus one. 0: none has.
    server: AtomicU64,
    /// Nanoseconds that it had waited then.
    queued: AtomicU64,
    pub(super) bell: Arc<Bell>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Headers of interim responses that were not passed on yet.
    pub(super) hints: Vec<HeaderMap>,
    pub(super) head: Option<Result<(Box<ResponseHead>, Start), Fault>>,
    /// `head` was filled in, whether or not it has been read since. Nothing is filled in twice.
    pub(super) begun: bool,
    pub(super) chunks: VecDeque<Bytes>,
    /// Sum of the lengths of `chunks`.
    pub(super) waiting: usize,
    pub(super) end: Option<Result<(), Fault>>,
    /// The reactor's task that waits for the head or the next chunk.
    pub(super) reader: Option<Waker>,
    /// How long the application has been waiting for its client.
    pub(super) waits: Waits,
}

impl State {
    /// A stream that has ended by the time it is looked at is a whole body: one write, a known length.
    pub(super) fn gather(&mut self, start: Start) -> Start {
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

/// Who serves a request, and what that took to come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The interpreter's number.
    pub interpreter: u64,
    /// How long the request waited in the queue.
    pub queued: Duration,
}

/// Tells who serves a request, when that is known. Keeps the reply's buffer alive.
#[derive(Debug)]
pub struct Witness {
    pub(super) slot: Arc<Slot>,
}

impl Witness {
    /// None: nobody does, or did.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        let interpreter = self.slot.server.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Service { interpreter, queued: Duration::from_nanos(self.slot.queued.load(Ordering::Relaxed)) })
    }
}

/// Where a reply goes.
#[derive(Debug, Clone)]
pub(super) enum Way {
    Here(Arc<Slot>),
    /// Its reader is in another process, which knows the request by this number.
    There(Arc<dyn Outlet>, u64),
}

/// The worker's obligation to answer.
#[derive(Debug)]
pub struct Reply {
    pub(super) way: Option<Way>,
}

impl Reply {
    /// A reply and the place where it will be read.
    pub fn new(bell: Arc<Bell>) -> (Self, Answer) {
        let slot = Arc::new(Slot {
            state: Mutex::new(State::default()),
            room: Condvar::new(),
            interest: AtomicU8::new(Interest::Wanted as u8),
            taken: AtomicBool::new(false),
            server: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            bell,
        });
        (Self { way: Some(Way::Here(Arc::clone(&slot))) }, Answer { slot })
    }

    /// A reply to request `number` of another process.
    pub fn through(outlet: Arc<dyn Outlet>, number: u64) -> Self {
        Self { way: Some(Way::There(outlet, number)) }
    }

    pub(super) fn slot(&self) -> Option<&Arc<Slot>> {
        match &self.way {
            Some(Way::Here(slot)) => Some(slot),
            Some(Way::There(..)) | None => None,
        }
    }

    /// Whether anybody still waits for this answer.
    pub fn is_wanted(&self) -> bool {
        match &self.way {
            Some(Way::Here(slot)) => slot.interest() == Interest::Wanted,
            Some(Way::There(outlet, number)) => {
                outlet.probe(*number);
                outlet.reader(*number).is_ok()
            }
            None => false,
        }
    }

    /// A worker takes the request: it is answered even to a client that left.
    pub fn take(&self) {
        if let Some(slot) = self.slot() {
            slot.taken.store(true, Ordering::Relaxed);
        }
    }

    /// Notes who has the request now.
    pub fn served_by(&self, service: Service) {
        if let Some(slot) = self.slot() {
            let queued = u64::try_from(service.queued.as_nanos()).unwrap_or(u64::MAX);
            slot.queued.store(queued, Ordering::Relaxed);
            slot.server.store(service.interpreter.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Sends headers ahead of the response, in an interim one: 103, RFC 8297. Rings: it is good for nothing later.
    pub fn hint(&self, headers: HeaderMap) {
        match &self.way {
            Some(Way::Here(slot)) => {
                slot.update(|state| state.hints.push(headers));
                slot.bell.ring();
            }
            Some(Way::There(outlet, number)) => outlet.hint(*number, &headers),
            None => {}
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
            Some(way) => ReplyBody { way, finished: false },
            // `set` takes the slot once, and `self` is consumed here: a Reply without slot cannot exist.
            None => unreachable!("a reply was used twice"),
        }
    }

    /// Answers with a fault instead of a response.
    pub fn fail(mut self, fault: Fault) {
        self.set(Err(fault));
    }

    fn set(&mut self, head: Result<(Box<ResponseHead>, Start), Fault>) -> Option<Way> {
        let way = self.way.take()?;
        match &way {
            Way::Here(slot) => slot.update(|state| {
                if !std::mem::replace(&mut state.begun, true) {
                    if !matches!(head, Ok((_, Start::Stream))) {
                        state.end = Some(Ok(()));
                    }
                    state.head = Some(head);
                }
            }),
            Way::There(outlet, number) => match head {
                Ok((head, Start::Whole(body))) => outlet.respond(*number, &head, body),
                Ok((head, Start::File(file))) => outlet.respond_file(*number, &head, file),
                Ok((head, Start::Stream)) => outlet.start(*number, &head),
                Err(fault) => outlet.end(*number, Err(fault)),
            },
        }
        Some(way)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(way) = self.set(Err(Fault::Server("the worker ended without a response"))) {
            way.ring();
        }
    }
}

/// A response's body, being sent. Dropped before [`ReplyBody::finish`]: the connection is aborted, so that
/// no client takes what it has for complete.
#[derive(Debug)]
pub struct ReplyBody {
    way: Way,
    finished: bool,
}

impl Way {
    /// Whether it was answered in the worker's place.
    pub(super) fn is_revoked(&self) -> bool {
        match self {
            Self::Here(slot) => slot.interest() == Interest::Revoked,
            Self::There(outlet, number) => outlet.reader(*number) == Err(NoReader::Revoked),
        }
    }

    fn ring(&self) {
        match self {
            Self::Here(slot) => slot.bell.ring(),
            Self::There(outlet, _) => outlet.flush(),
        }
    }
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
        let slot = match &self.way {
            Way::Here(slot) => slot,
            Way::There(outlet, number) => return outlet.try_send(*number, chunk),
        };
        let mut state = slot.state.lock();
        if state.waiting >= ROOM {
            return Err(Unsent::Full(chunk));
        }
        Self::push(slot, &mut state, chunk);
        Ok(())
    }

    /// Hands over a chunk, waiting for room: blocks, so never call it attached to an interpreter.
    /// Ends because the front end gives up on a client that reads nothing.
    pub fn send(&mut self, chunk: Bytes) -> Result<(), NoReader> {
        let slot = match &self.way {
            Way::Here(slot) => slot,
            Way::There(outlet, number) => return outlet.send(*number, chunk),
        };
        // What is waiting may still be unrung: ring before sleeping on it.
        slot.bell.ring();
        let mut state = slot.state.lock();
        if state.waiting >= ROOM {
            state.waits.begin(Instant::now());
            while state.waiting >= ROOM && self.reader().is_ok() {
                slot.room.wait(&mut state);
            }
            state.waits.end(Instant::now());
        }
        self.reader()?;
        Self::push(slot, &mut state, chunk);
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
        let slot = match &self.way {
            Way::Here(slot) => slot,
            Way::There(outlet, number) => return outlet.reader(*number),
        };
        match slot.interest() {
            Interest::Wanted => Ok(()),
            Interest::Discarded => Err(NoReader::Discarded),
            Interest::Gone => Err(NoReader::ClientGone),
            Interest::Revoked => Err(NoReader::Revoked),
        }
    }

    /// Wakes the reactor for what was sent.
    pub fn ring(&self) {
        self.way.ring();
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
        match &self.way {
            Way::Here(slot) => slot.update(|state| {
                state.end.get_or_insert(end);
            }),
            Way::There(outlet, number) => outlet.end(*number, end),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Err(Fault::Application("ended without finishing its response")));
            self.way.ring();
        }
    }
}
