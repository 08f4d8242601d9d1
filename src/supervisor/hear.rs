//! What reports change.

use std::time::Duration;

use tokio::time::Instant;

use super::life::Phase;
use super::reload::Proof;
use super::{Course, Supervisor};
use crate::application::{Ended, Killed, Loader};
use crate::census::{Reason, Stage};
use crate::worker::Report;

/// A life that is no better than a load that failed. 1 s: see [`super::backoff`].
const SHORT: Duration = Duration::from_secs(1);

impl<L: Loader> Supervisor<L> {
    /// Takes one report.
    pub(super) fn hear(&mut self, report: Report) {
        match report {
            Report::Ready { number, took, .. } => self.is_ready(number, took),
            Report::Worn { number } => {
                if let Some(life) = self.life(number) {
                    life.worn.get_or_insert(Reason::Requests);
                }
            }
            Report::Stuck { number } => self.stuck(number),
            Report::Died { number, how } => self.has_died(number, &how),
            Report::Exhausted => self.state.exhausted = true,
            Report::Failed { number, error, ended } => {
                let Some(life) = self.life(number) else { return };
                let (phase, began, generation) = (life.phase, life.began, life.generation());
                self.bury(number, &ended);
                // Dismissed while it loaded: nobody is concerned any more.
                if phase == Phase::Loading && self.state.course == Course::Running {
                    self.load_failed(generation, began, &error.told());
                }
            }
            Report::Ending { number } => {
                let until = Instant::now() + self.terms.graceful;
                if let Some(life) = self.life(number) {
                    let is_process = life.handle.record.process().is_some();
                    life.phase = match life.phase {
                        // Nobody asked: it has died, and how is told next.
                        asked @ (Phase::Serving | Phase::Ready) if is_process => asked,
                        Phase::Serving | Phase::Ready => Phase::Ending { until },
                        Phase::Draining { until } => Phase::Ending { until },
                        other => other,
                    };
                }
            }
            Report::Ended { number, ended } => self.has_ended(number, &ended),
        }
    }

    fn is_ready(&mut self, number: u64, took: std::time::Duration) {
        tracing::debug!("interpreter {number} is loaded after {:.3} s", took.as_secs_f64());
        let Some(life) = self.life(number) else { return };
        life.loaded();
        if life.phase != Phase::Ready {
            return;
        }
        let generation = life.generation();
        self.state.back_off.reset();
        self.state.complaint = None;
        if let Some(reload) = self.state.reload.as_mut().filter(|reload| reload.generation == generation) {
            reload.proof = Proof::Loaded;
        }
    }

    fn has_ended(&mut self, number: u64, ended: &Ended) {
        let Some(life) = self.life(number) else { return };
        let (phase, began) = (life.phase, life.began);
        if phase == Phase::Stuck {
            self.roster.counters().recovered();
            tracing::info!("interpreter {number}, which was stuck, has come back and ended");
        }
        self.bury(number, ended);
        self.state.growth.look_soon();
        let unasked = matches!(phase, Phase::Loading | Phase::Ready | Phase::Serving);
        if unasked && self.state.course == Course::Running {
            tracing::error!("interpreter {number} has ended unasked");
            self.roster.tell(|whole| whole.count(Reason::Crash));
            self.state.back_off.fail(began, Instant::now());
        }
    }

    /// Its process has ended; its threads here leave, and another takes its place.
    fn has_died(&mut self, number: u64, how: &str) {
        let until = Instant::now() + self.terms.graceful;
        let Some(life) = self.life(number) else { return };
        let (phase, began) = (life.phase, life.began);
        if phase != Phase::Killed {
            life.phase = Phase::Ending { until };
        }
        let unasked =
            matches!(phase, Phase::Loading | Phase::Ready | Phase::Serving | Phase::Draining { .. });
        if !unasked {
            return tracing::debug!("interpreter {number}: {how}");
        }
        tracing::error!("interpreter {number}: {how}");
        self.roster.tell(|whole| whole.count(Reason::Crash));
        // What does not live at all is not tried again at once.
        if began.elapsed() < SHORT {
            self.state.back_off.fail(began, Instant::now());
        }
    }

    /// It does not come back: another takes its place.
    pub(super) fn stuck(&mut self, number: u64) {
        let Some(life) = self.life(number) else { return };
        let phase = life.phase;
        if !matches!(phase, Phase::Serving | Phase::Draining { .. }) {
            return;
        }
        if let Some(process) = life.handle.record.process() {
            if phase == Phase::Serving {
                self.roster.tell(|whole| whole.count(Reason::Stuck));
            }
            return self.end_by_force(number, process, phase);
        }
        life.give_up(Phase::Stuck);
        tracing::error!(
            "interpreter {number} is stuck: a request does not come back from the application's code"
        );
        self.roster.counters().stuck();
        self.roster.tell(|whole| whole.count(Reason::Stuck));
    }

    /// A request does not come back from the application's code, in a process that can be killed: when its other
    /// requests are done, at the latest when their time is up.
    fn end_by_force(&mut self, number: u64, process: u32, phase: Phase) {
        let graceful = self.terms.graceful;
        let Some(life) = self.life(number) else { return };
        let what = "a request does not come back from the application's code";
        if phase == Phase::Serving && life.handle.record.busy() > 1 {
            tracing::error!(
                "interpreter {number}: {what}: it is replaced, and its process {process} is killed then"
            );
            life.dismiss(graceful);
        } else if life.kill() == Killed::Soon {
            tracing::error!("interpreter {number}: {what}: its process {process} is killed");
        }
    }

    /// Its threads are done.
    fn bury(&mut self, number: u64, ended: &Ended) {
        let Some(place) = self.lives.iter().position(|life| life.number() == number) else { return };
        match ended {
            Ended::Cleanly => {
                let life = self.lives.remove(place);
                life.handle.record.reach(Stage::Ended);
                self.roster.forget(&life.handle.record);
                if self.state.course != Course::Running {
                    self.state.ended += 1;
                }
            }
            Ended::Abandoned(why) => {
                tracing::warn!("{why}");
                if let Some(life) = self.lives.get_mut(place) {
                    life.give_up(Phase::Abandoned);
                }
            }
        }
    }
}
