//! Requests that a worker takes beside the one in hand, for an application that is quicker with several at once.

use std::time::Instant;

use super::{Seat, State, Waiting};
use crate::application::Appetite;
use crate::census::Entry;
use crate::exchange::{Exchange, RequestBody, Service};

/// Bytes of a body that may come with it at most. 8 KiB: what waits in a socket waits in the kernel's memory.
const BODY: usize = 8 * 1024;

impl State {
    /// Whether the request that has waited longest may be taken ahead.
    fn is_small(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| match &waiting.exchange.request.body {
            RequestBody::Empty => true,
            RequestBody::Whole(body) => body.len() <= BODY,
            RequestBody::Stream(_) => false,
        })
    }
}

impl Seat {
    /// Takes what waits, as far as it has an appetite for it, and no more than this seat's share: each of the others may
    /// be awake and about to take as much. Calls another for what it leaves.
    pub fn ahead(&mut self, Appetite { most, alone }: Appetite) -> Vec<Exchange> {
        let mut taken = Vec::new();
        let mut state = self.shared.state.lock();
        state.bite = alone + 1;
        if self.bed.crew.is_retired() {
            return taken;
        }
        let share = most.min(state.waiting.len() / state.seats.max(1)).max(alone);
        while taken.len() < share && state.is_small() {
            let Some(Waiting { exchange, since }) = state.take() else { break };
            self.ahead.push_back(Entry::of(&exchange, since));
            taken.push(exchange);
        }
        // One call was for several requests.
        if !state.waiting.is_empty() {
            state.call_one();
        }
        taken
    }

    /// The request in hand was done with `at` that time, and the next of those ahead begun.
    pub fn proceed(&mut self, at: Instant) -> Option<Service> {
        let entry = self.ahead.pop_front()?;
        self.ringer.served(&self.shared.bell, at);
        let queued = at.saturating_duration_since(entry.since);
        let closed = self.desk.begin(entry, at, queued);
        self.note(closed);
        Some(Service { interpreter: self.desk.number(), queued })
    }

    /// Puts back the last of those ahead, before all that waits.
    pub fn take_back(&mut self, exchange: Exchange) {
        let since = self.ahead.pop_back().map_or_else(Instant::now, |entry| entry.since);
        let mut state = self.shared.state.lock();
        state.waiting.push_front(Waiting { exchange, since });
        state.call_one();
    }
}
