//! The end of all interpreters: let go, waited for, counted.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::life::{Life, Phase};
use super::{Course, Supervisor, Toll};
use crate::application::{Killed, Loader};

/// How long processes that were killed are waited for. 2 s: it is a matter of milliseconds.
const KILLING: Duration = Duration::from_secs(2);

impl<L: Loader> Supervisor<L> {
    /// Begins the end: nothing is replaced any more, and what does not serve yet never will.
    pub fn stop(&mut self) {
        if self.state.course == Course::Stopping {
            return;
        }
        self.state.course = Course::Stopping;
        if self.state.reload.is_some() {
            self.fail_reload(" the server is stopping");
        }
        let graceful = self.terms.graceful;
        for life in &mut self.lives {
            if matches!(life.phase, Phase::Loading | Phase::Ready) {
                life.dismiss(graceful);
            }
        }
        self.release();
        self.tell();
    }

    /// What waits while nobody serves any more is answered: 503.
    pub(super) fn release(&self) {
        if !self.lives.iter().any(|life| life.phase == Phase::Serving) {
            self.queue.close();
            self.queue.discard();
        }
    }

    /// Closes the queue and waits until all that serve have ended, or `deadline`.
    pub async fn drain(&mut self, deadline: Instant) -> Toll {
        self.stop();
        self.queue.close();
        self.release();
        let awaited = |life: &Life| match life.phase {
            Phase::Unwanted | Phase::Abandoned => false,
            // It may have come back, and be about to end.
            Phase::Stuck => life.is_idle(),
            _ => true,
        };
        self.wait_for(awaited, deadline).await;
        self.kill_the_rest().await
    }

    /// Lets all go and waits until they have ended, loading ones as well, while the queue stays open for others.
    pub async fn give_up(mut self, deadline: Instant) -> Toll {
        self.state.course = Course::Stopping;
        let graceful = self.terms.graceful;
        self.lives.iter_mut().for_each(|life| life.dismiss(graceful));
        self.wait_for(|life| life.phase != Phase::Abandoned, deadline).await;
        self.kill_the_rest().await
    }

    /// The time is up: what is a process is not left behind.
    async fn kill_the_rest(&mut self) -> Toll {
        for life in &mut self.lives {
            let (number, is_idle) = (life.number(), life.is_idle());
            if life.kill() == Killed::Soon {
                let what = if is_idle { "its exit handlers have" } else { "a request in its hands has" };
                tracing::warn!("interpreter {number} is killed: {what} not ended in time");
            }
        }
        self.wait_for(|life| life.phase == Phase::Killed, Instant::now() + KILLING).await;
        self.loader.close();
        self.toll()
    }

    async fn wait_for(&mut self, awaited: impl Fn(&Life) -> bool, deadline: Instant) {
        while self.lives.iter().any(&awaited) {
            match timeout_at(deadline, self.reports.recv()).await {
                Ok(Some(report)) => self.hear(report),
                Ok(None) | Err(_) => break,
            }
        }
    }

    fn toll(&self) -> Toll {
        let mut toll = Toll { ended: self.state.ended, ..Toll::default() };
        for life in &self.lives {
            match life.phase {
                Phase::Stuck if !life.is_idle() => toll.stuck += 1,
                Phase::Serving | Phase::Draining { .. } => toll.stuck += 1,
                Phase::Ending { .. } | Phase::Stuck => {
                    // Left, but nothing of a client's was lost.
                    toll.abandoned += 1;
                    tracing::warn!(
                        "interpreter {} is left as it is: its threads or exit handlers have not ended in time",
                        life.number()
                    );
                }
                Phase::Loading | Phase::Ready | Phase::Unwanted | Phase::Killed | Phase::Abandoned => {
                    toll.abandoned += 1
                }
            }
        }
        toll
    }
}
