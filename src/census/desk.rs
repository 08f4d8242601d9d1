//! What one serving thread has in hand, and what it has done.
//!
//! Written by that thread once a request, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Uri};
use parking_lot::Mutex;

use super::{Current, Totals};
use crate::exchange::{Client, Exchange, Revoker};

/// One per serving thread, owned by its seat at the queue.
#[derive(Debug, Default)]
pub struct Desk {
    /// Of the interpreter that it stands in.
    number: u64,
    /// As its interpreter knows it; zeroes until it is told.
    thread: Mutex<Thread>,
    entry: Mutex<Option<Entry>>,
    /// Requests handed out here; the last one's number is its entry's.
    handed_out: AtomicU64,
    served: AtomicU64,
    /// Nanoseconds, each written by the desk's own thread alone.
    queued: AtomicU64,
    in_python: AtomicU64,
    gil_wait: AtomicU64,
}

/// A thread as its interpreter knows it: what others in there call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thread {
    /// Of the thread itself, while it lives.
    pub identifier: u64,
    /// Of its state in the interpreter, never used again there.
    pub state: u64,
}

/// The request that a thread has in hand.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts the requests of this desk: what tells this request from the next one there.
    pub serial: u64,
    pub method: Method,
    pub uri: Uri,
    pub client: Client,
    /// When the application got it.
    pub since: Instant,
    /// How long it had waited in the queue then.
    pub queued: Duration,
    /// Takes its reply away from the thread that has it.
    pub revoker: Option<Revoker>,
    /// It was answered in the application's place.
    pub timed_out: bool,
    /// An exception was raised from outside in the thread that has it.
    pub interrupted: bool,
}

/// How an entry was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Nobody interfered, or there was none.
    Undisturbed,
    /// An exception was raised from outside, and may still be pending in this thread.
    Interrupted,
}

impl Entry {
    /// Of a request that is not begun yet; `since` when it has waited.
    #[must_use]
    pub fn of(exchange: &Exchange, since: Instant) -> Self {
        let request = &exchange.request;
        Self {
            serial: 0,
            method: request.method.clone(),
            uri: request.uri.clone(),
            client: request.connection.client,
            since,
            queued: Duration::ZERO,
            revoker: exchange.reply.revoker(),
            timed_out: false,
            interrupted: false,
        }
    }
}

impl Desk {
    /// In the interpreter of this number.
    #[must_use]
    pub fn of(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// The number of the interpreter that it stands in.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its thread says that it serves here.
    pub fn sit(&self, thread: Thread) {
        *self.thread.lock() = thread;
    }

    /// The thread that serves here.
    pub fn thread(&self) -> Thread {
        *self.thread.lock()
    }

    /// The request in hand now.
    pub fn entry(&self) -> Option<Entry> {
        self.entry.lock().clone()
    }

    /// Whether nothing is in hand.
    pub fn is_free(&self) -> bool {
        self.entry.lock().is_none()
    }

    /// Its own thread has `exchange` from `now` on. Closes what was there.
    pub fn open(&self, exchange: &Exchange, now: Instant, queued: Duration) -> Closed {
        self.skip();
        add(&self.queued, nanoseconds(queued));
        let request = &exchange.request;
        let mut place = self.entry.lock();
        let (closed, _revoker) = self.leave(place.as_mut(), now);
        // Made where it stays: it is large.
        *place = Some(Entry {
            serial: self.handed_out.load(Ordering::Relaxed),
            method: request.method.clone(),
            uri: request.uri.clone(),
            client: request.connection.client,
            since: now,
            queued,
            revoker: exchange.reply.revoker(),
            timed_out: false,
            interrupted: false,
        });
        drop(place);
        closed
    }

    /// Its own thread has what `entry` is of, from `now` on. Closes what was there.
    pub fn begin(&self, entry: Entry, now: Instant, queued: Duration) -> Closed {
        self.skip();
        add(&self.queued, nanoseconds(queued));
        let serial = self.handed_out.load(Ordering::Relaxed);
        let mut place = self.entry.lock();
        let (closed, _revoker) = self.leave(place.as_mut(), now);
        *place = Some(Entry { serial, since: now, queued, ..entry });
        drop(place);
        closed
    }

    /// The next number is of a request that is not begun here after all.
    pub fn skip(&self) {
        add(&self.handed_out, 1);
    }

    /// Its own thread has finished with what it had.
    pub fn close(&self, now: Instant) -> Closed {
        let mut place = self.entry.lock();
        let (closed, _revoker) = self.leave(place.as_mut(), now);
        *place = None;
        drop(place);
        closed
    }

    /// Counts what is left, and gives back what must not be dropped under the lock: it may have the reply's buffer.
    fn leave(&self, entry: Option<&mut Entry>, now: Instant) -> (Closed, Option<Revoker>) {
        let Some(entry) = entry else { return (Closed::Undisturbed, None) };
        add(&self.served, 1);
        add(&self.in_python, nanoseconds(now.saturating_duration_since(entry.since)));
        let closed = if entry.interrupted { Closed::Interrupted } else { Closed::Undisturbed };
        (closed, entry.revoker.take())
    }

    /// Its own thread has waited for the GIL.
    pub fn waited(&self, time: Duration) {
        add(&self.gil_wait, nanoseconds(time));
    }

    /// Notes that request `serial` was answered in the application's place. False: it is gone.
    pub fn time_out(&self, serial: u64) -> bool {
        self.mark(serial, |entry| entry.timed_out = true)
    }

    /// Whether request `serial` is still in hand.
    pub fn has(&self, serial: u64) -> bool {
        self.mark(serial, |_| ())
    }

    /// Runs `raise` while request `serial` is certainly in hand, and notes that it was interrupted. False: it is
    /// gone. `raise` must be short: the desk's own thread waits for it.
    pub fn interrupt(&self, serial: u64, raise: impl FnOnce()) -> bool {
        self.mark(serial, |entry| {
            entry.interrupted = true;
            raise();
        })
    }

    fn mark(&self, serial: u64, mark: impl FnOnce(&mut Entry)) -> bool {
        match &mut *self.entry.lock() {
            Some(entry) if entry.serial == serial => {
                mark(entry);
                true
            }
            _ => false,
        }
    }

    /// Requests that its thread has finished with.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub fn gil_wait(&self) -> Duration {
        Duration::from_nanos(self.gil_wait.load(Ordering::Relaxed))
    }

    /// Adds what was done here to `totals`.
    pub fn count(&self, totals: &mut Totals) {
        totals.served += self.served();
        totals.queued += Duration::from_nanos(self.queued.load(Ordering::Relaxed));
        totals.in_python += Duration::from_nanos(self.in_python.load(Ordering::Relaxed));
    }

    /// What is in hand, for the census.
    pub fn current(&self, now: Instant) -> Option<Current> {
        let entry = self.entry()?;
        Some(Current {
            method: entry.method.to_string(),
            target: entry.uri.to_string(),
            client: entry.client.address().map(|address| address.to_string()).unwrap_or_default(),
            elapsed: now.saturating_duration_since(entry.since),
            timed_out: entry.timed_out,
        })
    }
}

/// Adds to a counter with one writer: cheaper than an atomic addition.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
