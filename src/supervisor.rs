//! N slots: started, watched, drained. Knows neither HTTP nor Python.
//!
//! Owns the slots' threads through their reports. Each wait has a deadline; what has not ended by then is
//! counted and left to the end of the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::application::{Ended, LoadError, Loader};
use crate::dispatch::WorkQueue;
use crate::worker::{Report, Slot};

/// How many slots there are, and on how many threads each serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    pub slots: usize,
    pub threads: usize,
}

/// Where a slot is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Loading,
    Serving,
    Ending,
    Ended,
    Abandoned,
}

/// How the slots ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub ended: usize,
    /// Left as they are, since ending them would not have been safe; nothing of theirs runs for us.
    pub abandoned: usize,
    /// Still in the application's code when the time was up.
    pub stuck: usize,
}

#[derive(Debug)]
pub struct Supervisor {
    slots: Vec<State>,
    reports: UnboundedReceiver<Report>,
    queue: WorkQueue,
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
    /// Starts all slots at once.
    pub fn start<L: Loader>(crew: Crew, loader: L, queue: WorkQueue) -> io::Result<Self> {
        let (sender, reports) = unbounded_channel();
        let loader = Arc::new(loader);
        for place in 0..crew.slots {
            Slot {
                place,
                threads: crew.threads,
                loader: Arc::clone(&loader),
                queue: queue.clone(),
                reports: sender.clone(),
            }
            .start()?;
        }
        Ok(Self { slots: vec![State::Loading; crew.slots], reports, queue })
    }

    /// Waits until every slot serves. After the first failure the rest is not waited for.
    pub async fn ready(&mut self) -> Result<Ready, LoadError> {
        let began = Instant::now();
        let mut name = None;
        while self.slots.contains(&State::Loading) {
            match self.next().await {
                Some(Report::Serving { place, name: given, took }) => {
                    tracing::debug!("interpreter {place} serves after {:.3} s", took.as_secs_f64());
                    name.get_or_insert(given);
                }
                Some(Report::Failed { error, .. }) => return Err(error),
                Some(Report::Ended { ended: Ended::Abandoned(why), .. }) => {
                    return Err(LoadError::Interpreter(why));
                }
                Some(Report::Ending { .. } | Report::Ended { .. }) => {}
                None => break,
            }
        }
        Ok(Ready { name: name.unwrap_or_default(), took: began.elapsed() })
    }

    /// Closes the queue and waits until every slot has ended, or `deadline`.
    pub async fn drain(&mut self, deadline: Instant) -> Census {
        self.queue.close();
        while self.slots.iter().any(|state| !matches!(state, State::Ended | State::Abandoned)) {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        for (place, state) in self.slots.iter().enumerate() {
            if *state == State::Ending {
                tracing::warn!(
                    "interpreter {place} is left as it is: its threads or exit handlers have not ended in time"
                );
            }
        }
        self.census()
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        for state in &self.slots {
            match state {
                State::Ended => census.ended += 1,
                // Its threads or exit handlers take too long: left, but nothing of a client's was lost.
                State::Ending | State::Abandoned => census.abandoned += 1,
                State::Loading | State::Serving => census.stuck += 1,
            }
        }
        census
    }

    /// Takes one report and notes what it says.
    async fn next(&mut self) -> Option<Report> {
        let report = self.reports.recv().await?;
        let (place, state) = match &report {
            Report::Serving { place, .. } => (*place, State::Serving),
            Report::Ending { place } => (*place, State::Ending),
            Report::Failed { place, ended: Ended::Cleanly, .. }
            | Report::Ended { place, ended: Ended::Cleanly } => (*place, State::Ended),
            Report::Failed { place, ended: Ended::Abandoned(why), .. }
            | Report::Ended { place, ended: Ended::Abandoned(why) } => {
                tracing::warn!("{why}");
                (*place, State::Abandoned)
            }
        };
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = state;
        }
        Some(report)
    }
}
