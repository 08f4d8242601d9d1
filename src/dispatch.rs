//! The queue between the front end and the workers.
//!
//! Owns the waiting exchanges and their limit. Knows neither HTTP nor Python.
//! Rules: nothing here blocks on the async side, and nothing here awaits. One queue for all workers: whoever
//! is free takes the oldest request, so no interpreter idles while a request waits.
//!
//! Submissions are collected during one turn of the reactor and handed over when it is about to park
//! ([`Dispatcher::flush`]), waking one free worker for each: a wake per request costs 3–10 µs more.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::bell::{Bell, Ringer};
use crate::exchange::Exchange;

/// Requests handed over at once at most, within one turn of the reactor. 32: see [`crate::bell`].
const BATCH: usize = 32;

/// A queue for `places` interpreters, holding `capacity` waiting requests at most.
pub fn queue(places: usize, capacity: usize, bell: Arc<Bell>) -> (Dispatcher, WorkQueue) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            idle: VecDeque::new(),
            busy: vec![0; places],
            closed: false,
        }),
        capacity,
        bell,
    });
    (
        Dispatcher { shared: Arc::clone(&shared), batch: Arc::new(Mutex::new(Vec::new())) },
        WorkQueue { shared },
    )
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Requests that may wait; those being served do not count.
    capacity: usize,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Exchange>,
    /// Seats asleep, longest idle first: taking from the front is round-robin among the free.
    idle: VecDeque<Arc<Bed>>,
    /// Busy seats of each interpreter.
    busy: Vec<u32>,
    closed: bool,
}

/// Where one worker sleeps.
#[derive(Debug)]
struct Bed {
    place: usize,
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
    /// Submitted in this turn of the reactor. Only the reactor's thread locks it.
    batch: Arc<Mutex<Vec<Exchange>>>,
}

impl Dispatcher {
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
            if state.waiting.len() + batch.len() >= room {
                state.waiting.retain(|waiting| waiting.reply.is_wanted());
                if state.waiting.len() + batch.len() >= room {
                    return Err(Refused::Full(exchange));
                }
            }
        }
        batch.push(exchange);
        let full = batch.len() >= BATCH;
        drop(batch);
        if full {
            self.flush();
        }
        Ok(())
    }

    /// Hands over what was submitted. The reactor calls it when it is about to park.
    pub fn flush(&self) {
        let mut batch = self.batch.lock();
        if batch.is_empty() {
            return;
        }
        let mut state = self.shared.state.lock();
        let mut calls = batch.len();
        state.waiting.extend(batch.drain(..));
        while calls > 0 {
            let Some(bed) = state.call_one() else { break };
            bed.called.notify_one();
            calls -= 1;
        }
        drop(state);
        self.shared.bell.stir();
    }

    /// Requests waiting for a worker.
    pub fn waiting(&self) -> usize {
        let submitted = self.batch.lock().len();
        submitted + self.shared.state.lock().waiting.len()
    }

    /// Workers with nothing to do.
    pub fn idle(&self) -> usize {
        self.shared.state.lock().idle.len()
    }

    pub fn bell(&self) -> &Arc<Bell> {
        &self.shared.bell
    }
}

impl State {
    /// Takes a sleeping seat out of bed: one of an interpreter with nothing to do, if there is one, the
    /// longest idle first.
    fn call_one(&mut self) -> Option<Arc<Bed>> {
        let (chosen, _) = self
            .idle
            .iter()
            .enumerate()
            .min_by_key(|(position, bed)| (self.busy.get(bed.place).copied().unwrap_or(0), *position))?;
        let bed = self.idle.remove(chosen)?;
        if let Some(busy) = self.busy.get_mut(bed.place) {
            *busy += 1;
        }
        Some(bed)
    }

    fn take(&mut self) -> Option<Exchange> {
        // A request whose client is gone never reaches the application.
        while let Some(exchange) = self.waiting.pop_front() {
            if exchange.reply.is_wanted() {
                exchange.reply.take();
                return Some(exchange);
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
    /// A worker's seat at the queue, for interpreter `place`.
    pub fn seat(&self, place: usize) -> Seat {
        let mut state = self.shared.state.lock();
        if state.busy.len() <= place {
            state.busy.resize(place + 1, 0);
        }
        if let Some(busy) = state.busy.get_mut(place) {
            *busy += 1;
        }
        Seat {
            shared: Arc::clone(&self.shared),
            bed: Arc::new(Bed { place, called: Condvar::new() }),
            ringer: Ringer::new(),
        }
    }

    /// No more requests: workers finish what waits, then leave. Wakes all of them.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        while let Some(bed) = state.call_one() {
            bed.called.notify_one();
        }
    }

    /// Takes requests again, for workers that replace those who left with [`WorkQueue::close`].
    pub fn reopen(&self) {
        self.shared.state.lock().closed = false;
    }

    /// Gives up what still waits: each reply answers 503 by being dropped.
    pub fn discard(&self) -> usize {
        let waiting = std::mem::take(&mut self.shared.state.lock().waiting);
        waiting.len()
    }
}

/// One worker's place at the queue. Counted busy unless it sleeps in [`Seat::wait`].
#[derive(Debug)]
pub struct Seat {
    shared: Arc<Shared>,
    bed: Arc<Bed>,
    ringer: Ringer,
}

impl Seat {
    /// The next request if one waits. Rings for replies whose time has come; takes nanoseconds, so it may
    /// be called attached to an interpreter.
    pub fn take(&mut self) -> Option<Exchange> {
        let next = self.shared.state.lock().take();
        match next {
            Some(_) => self.ringer.served(&self.shared.bell),
            None => self.ringer.rest(&self.shared.bell),
        }
        next
    }

    /// A part of a reply was left for the reactor: rings when it is time.
    pub fn offered(&mut self) {
        self.ringer.served(&self.shared.bell);
    }

    /// Waits for a request; `None` when the queue is closed and empty. Blocks: never call it attached.
    pub fn wait(&mut self) -> Option<Exchange> {
        self.ringer.rest(&self.shared.bell);
        let mut state = self.shared.state.lock();
        loop {
            if let Some(exchange) = state.take() {
                self.ringer.resume();
                return Some(exchange);
            }
            if state.closed {
                return None;
            }
            if let Some(busy) = state.busy.get_mut(self.bed.place) {
                *busy = busy.saturating_sub(1);
            }
            state.idle.push_back(Arc::clone(&self.bed));
            // Whoever takes a bed out of `idle` notifies it and counts it busy again.
            while state.idle.iter().any(|bed| Arc::ptr_eq(bed, &self.bed)) {
                self.bed.called.wait(&mut state);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ringer.rest(&self.shared.bell);
        let mut state = self.shared.state.lock();
        if let Some(busy) = state.busy.get_mut(self.bed.place) {
            *busy = busy.saturating_sub(1);
        }
    }
}
