//! One interpreter as the supervisor keeps it.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Hands, Seen, State};
use crate::application::Killed;
use crate::census::{Access, Reason, Stage};
use crate::worker::Handle;

#[derive(Debug)]
pub(super) struct Life {
    pub(super) handle: Handle,
    pub(super) phase: Phase,
    pub(super) began: Instant,
    /// When it has lived long enough.
    pub(super) expires: Option<Instant>,
    /// Why it is to be replaced, if it is.
    pub(super) worn: Option<Reason>,
}

/// Where it is in its life, as its reports tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Loading,
    /// Loaded, not admitted.
    Ready,
    Serving,
    /// Dismissed; with requests in hand, perhaps.
    Draining {
        until: Instant,
    },
    /// Without requests; its exit handlers run.
    Ending {
        until: Instant,
    },
    /// Dismissed while it loaded: it ends as soon as it has loaded.
    Unwanted,
    Stuck,
    /// Its process was killed: it ends by itself.
    Killed,
    Abandoned,
}

impl Life {
    pub(super) fn number(&self) -> u64 {
        self.handle.record.number()
    }

    pub(super) fn generation(&self) -> u64 {
        self.handle.record.generation()
    }

    pub(super) fn is_loading(&self) -> bool {
        matches!(self.phase, Phase::Loading | Phase::Unwanted)
    }

    /// None of its threads has a request in hand.
    pub(super) fn is_idle(&self) -> bool {
        self.handle.record.is_idle()
    }

    /// When its phase has lasted too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Serving if self.worn.is_none() => self.expires,
            Phase::Draining { until } | Phase::Ending { until } => Some(until),
            _ => None,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            number: self.number(),
            generation: self.generation(),
            state: match self.phase {
                Phase::Loading => State::Loading,
                Phase::Ready => State::Ready,
                Phase::Serving => State::Serving,
                Phase::Draining { .. } | Phase::Ending { .. } => State::Leaving,
                Phase::Unwanted | Phase::Stuck | Phase::Killed | Phase::Abandoned => State::Lost,
            },
            worn: self.worn,
            hands: if self.is_idle() { Hands::Empty } else { Hands::Full },
        }
    }

    /// Its threads wait for the word.
    pub(super) fn loaded(&mut self) {
        if self.phase == Phase::Loading {
            self.phase = Phase::Ready;
            self.handle.record.reach(Stage::Spare);
        }
    }

    pub(super) fn admit(&mut self, lifetime: Option<Duration>) {
        self.phase = Phase::Serving;
        self.expires = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.handle.record.reach(Stage::Serving);
        self.handle.admit();
    }

    /// Lets it go. It has so long to finish what it has in hand, and to end.
    pub(super) fn dismiss(&mut self, patience: Duration) {
        self.phase = match self.phase {
            Phase::Loading => Phase::Unwanted,
            Phase::Ready | Phase::Serving => {
                // Before it is told: its own thread goes on to the next stage.
                self.handle.record.reach(Stage::Draining);
                Phase::Draining { until: Instant::now() + patience }
            }
            other => other,
        };
        self.handle.retire();
    }

    /// Ends it by force, if it is a process.
    pub(super) fn kill(&mut self) -> Killed {
        let record = &self.handle.record;
        if self.phase == Phase::Killed || record.access().map(Access::kill) != Some(Killed::Soon) {
            return Killed::Impossible;
        }
        record.reach(Stage::Ending);
        self.phase = Phase::Killed;
        self.handle.retire();
        Killed::Soon
    }

    /// Nothing is expected of it any more.
    pub(super) fn give_up(&mut self, phase: Phase) {
        self.handle.record.reach(if phase == Phase::Stuck { Stage::Stuck } else { Stage::Abandoned });
        self.phase = phase;
        self.handle.retire();
    }
}
