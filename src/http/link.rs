//! What the wire below hyper, the exchange above it and the connection around it tell one another.
//!
//! Owns the state of one connection's present turn: what is awaited from the client and since when, how far
//! the answer is. Does no input or output. All of it happens on the reactor's thread; the mutex is never
//! contended and is there because tokio's tasks must be `Send`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Limits;
use super::refusal::Refusal;

/// How long a client may take to read a refusal before the connection is closed under it, and how long an
/// unread request body is taken in after its answer. 2 s: several round trips on a bad line.
const LINGER: Duration = Duration::from_secs(2);

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

/// How far the answer to the present request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// No request is open.
    None,
    /// hyper has the request's head.
    Open,
    /// hyper has taken all of the response, but perhaps not written it.
    Given,
}

#[derive(Debug)]
struct Turn {
    answer: Answer,
    awaited: Option<(Awaited, Instant)>,
    /// The socket takes no more of the response since then.
    stalled: Option<Instant>,
    /// The client shut its sending side then.
    left: Option<Instant>,
    /// The answer was written then, though the request is not read to its end.
    unread: Option<Instant>,
    served: u64,
    /// What the next head that hyper sees stands for.
    refusal: Option<Refusal>,
    verdict: Verdict,
    flushed: bool,
    wants_flush: bool,
    draining: Option<Instant>,
    reset: bool,
}

/// What the connection decided about its client's silence; the wire and the exchange act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Idle for too long, or the server drains: no further request.
    Closing,
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
    /// There is nothing left to wait for.
    Drop,
}

#[derive(Debug)]
pub(super) struct Link {
    turn: Mutex<Turn>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            turn: Mutex::new(Turn {
                answer: Answer::None,
                awaited: Some((Awaited::Request, Instant::now())),
                stalled: None,
                left: None,
                unread: None,
                served: 0,
                refusal: None,
                verdict: Verdict::Fine,
                flushed: false,
                wants_flush: false,
                draining: None,
                reset: false,
            }),
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

    /// Something was read. A head's time goes on, a body's starts anew.
    pub(super) fn received(&self) {
        let mut turn = self.turn.lock();
        if !matches!(turn.awaited, Some((Awaited::Head | Awaited::Close, _))) {
            turn.awaited = None;
        }
        if turn.verdict == Verdict::Closing {
            turn.verdict = Verdict::Fine;
        }
    }

    /// The request was read to its end.
    pub(super) fn request_ended(&self) {
        let mut turn = self.turn.lock();
        if turn.answer == Answer::Given && turn.unread.take().is_some() {
            turn.answer = Answer::None;
            turn.awaited = Some((Awaited::Request, Instant::now()));
        }
    }

    /// hyper is given a head; with a refusal, one that stands for it.
    pub(super) fn open(&self, refusal: Option<Refusal>) {
        let mut turn = self.turn.lock();
        turn.answer = Answer::Open;
        turn.awaited = None;
        turn.refusal = refusal;
        turn.unread = None;
        turn.served += 1;
        turn.flushed = false;
        turn.wants_flush = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.turn.lock().answer != Answer::None
    }

    /// The client shut its sending side.
    pub(super) fn note_left(&self) {
        let mut turn = self.turn.lock();
        turn.left.get_or_insert_with(Instant::now);
    }

    /// Some of the response could not be written.
    pub(super) fn stalls(&self) {
        let mut turn = self.turn.lock();
        turn.stalled.get_or_insert_with(Instant::now);
    }

    /// Some of the response was written.
    pub(super) fn wrote(&self) {
        self.turn.lock().stalled = None;
    }

    /// Everything hyper had was written. Whether the task must be polled again.
    pub(super) fn flushed(&self, request: RequestState) -> bool {
        let mut turn = self.turn.lock();
        turn.flushed = true;
        if turn.answer == Answer::Given {
            let now = Instant::now();
            match request {
                RequestState::Read { more_waits } => {
                    turn.answer = Answer::None;
                    turn.awaited = Some((Awaited::Request, now));
                    return more_waits || turn.draining.is_some() || turn.left.is_some();
                }
                RequestState::Unread => {
                    turn.unread.get_or_insert(now);
                }
            }
        }
        std::mem::take(&mut turn.wants_flush)
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.turn.lock().verdict
    }

    /// Whether the socket is to be reset rather than closed.
    pub(super) fn is_reset(&self) -> bool {
        self.turn.lock().reset
    }

    // ---- told by the exchange

    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.turn.lock().refusal.take()
    }

    /// The response is wholly in hyper's hands.
    pub(super) fn given(&self) {
        let mut turn = self.turn.lock();
        if turn.answer == Answer::Open {
            turn.answer = Answer::Given;
        }
    }

    /// Some of the response goes to hyper.
    pub(super) fn buffered(&self) {
        self.turn.lock().flushed = false;
    }

    /// Whether all that hyper was given is written; if not, asks for a poll when it is.
    pub(super) fn is_flushed(&self) -> bool {
        let mut turn = self.turn.lock();
        turn.wants_flush = !turn.flushed;
        turn.flushed
    }

    pub(super) fn is_draining(&self) -> bool {
        self.turn.lock().draining.is_some()
    }

    /// The connection ends badly, and nothing but a reset can say so.
    pub(super) fn reset(&self) {
        self.turn.lock().reset = true;
    }

    // ---- told by the connection

    pub(super) fn drain(&self) {
        self.turn.lock().draining.get_or_insert_with(Instant::now);
    }

    /// When something is due next, if nothing happens before.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let turn = self.turn.lock();
        let soonest = |a: Option<Instant>, b: Option<Instant>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let awaited = turn.awaited.map(|(awaited, since)| turn.patience(awaited, since, limits));
        let stalled = turn.stalled.map(|since| since + limits.body_timeout);
        let left = turn.left.and_then(|since| Some(turn.next_doubt(since)?.0));
        soonest(soonest(awaited, stalled), left)
    }

    /// Decides about what is overdue.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Due {
        let mut turn = self.turn.lock();
        if turn.stalled.is_some_and(|since| since + limits.body_timeout <= now) {
            turn.reset = true;
            return Due::Drop;
        }
        if let Some((at, verdict)) = turn.left.and_then(|since| turn.next_doubt(since))
            && at <= now
        {
            turn.verdict = verdict;
            return Due::Poll;
        }
        match turn.awaited {
            Some((awaited, since)) if turn.patience(awaited, since, limits) <= now => {
                turn.awaited = None;
                match awaited {
                    Awaited::Close => return Due::Drop,
                    Awaited::Body if turn.unread.is_some() => return Due::Drop,
                    Awaited::Request => turn.verdict = Verdict::Closing,
                    Awaited::Head => turn.verdict = Verdict::HeadTimeout,
                    Awaited::Body => turn.verdict = Verdict::BodyTimeout,
                }
                Due::Poll
            }
            _ => Due::Nothing,
        }
    }
}

/// How much of the present request was read when its answer had been written.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestState {
    /// All of it.
    Read {
        more_waits: bool,
    },
    Unread,
}

impl Turn {
    /// Until when `awaited` may take.
    fn patience(&self, awaited: Awaited, since: Instant, limits: &Limits) -> Instant {
        match awaited {
            Awaited::Request => match self.draining {
                Some(drained) if self.served == 0 => {
                    (since + limits.header_timeout).min(drained + FIRST_REQUEST)
                }
                Some(drained) => drained,
                None if self.served == 0 => since + limits.header_timeout,
                None => since + limits.keep_alive,
            },
            Awaited::Head => since + limits.header_timeout,
            Awaited::Body => match self.unread {
                Some(answered) => answered + LINGER,
                None => since + limits.body_timeout,
            },
            Awaited::Close => since + LINGER,
        }
    }

    /// What is concluded next of a client that stopped sending at `since`, and when.
    fn next_doubt(&self, since: Instant) -> Option<(Instant, Verdict)> {
        match (self.answer, self.verdict) {
            (Answer::Open, Verdict::Fine) => Some((since + PATIENCE_WITH_LEFT, Verdict::Left)),
            (Answer::Open, Verdict::Left) => Some((since + PATIENCE_WITH_SILENCE, Verdict::Gone)),
            _ => None,
        }
    }
}
