//! The queue between the front end and the workers.
//!
//! Owns the waiting exchanges and their limit. Knows neither HTTP nor Python.
//! Rules: nothing here blocks on the async side, and nothing here awaits. One queue for all workers: whoever
//! is free takes the oldest request, so no interpreter idles while a request waits. A seat that was called out of
//! bed and leaves all the same passes the call on: no request waits while somebody who would take it sleeps.
//!
//! Submissions are collected during one turn of the reactor and handed over when it is about to park
//! ([`Dispatcher::flush`]), waking one free worker for each: a wake per request costs 3–10 µs more.

mod ahead;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::bell::{Bell, Ringer};
use crate::census::{self, Closed, Counters, Desk, Entry};
use crate::exchange::{Exchange, Request, Service};

/// Requests handed over at once at most, within one turn of the reactor. 32: see [`crate::bell`].
const BATCH: usize = 32;

/// A queue that holds `capacity` waiting requests at most.
pub fn queue(capacity: usize, bell: Arc<Bell>) -> (Dispatcher, WorkQueue) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { bite: 1, ..State::default() }),
        capacity,
        bell,
        watched: AtomicBool::new(false),
        stirred: Notify::new(),
        counters: Counters::default(),
    });
    (Dispatcher { shared: Arc::clone(&shared), batch: Arc::default() }, WorkQueue { shared })
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Requests that may wait; those being served do not count.
    capacity: usize,
    bell: Arc<Bell>,
    /// Whoever watches the time knows that there is something to watch. Written by the reactor's thread only.
    watched: AtomicBool,
    stirred: Notify,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Boxes of requests that are served, on their way back. Measured: one that the reactor allocated and a worker freed
    /// cost 590 instructions.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spent: Vec<Box<Request>>,
    /// Seats asleep, longest idle first: taking from the front is round-robin among the free.
    idle: VecDeque<Arc<Bed>>,
    /// All seats there are.
    seats: usize,
    /// Requests that one seat takes at once though others sleep.
    bite: usize,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    exchange: Exchange,
    /// When it was handed over.
    since: Instant,
}

/// What the seats of one interpreter share. Written under the queue's lock only.
#[derive(Debug, Default)]
struct Crew {
    /// Seats that do not sleep.
    busy: AtomicU32,
    /// They shall take no more.
    retired: AtomicBool,
}

impl Crew {
    fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    fn wakes(&self) {
        self.busy.store(self.busy() + 1, Ordering::Relaxed);
    }

    fn sleeps(&self) {
        self.busy.store(self.busy().saturating_sub(1), Ordering::Relaxed);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

/// Where one worker sleeps.
#[derive(Debug)]
struct Bed {
    crew: Arc<Crew>,
    called: Condvar,
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Refused {
    /// `--queue` requests are waiting already: 503 with Retry-After.
    Full(Exchange),
    /// The server is stopping.
    Closed(Exchange),
}

/// The async side.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    /// Only the reactor's thread locks it.
    batch: Arc<Mutex<Batch>>,
}

#[derive(Debug, Default)]
struct Batch {
    /// Submitted in this turn of the reactor.
    exchanges: Vec<Exchange>,
    /// For the next requests.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    boxes: Vec<Box<Request>>,
}

impl Dispatcher {
    /// Puts a request into a box that another one has left, if there is one.
    pub fn boxed(&self, request: Request) -> Box<Request> {
        let Some(mut boxed) = self.batch.lock().boxes.pop() else { return Box::new(request) };
        *boxed = request;
        boxed
    }

    /// Takes a request to be handed over at the end of this turn.
    // The refused exchange goes back whole, to be answered: it is not an error to box.
    #[allow(clippy::result_large_err)]
    pub fn submit(&self, exchange: Exchange) -> Result<(), Refused> {
        let mut batch = self.batch.lock();
        {
            let mut state = self.shared.state.lock();
            if state.closed {
                return Err(Refused::Closed(exchange));
            }
            // A free worker's request does not wait: it takes no place in the queue.
            let room = self.shared.capacity + state.idle.len();
            if state.waiting.len() + batch.exchanges.len() >= room {
                state.waiting.retain(|waiting| waiting.exchange.reply.is_wanted());
                if state.waiting.len() + batch.exchanges.len() >= room {
                    self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(Refused::Full(exchange));
                }
            }
        }
        batch.exchanges.push(exchange);
        let full = batch.exchanges.len() >= BATCH;
        drop(batch);
        if full {
            self.flush();
        }
        Ok(())
    }

    /// Hands over what was submitted. The reactor calls it when it is about to park.
    pub fn flush(&self) {
        let mut batch = self.batch.lock();
        if batch.exchanges.is_empty() {
            return;
        }
        let since = Instant::now();
        let mut state = self.shared.state.lock();
        let mut calls = batch.exchanges.len().div_ceil(state.bite);
        state.waiting.extend(batch.exchanges.drain(..).map(|exchange| Waiting { exchange, since }));
        if batch.boxes.is_empty() {
            std::mem::swap(&mut batch.boxes, &mut state.spent);
        }
        while calls > 0 && state.call_one() {
            calls -= 1;
        }
        drop(state);
        self.shared.bell.stir();
        if !self.shared.watched.load(Ordering::Relaxed) {
            self.shared.watched.store(true, Ordering::Relaxed);
            self.shared.stirred.notify_one();
        }
    }

    /// Waits for the first request after [`Dispatcher::rest`], or for the end of one that was interrupted. For the
    /// one who watches the time.
    pub async fn stirred(&self) {
        self.shared.stirred.notified().await;
    }

    /// There is nothing to watch until the next request: none waits, and no worker is busy but for `known` ones.
    /// False: there is.
    pub fn rest(&self, known: usize) -> bool {
        let state = self.shared.state.lock();
        let rests = state.waiting.is_empty() && state.seats.saturating_sub(state.idle.len()) <= known;
        self.shared.watched.store(!rests, Ordering::Relaxed);
        rests
    }

    /// Since when the request that has waited longest has done so.
    pub fn oldest(&self) -> Option<Instant> {
        self.shared.state.lock().waiting.front().map(|waiting| waiting.since)
    }

    /// Requests waiting for a worker.
    pub fn waiting(&self) -> usize {
        let submitted = self.batch.lock().exchanges.len();
        submitted + self.shared.state.lock().waiting.len()
    }

    /// Workers with nothing to do.
    pub fn idle(&self) -> usize {
        self.shared.state.lock().idle.len()
    }

    /// Takes back what has waited for `limit` or longer, to be answered by the front end.
    pub fn expire(&self, limit: Duration) -> Vec<Exchange> {
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let overdue = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= limit;
        let count = state.waiting.iter().take_while(|waiting| overdue(waiting)).count();
        state.waiting.drain(..count).map(|waiting| waiting.exchange).collect()
    }

    pub fn bell(&self) -> &Arc<Bell> {
        &self.shared.bell
    }

    /// What the census tells beside the desks.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

impl State {
    /// Calls a sleeping seat out of bed: one of an interpreter with nothing to do, if there is one, the
    /// longest idle first. False: none sleeps.
    fn call_one(&mut self) -> bool {
        let beds = self.idle.iter().enumerate();
        let chosen = beds.min_by_key(|(position, bed)| (bed.crew.busy(), *position));
        let Some(bed) = chosen.map(|(position, _)| position).and_then(|position| self.idle.remove(position))
        else {
            return false;
        };
        bed.crew.wakes();
        bed.called.notify_one();
        true
    }

    fn take(&mut self) -> Option<Waiting> {
        // A request whose client is gone never reaches the application.
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.exchange.reply.is_wanted() {
                waiting.exchange.reply.take();
                return Some(waiting);
            }
        }
        None
    }
}

/// The blocking side.
#[derive(Debug, Clone)]
pub struct WorkQueue {
    shared: Arc<Shared>,
}

impl WorkQueue {
    /// A new interpreter's membership: it has no seats yet.
    #[must_use]
    pub fn member(&self) -> Member {
        Member { shared: Arc::clone(&self.shared), crew: Arc::default() }
    }

    /// No more requests: workers finish what waits, then leave. Wakes all of them.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        while state.call_one() {}
    }

    /// Gives up what still waits: each reply answers 503 by being dropped.
    pub fn discard(&self) -> usize {
        let waiting = std::mem::take(&mut self.shared.state.lock().waiting);
        waiting.len()
    }

    pub fn bell(&self) -> &Arc<Bell> {
        &self.shared.bell
    }

    /// How full it is, and how long the oldest request has waited.
    pub fn gauge(&self, now: Instant) -> census::Queue {
        let state = self.shared.state.lock();
        let oldest = state.waiting.front().map(|waiting| now.saturating_duration_since(waiting.since));
        census::Queue {
            waiting: state.waiting.len(),
            capacity: self.shared.capacity,
            oldest: oldest.unwrap_or_default(),
        }
    }

    /// What the census tells beside the desks.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

/// One interpreter's membership in the queue. Each clone is the same member.
#[derive(Debug, Clone)]
pub struct Member {
    shared: Arc<Shared>,
    crew: Arc<Crew>,
}

impl Member {
    /// A seat for one of its workers, which writes down at `desk` what it has in hand.
    #[must_use]
    pub fn seat(&self, desk: Arc<Desk>) -> Seat {
        let mut state = self.shared.state.lock();
        state.seats += 1;
        self.crew.wakes();
        drop(state);
        Seat {
            shared: Arc::clone(&self.shared),
            bed: Arc::new(Bed { crew: Arc::clone(&self.crew), called: Condvar::new() }),
            ringer: Ringer::new(),
            desk,
            spent: None,
            closed: Closed::Undisturbed,
            ahead: VecDeque::new(),
        }
    }

    /// Its seats take no more, from now on; those asleep leave at once. The others of the queue go on.
    pub fn retire(&self) {
        let mut state = self.shared.state.lock();
        self.crew.retired.store(true, Ordering::Relaxed);
        let (leaving, staying) =
            state.idle.drain(..).partition::<VecDeque<_>, _>(|bed| Arc::ptr_eq(&bed.crew, &self.crew));
        state.idle = staying;
        for bed in leaving {
            bed.crew.wakes();
            bed.called.notify_one();
        }
    }

    pub fn is_retired(&self) -> bool {
        self.crew.is_retired()
    }
}

/// One worker's place at the queue. Counted busy unless it sleeps in [`Seat::wait`].
#[derive(Debug)]
pub struct Seat {
    shared: Arc<Shared>,
    bed: Arc<Bed>,
    ringer: Ringer,
    desk: Arc<Desk>,
    /// The box of the request before, which goes back with the next look at the queue.
    spent: Option<Box<Request>>,
    /// How the requests since the last call of [`Seat::was_interrupted`] were left.
    closed: Closed,
    /// What it has taken beside the request in hand, each with the time since when it waits.
    ahead: VecDeque<Entry>,
}

impl Seat {
    /// The next request if one waits. Rings for replies whose time has come; takes nanoseconds, so it may
    /// be called attached to an interpreter.
    pub fn take(&mut self) -> Option<Exchange> {
        let next = {
            let mut state = self.shared.state.lock();
            if state.spent.len() < BATCH {
                state.spent.extend(self.spent.take());
            }
            if self.bed.crew.is_retired() { None } else { state.take() }
        };
        let now = Instant::now();
        match next {
            Some(waiting) => {
                self.ringer.served(&self.shared.bell, now);
                Some(self.open(waiting, now))
            }
            None => {
                let closed = self.desk.close(now);
                self.note(closed);
                self.ringer.rest(&self.shared.bell, now);
                None
            }
        }
    }

    fn open(&mut self, Waiting { exchange, since }: Waiting, now: Instant) -> Exchange {
        let queued = now.saturating_duration_since(since);
        exchange.reply.served_by(Service { interpreter: self.desk.number(), queued });
        let closed = self.desk.open(&exchange, now, queued);
        self.note(closed);
        exchange
    }

    fn note(&mut self, closed: Closed) {
        if closed == Closed::Interrupted {
            self.closed = closed;
            self.shared.stirred.notify_one();
        }
    }

    /// Whether a request was interrupted from outside since this was asked last. What was raised may be pending.
    pub fn was_interrupted(&mut self) -> bool {
        std::mem::replace(&mut self.closed, Closed::Undisturbed) == Closed::Interrupted
    }

    /// So long has this thread waited for its interpreter's GIL.
    pub fn attached_after(&self, wait: Duration) {
        self.desk.waited(wait);
    }

    /// This worker is done with a request, of which nothing but the box is of use.
    pub fn done_with(&mut self, mut request: Box<Request>) {
        request.let_go();
        self.spent = Some(request);
    }

    /// Puts back what this worker has taken and not begun with, before all that waits.
    pub fn give_back(&self, exchange: Exchange) {
        let mut state = self.shared.state.lock();
        state.waiting.push_front(Waiting { exchange, since: Instant::now() });
        state.call_one();
    }

    /// A part of a reply was left for the reactor: rings when it is time.
    pub fn offered(&mut self) {
        self.ringer.served(&self.shared.bell, Instant::now());
    }

    /// Waits for a request; `None` when the queue is closed and empty, or its interpreter retired. Blocks: never
    /// call it attached.
    pub fn wait(&mut self) -> Option<Exchange> {
        let now = Instant::now();
        let closed = self.desk.close(now);
        self.note(closed);
        self.ringer.rest(&self.shared.bell, now);
        let mut state = self.shared.state.lock();
        let waiting = loop {
            if self.bed.crew.is_retired() {
                // It may have been called for what waits now: somebody else must take that.
                if !state.waiting.is_empty() {
                    state.call_one();
                }
                return None;
            }
            if let Some(waiting) = state.take() {
                break waiting;
            }
            if state.closed {
                return None;
            }
            self.bed.crew.sleeps();
            state.idle.push_back(Arc::clone(&self.bed));
            // Whoever takes a bed out of `idle` notifies it and counts it busy again.
            while state.idle.iter().any(|bed| Arc::ptr_eq(bed, &self.bed)) {
                self.bed.called.wait(&mut state);
            }
        };
        drop(state);
        let now = Instant::now();
        self.ringer.resume(now);
        Some(self.open(waiting, now))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = Instant::now();
        self.desk.close(now);
        self.ringer.rest(&self.shared.bell, now);
        let mut state = self.shared.state.lock();
        state.seats = state.seats.saturating_sub(1);
        self.bed.crew.sleeps();
        drop(state);
    }
}
