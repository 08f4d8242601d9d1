//! What commands change, and what a reload comes to.

use tokio::time::Instant;

use super::reload::{self, Proof, Reload};
use super::{Course, Replacement, Supervisor, plan};
use crate::application::Loader;
use crate::census::{Command, Kind, Outcome, Pool, Reason};

/// What to do where the application lives in the main interpreter.
const CURE: &str = "the application lives in the main interpreter, which cannot be replaced: restart the \
                    process (circusctl restart, systemctl restart)";

impl<L: Loader> Supervisor<L> {
    /// Begins what is asked for.
    pub fn obey(&mut self, command: Command) -> Outcome {
        if self.state.course != Course::Running {
            return match command {
                Command::Stop => Outcome::Unchanged("the server is stopping already".to_owned()),
                _ => Outcome::Refused("the server is stopping".to_owned()),
            };
        }
        let outcome = match (command, self.terms.replacement) {
            (Command::Stop, _) => {
                self.state.course = Course::Told;
                Outcome::Accepted("stopping".to_owned())
            }
            (_, Replacement::Impossible) => self.cannot_replace(),
            (Command::Reload, _) => self.reload(),
            (Command::Scale(_, number), _) => self.scale(number),
            (Command::More, _) => self.scale(self.state.wanted.saturating_add(1)),
            (Command::Fewer, _) => self.scale(self.state.wanted.saturating_sub(1)),
        };
        self.tell();
        outcome
    }

    /// What is answered where nothing can be replaced.
    pub fn cannot_replace(&self) -> Outcome {
        Outcome::Refused(CURE.to_owned())
    }

    fn scale(&mut self, number: usize) -> Outcome {
        let bounds = self.terms.bounds;
        let (before, wanted) = (self.state.wanted, bounds.clamp(number));
        let limit = match self.terms.kind {
            _ if number == wanted => "",
            Kind::Process => " (one at least, twice --processes at most)",
            _ if number < wanted => " (--min-interpreters)",
            _ => " (--max-interpreters)",
        };
        self.state.wanted = wanted;
        if wanted == before {
            return Outcome::Unchanged(format!("{} wanted already{limit}", self.are(wanted)));
        }
        Outcome::Accepted(format!("{} wanted, {before} before{limit}", self.are(wanted)))
    }

    fn reload(&mut self) -> Outcome {
        if let Some(reload) = &mut self.state.reload {
            reload.queued.get_or_insert_with(Instant::now);
            return Outcome::Unchanged("a reload is under way: one more follows it".to_owned());
        }
        self.begin_reload();
        Outcome::Accepted(format!("reloading {}, one at a time", self.terms.kind.count(self.state.wanted)))
    }

    fn are(&self, number: usize) -> String {
        format!("{} {}", self.terms.kind.count(number), if number == 1 { "is" } else { "are" })
    }

    fn begin_reload(&mut self) {
        let state = &mut self.state;
        state.reloads += 1;
        state.reload = Some(Reload::new(state.reloads, state.generation));
        state.generation = state.reloads;
        // What failed before may have been put right: that is what reloads are for.
        state.back_off.reset();
        state.complaint = None;
    }

    /// Notes what the reload has come to.
    pub(super) fn conclude_reload(&mut self, now: Instant) {
        let Some(reload) = &self.state.reload else { return };
        if reload.patience_ends(self.terms.graceful).is_some_and(|end| end <= now) {
            self.fail_reload(" its first interpreter still loads, and another reload waits");
            return;
        }
        if !plan::is_renewed(&self.seen(), self.aim(now)) {
            return;
        }
        let (done, again, took) = (reload.done(), reload.queued, reload.began.elapsed());
        let all = self.terms.kind.count(self.state.wanted);
        tracing::info!("reloaded: {all} in {:.3} s", took.as_secs_f64());
        self.state.reload = None;
        self.roster.tell(|whole| whole.reload = done);
        if again.is_some() {
            self.begin_reload();
        }
    }

    /// The reload is over, and older code serves on. What waits behind it begins.
    pub(super) fn fail_reload(&mut self, why: &str) {
        let Some(reload) = self.state.reload.take() else { return };
        let whose = match self.pool() {
            Pool::Interpreters => "",
            Pool::Process => " in the pool of processes",
        };
        tracing::error!("reload failed{whose}, the old code goes on:{why}");
        self.roster.tell(|whole| whole.reload = reload::failed(why));
        if reload.proof == Proof::None {
            self.state.generation = reload.before;
        }
        if reload.queued.is_some() && self.state.course == Course::Running {
            self.begin_reload();
        }
    }

    /// An interpreter could not be loaded.
    pub(super) fn load_failed(&mut self, generation: u64, began: Instant, why: &str) {
        self.roster.tell(|whole| whole.count(Reason::Crash));
        match self.state.reload.as_ref().filter(|reload| reload.generation == generation) {
            // The first of the new code, or one of a mixture that is to be reloaded anyway.
            Some(reload) if reload.proof == Proof::None || reload.queued.is_some() => self.fail_reload(why),
            _ => self.failed(began, why),
        }
    }

    /// To be tried again, later.
    pub(super) fn failed(&mut self, began: Instant, why: &str) {
        let Some(wait) = self.state.back_off.fail(began, Instant::now()) else { return };
        let told = if self.state.complaint.as_deref() == Some(why) { " as before" } else { why };
        let one = match self.terms.kind {
            Kind::Interpreter => "an interpreter",
            Kind::Process => "a process",
        };
        tracing::error!("{one} cannot be loaded, tried again in {:.1} s:{told}", wait.as_secs_f64());
        self.state.complaint = Some(why.to_owned());
    }
}
