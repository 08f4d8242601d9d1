//! What the wire below hyper, the exchange above it and the connection around it tell one another.
//!
//! Owns the state of one connection's present turn: what is awaited from the client and since when, how far
//! the answer is. Does no input or output. All of it happens on the reactor's thread; mutex and atomics are
//! never contended and are there because tokio's tasks must be `Send`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::HeaderMap;
use parking_lot::Mutex;

use super::Limits;
use super::aside::Aside;
use super::refusal::Refusal;
use crate::access::{Entry, Line};

/// How long a client may take to read a refusal before the connection is closed under it, and how long an
/// unread request body is taken in after its answer. 2 s: several round trips on a bad line.
const LINGER: Duration = Duration::from_secs(2);

/// How long after a request hyper and its buffers are kept for the next one. 1 s: longer than between the
/// requests of one page; what is idle for longer costs a sixth of the memory (measured: 12 KiB, then 2).
pub(super) const DOZE: Duration = Duration::from_secs(1);

/// How long a request waits in the queue after its client stopped sending. 50 ms: a client that shut down
/// its side and still waits gets its answer from any server that is not overloaded.
const PATIENCE_WITH_LEFT: Duration = Duration::from_millis(50);

/// How long a response that has begun may have nothing to send to a client that stopped sending. 1 s: one
/// that merely shut down its side and waits is the exception; one that is gone holds an application that
/// produces nothing for as long as it likes, since nothing is written that could fail.
const PATIENCE_WITH_SILENCE: Duration = Duration::from_secs(1);

/// How long a connection may take to its first request once the server drains. 1 s: it was accepted, so its
/// request is most likely on the way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What is awaited from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A request, nothing of which has come.
    Request,
    /// The rest of a head.
    Head,
    /// More of a body.
    Body,
    /// The client's own close, after ours.
    Close,
}

/// How far request and answer are, as the wire sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// No request, or a part of a head.
    None,
    /// hyper has the request's head.
    Open,
    /// The answer is written, though the request is not read to its end.
    Unread,
}

/// What was written when hyper had nothing left to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    Nothing,
    /// What comes before a break: the exchange waits for it.
    Part,
    Answer,
}

/// What the connection concluded from its client's silence; the wire and the exchange act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Fine,
    HeadTimeout,
    BodyTimeout,
    /// The client left while its request waited.
    Left,
    /// The client left some time ago: a response that has nothing to send to it now is for nobody.
    Gone,
}

/// What a deadline that has passed asks of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A verdict was passed: poll hyper again.
    Poll,
    /// No request comes for now: put hyper away.
    Sleep,
    /// There is nothing left to wait for.
    Drop,
}

/// How far the answer to the present request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// No request is open, or its answer is written.
    None,
    /// Some of it is still to come.
    Due,
    /// hyper has all of it, but has perhaps not written it.
    Given,
    /// It ends here, once hyper has written what it has.
    Breaking,
    Broken,
}

/// How a client keeps up with what it owes: bytes of a body that it sends, or takes.
///
/// Silence has a limit of its own; a client that drips just inside it is told by its average. Only the time that was
/// spent waiting for the client counts, so a slow application or a full buffer of ours is never held against it.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    bytes: u64,
    waited: Duration,
}

impl Pace {
    /// `bytes` came, or went, after a wait since `since`.
    fn progress(&mut self, bytes: usize, since: Option<Instant>) {
        self.bytes += bytes as u64;
        if let Some(since) = since {
            self.waited += since.elapsed();
        }
    }

    /// Until when a wait that began at `since` may take.
    fn patience(&self, since: Instant, limits: &Limits) -> Instant {
        let silence = limits.body_timeout;
        let Some(rate) = limits.min_rate else { return since + silence };
        let earned = Duration::from_millis(self.bytes.saturating_mul(1000) / u64::from(rate.get()));
        since + silence.min(silence.saturating_add(earned).saturating_sub(self.waited))
    }
}

/// What hyper does not tell the exchange of a head that it is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errand {
    /// What the head stands for.
    pub(super) refusal: Option<Refusal>,
    /// The target as it was sent, where hyper is given another.
    pub(super) target: Option<Bytes>,
}

#[derive(Debug)]
struct Turn {
    answer: Answer,
    awaited: Option<(Awaited, Instant)>,
    /// How much of the request's body came, and how long it was waited for.
    upload: Pace,
    /// The socket takes no more of the response since then.
    stalled: Option<Instant>,
    /// How much of the response was taken, and how long that was waited for.
    download: Pace,
    /// The client shut its sending side then.
    left: Option<Instant>,
    /// The answer was written then, though the request is not read to its end.
    unread: Option<Instant>,
    served: u64,
    errand: Errand,
    /// The request in the access log, while its answer is under way.
    entry: Option<Entry>,
    draining: Option<Instant>,
    reset: bool,
    /// There is no hyper now.
    asleep: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    turn: Mutex<Turn>,
    // Asked several times a request, so apart from the rest. One thread: there is no order to keep.
    verdict: AtomicU8,
    is_draining: AtomicBool,
    awaits_flush: AtomicBool,
    has_errand: AtomicBool,
    /// Bytes of the request's body that its length announces and that have not come.
    owed: AtomicU64,
    /// What goes around hyper.
    pub(super) aside: Aside,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            turn: Mutex::new(Turn {
                answer: Answer::None,
                awaited: Some((Awaited::Request, Instant::now())),
                upload: Pace::default(),
                stalled: None,
                download: Pace::default(),
                left: None,
                unread: None,
                served: 0,
                errand: Errand::default(),
                entry: None,
                draining: None,
                reset: false,
                asleep: true,
            }),
            verdict: AtomicU8::new(Verdict::Fine as u8),
            is_draining: AtomicBool::new(false),
            awaits_flush: AtomicBool::new(false),
            has_errand: AtomicBool::new(false),
            owed: AtomicU64::new(0),
            aside: Aside::default(),
        }
    }

    // ---- told by the wire

    /// Nothing can be read, and `awaited` is what should come.
    pub(super) fn awaits(&self, awaited: Awaited) {
        let mut turn = self.turn.lock();
        match turn.awaited {
            Some((before, _)) if before == awaited => {}
            _ => turn.awaited = Some((awaited, Instant::now())),
        }
    }

    /// Bytes were read. A head's time goes on, a body's starts anew.
    pub(super) fn received(&self, bytes: usize) {
        let mut turn = self.turn.lock();
        match turn.awaited {
            Some((Awaited::Head | Awaited::Close, _)) => return,
            Some((Awaited::Body, since)) => turn.upload.progress(bytes, Some(since)),
            Some((Awaited::Request, _)) | None => turn.upload.progress(bytes, None),
        }
        turn.awaited = None;
    }

    /// hyper is given a head.
    pub(super) fn open(&self, errand: Errand) {
        let mut turn = self.turn.lock();
        turn.answer = Answer::Due;
        turn.awaited = None;
        self.has_errand.store(errand != Errand::default(), Ordering::Relaxed);
        turn.errand = errand;
        turn.unread = None;
        turn.served += 1;
        turn.upload = Pace::default();
        turn.download = Pace::default();
        if let Some(left) = &mut turn.left {
            // One of several requests that the client sent before it left: each gets the same patience.
            *left = Instant::now();
            self.verdict.store(Verdict::Fine as u8, Ordering::Relaxed);
        }
    }

    /// The request, unread when its answer was written, was read to its end after all.
    pub(super) fn read_to_end(&self) {
        let mut turn = self.turn.lock();
        turn.unread = None;
        turn.awaited = Some((Awaited::Request, Instant::now()));
    }

    /// hyper is given a head that stands for this refusal of what began with `line`.
    pub(super) fn refuse(&self, refusal: Refusal, line: Option<Bytes>) {
        self.open(Errand { refusal: Some(refusal), target: line });
    }

    /// So much of the body is still to come, as far as its length says.
    pub(super) fn owes(&self, bytes: u64) {
        self.owed.store(bytes, Ordering::Relaxed);
    }

    /// The client shut its sending side.
    pub(super) fn note_left(&self) {
        self.turn.lock().left.get_or_insert_with(Instant::now);
    }

    /// Some of the response could not be written.
    pub(super) fn stalls(&self) {
        self.turn.lock().stalled.get_or_insert_with(Instant::now);
    }

    /// Some of the response was written, after it had stalled.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut turn = self.turn.lock();
        let stalled = turn.stalled.take();
        turn.download.progress(bytes, stalled);
    }

    /// Whether anybody wants to know that all is written.
    pub(super) fn awaits_flush(&self) -> bool {
        self.awaits_flush.load(Ordering::Relaxed)
    }

    /// Everything hyper had was written; `after` is how things stand if that was the whole answer.
    pub(super) fn flushed(&self, after: Exchange) -> Flushed {
        self.awaits_flush.store(false, Ordering::Relaxed);
        let mut turn = self.turn.lock();
        match turn.answer {
            Answer::Given => {
                let now = Instant::now();
                turn.answer = Answer::None;
                if let Some(entry) = turn.entry.take() {
                    entry.complete();
                }
                match after {
                    Exchange::Unread => turn.unread = Some(now),
                    Exchange::None | Exchange::Open => turn.awaited = Some((Awaited::Request, now)),
                }
                Flushed::Answer
            }
            Answer::Breaking => {
                turn.answer = Answer::Broken;
                Flushed::Part
            }
            Answer::None | Answer::Due | Answer::Broken => Flushed::Nothing,
        }
    }

    /// Whether the socket is to be reset rather than closed.
    pub(super) fn is_reset(&self) -> bool {
        self.turn.lock().reset
    }

    // ---- told by the exchange

    pub(super) fn take_errand(&self) -> Errand {
        // Most heads bring none.
        if !self.has_errand.load(Ordering::Relaxed) {
            return Errand::default();
        }
        self.has_errand.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.turn.lock().errand)
    }

    /// The request is in the access log.
    pub(super) fn log(&self, entry: Entry) {
        self.turn.lock().entry = Some(entry);
    }

    /// Notes there what has become known.
    pub(super) fn note(&self, note: impl FnOnce(&mut Line)) {
        if let Some(entry) = &mut self.turn.lock().entry {
            entry.note(note);
        }
    }

    /// Its answer begins, with these header fields, and a body that is `whole` bytes long if it is there as a whole.
    pub(super) fn answered(&self, headers: &HeaderMap, whole: u64) {
        if let Some(entry) = &mut self.turn.lock().entry {
            entry.answered(headers, whole);
        }
    }

    /// Requests of this connection, the one in hand included.
    pub(super) fn served(&self) -> u64 {
        self.turn.lock().served
    }

    /// The response is wholly in hyper's hands, `counted` bytes of its body having been counted.
    pub(super) fn given(&self, counted: u64) {
        let mut turn = self.turn.lock();
        if let Some(entry) = &mut turn.entry {
            entry.note(|line| line.bytes += counted);
        }
        if turn.answer == Answer::Due {
            turn.answer = Answer::Given;
            self.awaits_flush.store(true, Ordering::Relaxed);
        }
    }

    /// The response breaks off. True once the client has what hyper was given before; until then, the task is
    /// polled again when that is so.
    pub(super) fn may_break(&self) -> bool {
        let mut turn = self.turn.lock();
        if turn.answer == Answer::Due {
            turn.answer = Answer::Breaking;
            self.awaits_flush.store(true, Ordering::Relaxed);
        }
        turn.answer == Answer::Broken
    }

    /// Whether the client shut its sending side.
    pub(super) fn has_left(&self) -> bool {
        self.turn.lock().left.is_some()
    }

    /// The target as it was sent, where hyper is given another. An error: what is refused, as it began.
    pub(super) fn sent(&self) -> Result<Option<Bytes>, Bytes> {
        let turn = self.turn.lock();
        match turn.errand.refusal {
            Some(_) => Err(turn.errand.target.clone().unwrap_or_default()),
            None => Ok(turn.errand.target.clone()),
        }
    }

    /// Bytes of the request's body that are still to come, as far as its length says.
    pub(super) fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    /// The connection ends badly, and nothing but a reset can say so.
    pub(super) fn reset(&self) {
        self.turn.lock().reset = true;
    }

    // ---- told by the connection

    pub(super) fn verdict(&self) -> Verdict {
        const KNOWN: [Verdict; 5] =
            [Verdict::Fine, Verdict::HeadTimeout, Verdict::BodyTimeout, Verdict::Left, Verdict::Gone];
        let verdict = usize::from(self.verdict.load(Ordering::Relaxed));
        KNOWN.get(verdict).copied().unwrap_or(Verdict::Fine)
    }

    fn pass(&self, verdict: Verdict) -> Due {
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        Due::Poll
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.turn.lock().draining.get_or_insert_with(Instant::now);
    }

    /// hyper is put away. The time since the last request goes on.
    pub(super) fn fall_asleep(&self) {
        self.turn.lock().asleep = true;
    }

    pub(super) fn wake_up(&self) {
        self.turn.lock().asleep = false;
    }

    /// Whether nothing goes on but hyper's wait for a request.
    pub(super) fn is_idle(&self) -> bool {
        let turn = self.turn.lock();
        !turn.asleep && matches!(turn.awaited, Some((Awaited::Request, _)))
    }

    /// When something is due next, if nothing happens before.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let turn = self.turn.lock();
        let soonest = |a: Option<Instant>, b: Option<Instant>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let awaited = turn.awaited.map(|(awaited, since)| turn.patience(awaited, since, limits));
        let stalled = turn.stalled.map(|since| turn.download.patience(since, limits));
        let left = turn.next_doubt(self.verdict()).map(|(at, _)| at);
        soonest(soonest(awaited, stalled), left)
    }

    /// Decides about what is overdue.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Due {
        let mut turn = self.turn.lock();
        if turn.stalled.is_some_and(|since| turn.download.patience(since, limits) <= now) {
            turn.reset = true;
            return Due::Drop;
        }
        if let Some((at, verdict)) = turn.next_doubt(self.verdict())
            && at <= now
        {
            return self.pass(verdict);
        }
        let Some((awaited, since)) = turn.awaited else { return Due::Nothing };
        if turn.patience(awaited, since, limits) > now {
            return Due::Nothing;
        }
        match awaited {
            Awaited::Request if !turn.asleep => return Due::Sleep,
            Awaited::Request | Awaited::Close => return Due::Drop,
            Awaited::Body if turn.unread.is_some() => return Due::Drop,
            Awaited::Head | Awaited::Body => {}
        }
        turn.awaited = None;
        self.pass(if awaited == Awaited::Head { Verdict::HeadTimeout } else { Verdict::BodyTimeout })
    }
}

impl Turn {
    /// Until when `awaited` may take.
    fn patience(&self, awaited: Awaited, since: Instant, limits: &Limits) -> Instant {
        match awaited {
            Awaited::Request => {
                let idle = if self.served == 0 { limits.header_timeout } else { limits.keep_alive };
                let until = match self.draining {
                    Some(drained) if self.served == 0 => (since + idle).min(drained + FIRST_REQUEST),
                    Some(drained) => (since + idle).min(drained + limits.drain_idle),
                    None => since + idle,
                };
                if self.asleep { until } else { until.min(since + DOZE) }
            }
            Awaited::Head => since + limits.header_timeout,
            Awaited::Body => match self.unread {
                Some(answered) => answered + LINGER,
                None => self.upload.patience(since, limits),
            },
            Awaited::Close => since + LINGER,
        }
    }

    /// What is concluded next of a client that stopped sending, and when.
    fn next_doubt(&self, verdict: Verdict) -> Option<(Instant, Verdict)> {
        let since = self.left?;
        match (self.answer, verdict) {
            (Answer::Due, Verdict::Fine) => Some((since + PATIENCE_WITH_LEFT, Verdict::Left)),
            (Answer::Due, Verdict::Left) => Some((since + PATIENCE_WITH_SILENCE, Verdict::Gone)),
            _ => None,
        }
    }
}
