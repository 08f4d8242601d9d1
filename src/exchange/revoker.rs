//! Answering in a worker's place, and how long the worker has waited for the client.
//!
//! Owns the outside's view of a reply: whoever watches the time holds a [`Revoker`] while the worker holds the
//! reply. The worker's own later sends find that nobody reads.

use std::time::{Duration, Instant};

use super::reply::{Interest, Slot, Way};
use super::{Fault, Reply};

/// Takes a reply away from the worker that has it. Cheap to clone; keeps the reply's buffer alive.
#[derive(Debug, Clone)]
pub struct Revoker {
    way: Way,
}

/// What became of a reply that was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The client gets the fault as its answer.
    Answered,
    /// The head was out: the connection is aborted.
    Aborted,
    /// The response was complete already: nothing was done.
    Complete,
}

/// How long a worker has waited for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// In all, up to now.
    pub time: Duration,
    /// It waits at this moment.
    pub still: bool,
}

/// Times in which the application waits for its client: to send more of its body, or to take more of the
/// response. Several threads of an application may wait at once; the time counts once.
#[derive(Debug, Default)]
pub(super) struct Waits {
    past: Duration,
    waiting: u32,
    since: Option<Instant>,
}

impl Waits {
    pub(super) fn begin(&mut self, now: Instant) {
        self.waiting += 1;
        self.since.get_or_insert(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0
            && let Some(since) = self.since.take()
        {
            self.past += now.saturating_duration_since(since);
        }
    }

    fn total(&self, now: Instant) -> Waited {
        let present = self.since.map(|since| now.saturating_duration_since(since));
        Waited { time: self.past + present.unwrap_or_default(), still: present.is_some() }
    }
}

impl Reply {
    /// The handle for whoever watches the time. None: it was answered already.
    #[must_use]
    pub fn revoker(&self) -> Option<Revoker> {
        self.way.clone().map(|way| Revoker { way })
    }

    /// Whether it was taken away from the worker.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.way.as_ref().is_some_and(Way::is_revoked)
    }
}

impl Revoker {
    /// Answers with `fault` if the head is not out, breaks the body off if that is not complete. From then on
    /// nobody reads what the worker sends.
    /// One of another process is taken away there, and not here.
    pub fn revoke(&self, fault: Fault) -> Revoked {
        let mut outcome = Revoked::Complete;
        let Way::Here(slot) = &self.way else { return outcome };
        slot.update(|state| {
            if !state.begun {
                state.begun = true;
                state.head = Some(Err(fault));
                state.end = Some(Ok(()));
                outcome = Revoked::Answered;
            } else if state.end.is_none() {
                state.end = Some(Err(fault));
                outcome = Revoked::Aborted;
            }
        });
        if outcome != Revoked::Complete {
            slot.lose(Interest::Revoked);
            slot.bell.ring();
        }
        outcome
    }

    /// Whether the reply was taken away.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.way.is_revoked()
    }

    /// How long the worker has waited for the client.
    #[must_use]
    pub fn waited(&self, now: Instant) -> Waited {
        match &self.way {
            Way::Here(slot) => slot.state.lock().waits.total(now),
            // It is counted where the reader is.
            Way::There(..) => Waits::default().total(now),
        }
    }

    /// Runs what waits for the client: its time is not the application's.
    pub fn while_waiting<R>(&self, wait: impl FnOnce() -> R) -> R {
        /// Also when `wait` panics.
        struct Over<'r>(&'r Slot);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.state.lock().waits.end(Instant::now());
            }
        }
        let Way::Here(slot) = &self.way else { return wait() };
        slot.state.lock().waits.begin(Instant::now());
        let _over = Over(slot);
        wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_once_however_many_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waits = Waits::default();
        waits.begin(at(1));
        waits.begin(at(2));
        waits.end(at(4));
        assert_eq!(waits.total(at(5)), Waited { time: Duration::from_secs(4), still: true });
        waits.end(at(6));
        waits.begin(at(10));
        waits.end(at(11));
        assert_eq!(waits.total(at(20)), Waited { time: Duration::from_secs(6), still: false });
    }
}
