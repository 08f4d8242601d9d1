//! The way back to the reactor: wakers of tasks whose answer has come, rung in batches.
//!
//! Owns the wakers left by workers. Knows neither requests nor replies; imports nothing of ours.
//! Rule: waking a tokio task from a foreign thread costs a system call, from the reactor's own thread a
//! push on a list. So workers only *leave* wakers here; the reactor collects them each time it is about
//! to park, and is *rung* (one system call) when a worker has a batch or nothing else to do.
//!
//! A worker may put off ringing for [`PATIENCE`] after its last ring. Should its next request turn out to
//! be slow, [`Bell::pump`] looks again one millisecond after the last ring or submission, so no finished
//! reply waits longer than that behind somebody else's slow request.

use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Replies left unrung at most. 32: the batch at which the hand-over's cost per request stops falling.
const BATCH: usize = 32;

/// How long after its last ring a worker may go on without ringing. 900 µs: below [`LOOK_AGAIN`], which bounds
/// how long a reply can wait unrung. A ring wakes the reactor, and on a virtual machine that costs up to 50 µs of
/// CPU: Flask on one core took 236 µs of CPU a request with a patience of 150 µs, and 158–175 µs with this.
const PATIENCE: Duration = Duration::from_micros(900);

/// When the reactor looks again after the last ring or submission. 1 ms: tokio's timer resolution.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Left by workers, collected by the reactor.
#[derive(Debug, Default)]
pub struct Bell {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    left: Vec<Waker>,
    /// The pump's waker: waking it rings the reactor.
    pump: Option<Waker>,
    /// Something was submitted or rung since the pump last set its timer.
    stirred: bool,
}

impl Bell {
    /// Leaves a waker for the reactor to find. Returns how many are waiting to be collected.
    pub fn leave(&self, waker: Waker) -> usize {
        let mut inside = self.inside.lock();
        inside.left.push(waker);
        inside.left.len()
    }

    /// Wakes the reactor, if anything was left.
    pub fn ring(&self) {
        let pump = {
            let mut inside = self.inside.lock();
            if inside.left.is_empty() {
                return;
            }
            inside.stirred = true;
            inside.pump.take()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    /// Reactor's thread: wakes the tasks whose wakers were left.
    pub fn collect(&self) {
        let left = {
            let mut inside = self.inside.lock();
            if inside.left.is_empty() {
                return;
            }
            std::mem::take(&mut inside.left)
        };
        for waker in left {
            waker.wake();
        }
    }

    /// Reactor's thread: work was handed over, so look again soon.
    pub fn stir(&self) {
        let pump = {
            let mut inside = self.inside.lock();
            if inside.stirred {
                return;
            }
            inside.stirred = true;
            inside.pump.take()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    /// The reactor's task that answers rings. Never ends; sets no timer while nothing happens.
    pub async fn pump(&self) {
        let mut timer = std::pin::pin!(tokio::time::sleep(LOOK_AGAIN));
        let mut armed = false;
        poll_fn(|context| {
            loop {
                self.collect();
                if armed && timer.as_mut().poll_elapsed(context).is_ready() {
                    armed = false;
                }
                let mut inside = self.inside.lock();
                inside.pump = Some(context.waker().clone());
                if !armed && inside.stirred {
                    inside.stirred = false;
                    armed = true;
                    timer.as_mut().reset(tokio::time::Instant::now() + LOOK_AGAIN);
                    continue; // poll the timer once, so that it knows this task
                }
                if inside.left.is_empty() {
                    return Poll::<()>::Pending;
                }
            }
        })
        .await;
    }
}

/// `Sleep` as a plain poll, without naming `Future` at the call.
trait PollElapsed {
    fn poll_elapsed(self, context: &mut std::task::Context<'_>) -> Poll<()>;
}

impl PollElapsed for std::pin::Pin<&mut tokio::time::Sleep> {
    fn poll_elapsed(self, context: &mut std::task::Context<'_>) -> Poll<()> {
        Future::poll(self, context)
    }
}

/// One worker's restraint in ringing: at most [`BATCH`] replies or [`PATIENCE`] without a ring.
#[derive(Debug)]
pub struct Ringer {
    last: Instant,
    unrung: usize,
}

impl Ringer {
    pub fn new() -> Self {
        Self { last: Instant::now(), unrung: 0 }
    }

    /// A request was finished and more are waiting: rings only when it is time.
    pub fn served(&mut self, bell: &Bell, now: Instant) {
        self.unrung += 1;
        if self.unrung >= BATCH || now.saturating_duration_since(self.last) >= PATIENCE {
            self.rest(bell, now);
        }
    }

    /// Nothing else to do: rings.
    pub fn rest(&mut self, bell: &Bell, now: Instant) {
        bell.ring();
        self.unrung = 0;
        self.last = now;
    }

    /// Work has come after a rest: patience counts from here.
    pub fn resume(&mut self, now: Instant) {
        self.last = now;
    }
}

impl Default for Ringer {
    fn default() -> Self {
        Self::new()
    }
}
