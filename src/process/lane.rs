//! A lane's end in the worker process: requests come in, replies go out, on the thread that serves.
//!
//! Owns the order of frames: a request, what is said of it, and that it is done with. What another thread of the
//! application says of a request that is done with goes nowhere.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes};
use http::HeaderMap;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::ahead::Behind;
use super::clock::Clock;
use super::codec::{self, Known, Rest, down, up};
use super::frame::{Frame, Frames};
use super::outbox::{Outbox, Wait, Written};
use super::words::Loss;
use crate::application::Line;
use crate::census::{Closed, Desk};
use crate::exchange::{
    BodyError, BodyReader, Exchange, Fault, FileRange, Inlet, NoReader, Outlet, Reply, Request, RequestBody,
    ResponseHead, Unsent,
};

/// Bytes of a reply that wait for the server before the application is held. 256 KiB: as in [`crate::exchange`].
const ROOM: usize = 256 * 1024;

/// The thread's own view of its lane.
#[derive(Debug)]
pub(super) struct Lane {
    end: Arc<End>,
    desk: Arc<Desk>,
    /// Requests so far: the number of the last one.
    taken: u64,
    hand: Hand,
    /// When that was begun with.
    since: Instant,
    closed: Closed,
    clock: Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Empty,
    Full,
}

/// A lane's descriptors.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) socket: UnixStream,
    pub(super) behind: Behind,
}

/// What threads of the application may touch, too.
#[derive(Debug)]
pub(super) struct End {
    socket: UnixStream,
    behind: Behind,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// The number of the last request whose reply nobody reads, times four, and a [`Loss`].
    lost: AtomicU64,
}

#[derive(Debug)]
struct Incoming {
    frames: Frames,
    known: Known,
}

#[derive(Debug, Default)]
struct Outgoing {
    outbox: Outbox,
    /// The one that is in hand; 0: none is.
    request: u64,
    bell: Bell,
}

/// Whether the server sleeps at the bell, or at the lane itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Bell {
    #[default]
    Unheard,
    Heard,
}

impl Lane {
    pub(super) fn new(ends: Ends, desk: Arc<Desk>) -> Self {
        let Ends { socket, behind } = ends;
        let incoming = Mutex::new(Incoming { frames: Frames::bare(), known: Known::default() });
        let end = End { socket, behind, incoming, outgoing: Mutex::default(), lost: AtomicU64::new(0) };
        let (hand, closed, clock) = (Hand::Empty, Closed::Undisturbed, Clock::new());
        Self { end: Arc::new(end), desk, taken: 0, hand, since: Instant::now(), closed, clock }
    }

    pub(super) fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// Waits for a request; `None` when the server has closed the lane. Blocks.
    pub(super) fn wait(&mut self) -> Option<Exchange> {
        self.conclude();
        let end = Arc::clone(&self.end);
        let mut incoming = end.incoming.lock();
        end.empty().ok()?;
        loop {
            if !incoming.frames.has_next() {
                end.empty().ok()?;
            }
            let frame = incoming.frames.next(&end.socket).ok()?;
            match self.claim(frame, &mut incoming.known)? {
                Claim::Ours(request, rest) => return Some(self.open(request, rest)),
                Claim::TakenBack => {}
            }
        }
    }

    /// Whose the request is that this thread has come to. `None`: what was read makes no sense.
    fn claim(&mut self, frame: Frame, known: &mut Known) -> Option<Claim> {
        self.taken += 1;
        let bell = match frame.kind {
            down::REQUEST => Bell::Unheard,
            down::AHEAD if self.end.behind.claims() => Bell::Heard,
            down::AHEAD => {
                self.desk.skip();
                self.end.outgoing.lock().outbox.put(up::SKIPPED, None, |_| ());
                return Some(Claim::TakenBack);
            }
            // Nothing else comes while no request is in hand.
            _ => return None,
        };
        let mut outgoing = self.end.outgoing.lock();
        (outgoing.request, outgoing.bell) = (self.taken, bell);
        drop(outgoing);
        // The server writes what can be read.
        let (request, rest) = codec::request(frame.contents, known).ok()?;
        Some(Claim::Ours(Box::new(request), rest))
    }

    fn open(&mut self, mut request: Box<Request>, rest: Rest) -> Exchange {
        let reply = Reply::through(Arc::clone(&self.end) as Arc<dyn Outlet>, self.taken);
        if rest == Rest::OnDemand {
            let intake = Intake { end: Arc::clone(&self.end), request: self.taken, rest };
            request.body = RequestBody::Stream(BodyReader::through(Box::new(intake)));
        }
        let exchange = Exchange { request, reply };
        self.since = Instant::now();
        let closed = self.desk.open(&exchange, self.since, Duration::ZERO);
        self.note(closed);
        self.hand = Hand::Full;
        exchange
    }

    /// The thread is done with what it had in hand.
    fn conclude(&mut self) {
        if self.hand == Hand::Empty {
            return;
        }
        self.hand = Hand::Empty;
        let now = Instant::now();
        let closed = self.desk.close(now);
        self.note(closed);
        let mut outgoing = self.end.outgoing.lock();
        outgoing.request = 0;
        let took = u64::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX);
        let told = self.clock.told(now);
        outgoing.outbox.put(up::DONE, None, |out| {
            out.put_u64_le(told);
            out.put_u64_le(took);
        });
    }

    fn note(&mut self, closed: Closed) {
        if closed == Closed::Interrupted {
            self.closed = closed;
        }
    }
}

/// What became of a request that was sent.
enum Claim {
    Ours(Box<Request>, Rest),
    /// Another worker has it.
    TakenBack,
}

impl Line for Lane {
    fn next(&mut self) -> Option<Exchange> {
        self.conclude();
        let end = Arc::clone(&self.end);
        // Another thread may sit in a read of the last request's body.
        let mut incoming = end.incoming.try_lock()?;
        loop {
            if !incoming.frames.has_next() {
                return None;
            }
            // Whoever kills this process takes no reply that is finished with it. What has no room: not while attached.
            if end.push_out() == Written::Some {
                return None;
            }
            let frame = incoming.frames.ready()?;
            match self.claim(frame, &mut incoming.known)? {
                Claim::Ours(request, rest) => return Some(self.open(request, rest)),
                Claim::TakenBack => {}
            }
        }
    }

    fn was_interrupted(&mut self) -> bool {
        std::mem::replace(&mut self.closed, Closed::Undisturbed) == Closed::Interrupted
    }

    fn offered(&mut self) {
        // Unrung: most often the end follows, and the server looks again.
        self.end.push_out();
    }

    fn give_back(&mut self, exchange: Exchange) {
        // Never called by an application of this process; dropped, it is answered.
        drop(exchange);
    }
}

impl End {
    /// Nobody reads the reply to this request.
    pub(super) fn lose(&self, request: u64, why: Loss) {
        let why = match why {
            Loss::Discarded => 1,
            Loss::Gone => 2,
            Loss::Revoked => 3,
        };
        self.lost.store(request << 2 | why, Ordering::Relaxed);
    }

    /// Writes what can be written now.
    fn push_out(&self) -> Written {
        let mut outgoing = self.outgoing.lock();
        // A server that is gone: the next read finds that.
        outgoing.outbox.flush(&self.socket, Wait::Never).unwrap_or(Written::All)
    }

    /// Writes what can be written now, and wakes the server for it.
    fn tell(&self) {
        self.push_out();
        self.ring();
    }

    fn ring(&self) {
        let bell = self.outgoing.lock().bell;
        if bell == Bell::Heard {
            self.behind.ring();
        }
    }

    /// Writes all there is. Blocks.
    fn empty(&self) -> Result<(), Errno> {
        let mut outgoing = self.outgoing.lock();
        let written = outgoing.outbox.flush(&self.socket, Wait::Never)?;
        if std::mem::take(&mut outgoing.bell) == Bell::Heard {
            self.behind.ring();
        }
        if written == Written::Some {
            outgoing.outbox.flush(&self.socket, Wait::Until(0))?;
        }
        Ok(())
    }

    /// Puts a frame, if `request` is the one in hand.
    fn put(&self, request: u64, kind: u8, rest: Option<Bytes>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.request == request {
            outgoing.outbox.put(kind, rest, write);
        }
    }
}

impl Outlet for End {
    fn hint(&self, request: u64, headers: &HeaderMap) {
        self.put(request, up::HINT, None, |out| codec::put_headers(out, headers));
        self.tell();
    }

    fn respond(&self, request: u64, head: &ResponseHead, body: Bytes) {
        self.put(request, up::WHOLE, Some(body), |out| codec::put_head(out, head));
    }

    fn respond_file(&self, request: u64, head: &ResponseHead, file: FileRange) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.request == request {
            outgoing.outbox.put(up::FILE, None, |out| {
                out.put_u64_le(file.offset);
                out.put_u64_le(file.length);
                codec::put_head(out, head);
            });
            outgoing.outbox.attach(file.file.into());
        }
    }

    fn start(&self, request: u64, head: &ResponseHead) {
        self.put(request, up::START, None, |out| codec::put_head(out, head));
    }

    fn try_send(&self, request: u64, chunk: Bytes) -> Result<(), Unsent> {
        if chunk.is_empty() {
            // Nothing to send; but a reader that is gone ends the iteration here too.
            self.probe(request);
            return Ok(());
        }
        let mut outgoing = self.outgoing.lock();
        if outgoing.outbox.waiting() >= ROOM {
            return Err(Unsent::Full(chunk));
        }
        if outgoing.request == request {
            outgoing.outbox.put(up::PART, Some(chunk), |_| ());
        }
        Ok(())
    }

    fn send(&self, request: u64, chunk: Bytes) -> Result<(), NoReader> {
        self.ring();
        let mut outgoing = self.outgoing.lock();
        let written = outgoing.outbox.flush(&self.socket, Wait::Until(ROOM / 2));
        written.map_err(|_| NoReader::ClientGone)?;
        self.reader(request)?;
        if outgoing.request == request {
            outgoing.outbox.put(up::PART, Some(chunk), |_| ());
        }
        Ok(())
    }

    fn end(&self, request: u64, end: Result<(), Fault>) {
        match end {
            Ok(()) => self.put(request, up::END, None, |_| ()),
            Err(fault) => self.put(request, up::FAULT, None, |out| codec::put_fault(out, &fault)),
        }
    }

    fn reader(&self, request: u64) -> Result<(), NoReader> {
        let lost = self.lost.load(Ordering::Relaxed);
        match (lost >> 2 == request, lost & 3) {
            (false, _) => Ok(()),
            (true, 1) => Err(NoReader::Discarded),
            (true, 2) => Err(NoReader::ClientGone),
            (true, _) => Err(NoReader::Revoked),
        }
    }

    fn probe(&self, request: u64) {
        self.put(request, up::PROBE, None, |_| ());
    }

    fn flush(&self) {
        self.tell();
    }
}

/// The body of a request, as the application reads it.
#[derive(Debug)]
struct Intake {
    end: Arc<End>,
    request: u64,
    rest: Rest,
}

impl Inlet for Intake {
    fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.rest == Rest::Here {
            return Ok(None);
        }
        let mut incoming = self.end.incoming.lock();
        {
            let mut outgoing = self.end.outgoing.lock();
            if outgoing.request != self.request {
                return Err(BodyError::ClientLeft);
            }
            outgoing.outbox.put(up::WANT, None, |_| ());
            let written = outgoing.outbox.flush(&self.end.socket, Wait::Until(0));
            written.map_err(|_| BodyError::ClientLeft)?;
        }
        let frame = incoming.frames.next(&self.end.socket).map_err(|_| BodyError::ClientLeft)?;
        match frame.kind {
            down::BODY => Ok(Some(frame.contents)),
            down::BODY_END => {
                self.rest = Rest::Here;
                Ok(None)
            }
            down::BODY_FAILED => Err(codec::body_error(frame.contents).unwrap_or(BodyError::ClientLeft)),
            _ => Err(BodyError::ClientLeft),
        }
    }
}
