//! N slots: started, watched, drained. Knows neither HTTP nor Python.
//!
//! Owns the slots' threads through their reports. Each wait has a deadline; what has not ended by then is
//! counted and left to the end of the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::application::{Ended, LoadError, Loader};
use crate::census::{Record, Roster, Stage};
use crate::dispatch::{Member, WorkQueue};
use crate::worker::{Life, Report};

/// How many slots there are, and on how many threads each serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    pub slots: usize,
    pub threads: usize,
}

/// How the slots ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Toll {
    pub ended: usize,
    /// Left as they are, since ending them would not have been safe; nothing of theirs runs for us.
    pub abandoned: usize,
    /// Still in the application's code when the time was up.
    pub stuck: usize,
}

#[derive(Debug)]
pub struct Supervisor {
    lives: Vec<(Arc<Record>, Member)>,
    reports: UnboundedReceiver<Report>,
    sender: UnboundedSender<Report>,
    roster: Roster,
}

/// All slots serve.
#[derive(Debug)]
pub struct Ready {
    /// The application's name for itself.
    pub name: String,
    /// From start to the last slot's readiness.
    pub took: Duration,
}

impl Supervisor {
    /// Starts all interpreters at once.
    pub fn start<L: Loader>(crew: Crew, loader: L, queue: &WorkQueue, roster: Roster) -> io::Result<Self> {
        let (sender, reports) = unbounded_channel();
        let loader = Arc::new(loader);
        let mut lives = Vec::new();
        for _ in 0..crew.slots {
            let (record, member) = (roster.register(0), queue.member());
            lives.push((Arc::clone(&record), member.clone()));
            Life {
                record,
                threads: crew.threads,
                loader: Arc::clone(&loader),
                member,
                reports: sender.clone(),
            }
            .start()?;
        }
        Ok(Self { lives, reports, sender, roster })
    }

    /// Where to report what happens to an interpreter.
    pub fn reports(&self) -> UnboundedSender<Report> {
        self.sender.clone()
    }

    /// Waits until every interpreter serves. After the first failure the rest is not waited for.
    pub async fn ready(&mut self) -> Result<Ready, LoadError> {
        let began = Instant::now();
        let mut name = None;
        while self.has(&[Stage::Loading]) {
            match self.next().await {
                Some(Report::Serving { number, name: given, took }) => {
                    tracing::debug!("interpreter {number} serves after {:.3} s", took.as_secs_f64());
                    name.get_or_insert(given);
                }
                Some(Report::Failed { error, .. }) => return Err(error),
                Some(Report::Ended { ended: Ended::Abandoned(why), .. }) => {
                    return Err(LoadError::Interpreter(why));
                }
                Some(Report::Ending { .. } | Report::Ended { .. } | Report::Stuck { .. }) => {}
                None => break,
            }
        }
        Ok(Ready { name: name.unwrap_or_default(), took: began.elapsed() })
    }

    /// Lets every interpreter go and waits until all have ended, or `deadline`.
    pub async fn drain(&mut self, queue: &WorkQueue, deadline: Instant) -> Toll {
        queue.close();
        self.end(deadline).await
    }

    /// The same, while the queue stays open for others.
    pub async fn dismiss(&mut self, deadline: Instant) -> Toll {
        self.lives.iter().for_each(|(_, member)| member.retire());
        self.end(deadline).await
    }

    async fn end(&mut self, deadline: Instant) -> Toll {
        while self.has(&[Stage::Loading, Stage::Serving, Stage::Ending]) {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let mut toll = Toll::default();
        for (record, _) in &self.lives {
            match record.stage() {
                Stage::Ended => toll.ended += 1,
                Stage::Ending => {
                    // Left, but nothing of a client's was lost.
                    toll.abandoned += 1;
                    tracing::warn!(
                        "interpreter {} is left as it is: its threads or exit handlers have not ended in time",
                        record.number()
                    );
                }
                Stage::Abandoned => toll.abandoned += 1,
                _ => toll.stuck += 1,
            }
        }
        toll
    }

    fn has(&self, stages: &[Stage]) -> bool {
        self.lives.iter().any(|(record, _)| stages.contains(&record.stage()))
    }

    /// Takes one report.
    async fn next(&mut self) -> Option<Report> {
        let report = self.reports.recv().await?;
        if let Report::Failed { number, ended, .. } | Report::Ended { number, ended } = &report
            && let Some(record) = self.roster.find(*number)
        {
            match ended {
                Ended::Cleanly => {
                    record.reach(Stage::Ended);
                    self.roster.forget(&record);
                }
                Ended::Abandoned(why) => {
                    record.reach(Stage::Abandoned);
                    tracing::warn!("{why}");
                }
            }
        }
        Some(report)
    }
}
