//! All pools of the process as one: run, asked, stopped and drained together.
//!
//! Owns a supervisor a pool, and what the manager is told of all of them. Each pool has a queue of its own, so that none
//! waits for another; they share the numbers of their interpreters, and their end. Knows neither HTTP nor Python.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::application::{LoadError, Loader};
use crate::census::{Command, Kind, Outcome, Pool, Roster};
use crate::notify::Notify;
use crate::supervisor::{Ready, Supervisor, Toll, Why};
use crate::worker::Report;

/// The pools, the interpreters' first.
#[derive(Debug)]
pub struct Pools<L> {
    supervisors: Vec<Supervisor<L>>,
    /// Who manages the process, once it is ready.
    manager: Option<Notify>,
}

/// A pool that could not be loaded.
#[derive(Debug)]
pub struct NotReady {
    pub pool: Pool,
    pub error: LoadError,
}

/// How a pool ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    pub pool: Pool,
    pub kind: Kind,
    pub toll: Toll,
}

impl<L: Loader> Pools<L> {
    /// Of supervisors that have begun: at least one.
    #[must_use]
    pub fn new(supervisors: Vec<Supervisor<L>>) -> Self {
        Self { supervisors, manager: None }
    }

    /// Where to report what happens to an interpreter: one a pool.
    pub fn reports(&self) -> impl Iterator<Item = UnboundedSender<Report>> {
        self.supervisors.iter().map(Supervisor::reports)
    }

    /// Waits until every interpreter of every pool serves. After the first failure the rest is not waited for.
    pub async fn ready(&mut self) -> Result<Ready, NotReady> {
        let ready = self.each(async |supervisor| {
            let pool = supervisor.pool();
            supervisor.ready().await.map_err(|error| NotReady { pool, error })
        });
        let all = all(ready).await?;
        let took = all.iter().map(|ready| ready.took).max().unwrap_or_default();
        let name = all.into_iter().next().map(|ready| ready.name).unwrap_or_default();
        Ok(Ready { name, took })
    }

    /// The manager is told of all pools from now on.
    pub fn tell_manager(&mut self, mut manager: Notify) {
        manager.live(self.supervisors.iter().map(|one| one.roster().clone()).collect());
        self.manager = Some(manager);
        self.tell();
    }

    /// Keeps as many serving as are wanted, until the process must end. Cancel-safe: what has happened is kept.
    /// Once [`Pools::stop`] was called it ends never.
    pub async fn run(&mut self) -> Why {
        let Self { supervisors, manager } = self;
        let roster = supervisors.first().map(|one| one.roster().clone());
        let mut running: Vec<_> = supervisors.iter_mut().map(|one| Box::pin(one.run())).collect();
        poll_fn(|context| {
            let polled = running.iter_mut().map(|one| one.as_mut().poll(context));
            let ended = polled.filter(Poll::is_ready).last();
            // Whatever woke it may have changed what there is to tell.
            tell(manager, roster.as_ref());
            ended.unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Begins what is asked for, in the pool that it is meant for.
    pub fn obey(&mut self, command: Command) -> Outcome {
        let outcome = match command {
            Command::Reload => self.reload(),
            Command::Scale(pool, _) => self.ask(pool, command),
            Command::More | Command::Fewer | Command::Stop => self.ask(Pool::Interpreters, command),
        };
        self.tell();
        outcome
    }

    /// In all pools, or in none: two codes side by side are nothing to begin on purpose.
    fn reload(&mut self) -> Outcome {
        if let Some(cannot) = self.supervisors.iter().find(|one| !one.can_replace()) {
            return cannot.cannot_replace();
        }
        let outcomes = self.supervisors.iter_mut().map(|one| one.obey(Command::Reload));
        outcomes.reduce(both).unwrap_or_else(|| Outcome::Refused("nothing serves".to_owned()))
    }

    fn ask(&mut self, pool: Pool, command: Command) -> Outcome {
        match self.supervisors.iter_mut().find(|one| one.pool() == pool) {
            Some(supervisor) => supervisor.obey(command),
            None => Outcome::Refused(
                "there is no pool of processes: start the server with --process-for PATH_PREFIX".to_owned(),
            ),
        }
    }

    /// Begins the end: nothing is replaced any more, and what does not serve yet never will.
    pub fn stop(&mut self) {
        self.supervisors.iter_mut().for_each(Supervisor::stop);
        self.tell();
    }

    /// Closes the queues and waits until all that serve have ended, or `deadline`.
    pub async fn drain(&mut self, deadline: Instant) -> Vec<Ending> {
        self.stop();
        let drained = self.each(async |supervisor| {
            let (pool, kind) = (supervisor.pool(), supervisor.kind());
            Ok::<_, Infallible>(Ending { pool, kind, toll: supervisor.drain(deadline).await })
        });
        let Ok(endings) = all(drained).await;
        endings
    }

    /// Lets all go and waits until they have ended, loading ones as well, while the queues stay open for others.
    pub async fn give_up(self, deadline: Instant) -> Toll {
        let given_up = self.supervisors.into_iter().map(|one| -> Boxed<'_, Result<Toll, Infallible>> {
            Box::pin(async move { Ok(one.give_up(deadline).await) })
        });
        let Ok(tolls) = all(given_up).await;
        tolls.into_iter().fold(Toll::default(), Toll::and)
    }

    fn each<'a, T: 'a>(
        &'a mut self,
        work: impl AsyncFn(&'a mut Supervisor<L>) -> T + Copy + 'a,
    ) -> impl Iterator<Item = Boxed<'a, T>> {
        self.supervisors
            .iter_mut()
            .map(move |one| -> Boxed<'a, T> { Box::pin(async move { work(one).await }) })
    }

    fn tell(&mut self) {
        let roster = self.supervisors.first().map(Supervisor::roster);
        tell(&mut self.manager, roster);
    }
}

fn tell(manager: &mut Option<Notify>, roster: Option<&Roster>) {
    if let (Some(manager), Some(roster)) = (manager, roster) {
        manager.tell(&roster.snapshot());
    }
}

/// What is told of a command that two pools were asked.
fn both(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Refused(why), Outcome::Refused(_)) => Outcome::Refused(why),
        (Outcome::Unchanged(what), Outcome::Unchanged(_)) => Outcome::Unchanged(what),
        (one, other) => Outcome::Accepted(format!("{}; {}", text(one), text(other))),
    }
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted(text) | Outcome::Unchanged(text) | Outcome::Refused(text) => text,
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// All values, in their order; or the first error, and the others are not waited for.
async fn all<T, E>(futures: impl Iterator<Item = Boxed<'_, Result<T, E>>>) -> Result<Vec<T>, E> {
    let mut waiting: Vec<_> = futures.enumerate().collect();
    let mut values = Vec::new();
    poll_fn(|context| {
        let mut failed = None;
        waiting.retain_mut(|(place, one)| match one.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(value)) => {
                values.push((*place, value));
                false
            }
            Poll::Ready(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if waiting.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await?;
    values.sort_by_key(|(place, _)| *place);
    Ok(values.into_iter().map(|(_, value)| value).collect())
}
