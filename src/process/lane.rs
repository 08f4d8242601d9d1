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

use super::codec::{self, Known, Rest, down, up};
use super::frame::{Frame, Frames};
use super::outbox::{Outbox, Wait};
use super::words::Loss;
use crate::application::Line;
use crate::census::{Closed, Desk};
use crate::exchange::{
    BodyError, BodyReader, Exchange, Fault, FileRange, Inlet, NoReader, Outlet, Reply, RequestBody,
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
    closed: Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Empty,
    Full,
}

/// What threads of the application may touch, too.
#[derive(Debug)]
pub(super) struct End {
    socket: UnixStream,
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
}

impl Lane {
    pub(super) fn new(socket: UnixStream, desk: Arc<Desk>) -> Self {
        let incoming = Mutex::new(Incoming { frames: Frames::bare(), known: Known::default() });
        let end = End { socket, incoming, outgoing: Mutex::default(), lost: AtomicU64::new(0) };
        Self { end: Arc::new(end), desk, taken: 0, hand: Hand::Empty, closed: Closed::Undisturbed }
    }

    pub(super) fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// Waits for a request; `None` when the server has closed the lane. Blocks.
    pub(super) fn wait(&mut self) -> Option<Exchange> {
        self.conclude();
        self.end.outgoing.lock().outbox.flush(&self.end.socket, Wait::Until(0)).ok()?;
        let mut incoming = self.end.incoming.lock();
        let Incoming { frames, known } = &mut *incoming;
        let frame = frames.next(&self.end.socket).ok()?;
        let read = read(frame, known);
        drop(incoming);
        self.open(read?)
    }

    fn open(&mut self, (request, rest): (crate::exchange::Request, Rest)) -> Option<Exchange> {
        self.taken += 1;
        self.end.outgoing.lock().request = self.taken;
        let reply = Reply::through(Arc::clone(&self.end) as Arc<dyn Outlet>, self.taken);
        let mut request = Box::new(request);
        if rest == Rest::OnDemand {
            let intake = Intake { end: Arc::clone(&self.end), request: self.taken, rest };
            request.body = RequestBody::Stream(BodyReader::through(Box::new(intake)));
        }
        let exchange = Exchange { request, reply };
        let closed = self.desk.open(&exchange, Instant::now(), Duration::ZERO);
        self.note(closed);
        self.hand = Hand::Full;
        Some(exchange)
    }

    /// The thread is done with what it had in hand.
    fn conclude(&mut self) {
        if self.hand == Hand::Empty {
            return;
        }
        self.hand = Hand::Empty;
        let closed = self.desk.close(Instant::now());
        self.note(closed);
        let mut outgoing = self.end.outgoing.lock();
        outgoing.request = 0;
        outgoing.outbox.put(up::DONE, None, |_| ());
    }

    fn note(&mut self, closed: Closed) {
        if closed == Closed::Interrupted {
            self.closed = closed;
        }
    }
}

fn read(frame: Frame, known: &mut Known) -> Option<(crate::exchange::Request, Rest)> {
    // Nothing else comes while no request is in hand; and the server writes what can be read.
    if frame.kind == down::REQUEST { codec::request(frame.contents, known).ok() } else { None }
}

impl Line for Lane {
    fn next(&mut self) -> Option<Exchange> {
        self.conclude();
        let end = Arc::clone(&self.end);
        // Another thread may sit in a read of the last request's body.
        let mut incoming = end.incoming.try_lock()?;
        let Incoming { frames, known } = &mut *incoming;
        let frame = frames.ready()?;
        let read = read(frame, known);
        drop(incoming);
        end.push_out();
        self.open(read?)
    }

    fn was_interrupted(&mut self) -> bool {
        std::mem::replace(&mut self.closed, Closed::Undisturbed) == Closed::Interrupted
    }

    fn offered(&mut self) {
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
    fn push_out(&self) {
        let mut outgoing = self.outgoing.lock();
        // A server that is gone: the next read finds that.
        let _ = outgoing.outbox.flush(&self.socket, Wait::Never);
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
        self.push_out();
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
        self.push_out();
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
