//! Whether the process can go on.

use tokio::time::Instant;

use super::life::{Life, Phase};
use super::{Supervisor, Why};
use crate::application::Loader;
use crate::census::Stage;

impl<L: Loader> Supervisor<L> {
    /// Why the process must end, if it must.
    pub(super) fn verdict(&mut self, now: Instant) -> Option<Why> {
        let serves = |life: &Life| matches!(life.phase, Phase::Serving | Phase::Loading | Phase::Ready);
        let stuck = self.lives.iter().filter(|life| life.phase == Phase::Stuck).count();
        if stuck > self.terms.most_stuck {
            let many = self.terms.kind.count(stuck);
            tracing::error!("{many} are stuck in the application's code: the process must end");
            return Some(Why::Stuck);
        }
        if self.state.exhausted {
            return Some(Why::Stuck);
        }
        // What another pool serves is not given up for this one, which tries again.
        let others_serve = || self.roster.others().iter().any(|one| one.stage() == Stage::Serving);
        if self.state.back_off.is_enough() && !self.lives.iter().any(serves) && !others_serve() {
            let kind = self.terms.kind.as_str();
            tracing::error!("no {kind} serves, and none can be loaded: the process must end");
            return Some(Why::Exhausted);
        }
        let grown = self.state.growth.excess(now)?;
        tracing::warn!(
            "the process has grown by {} MiB, more than --max-growth allows: it asks to be started again",
            grown >> 20
        );
        Some(Why::Grown)
    }
}
