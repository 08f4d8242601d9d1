//! The census as it is told: plain data, a moment's picture of every interpreter and of the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Workers that share one queue: which of the process's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Pool {
    /// The one that every process has, wherever `--isolation` puts it.
    #[default]
    Interpreters,
    /// The worker processes of `--process-for`.
    Process,
}

impl Pool {
    /// The word for JSON, metrics and CHAUSSETTE_POOL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interpreters => "interpreters",
            Self::Process => "process",
        }
    }
}

/// What a pool is made of, in the words of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Interpreter,
    /// A worker process.
    Process,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Process => "process",
        }
    }

    /// So many of them.
    #[must_use]
    pub fn count(self, number: usize) -> String {
        match (self, number) {
            (_, 1) => format!("1 {}", self.as_str()),
            (Self::Interpreter, _) => format!("{number} interpreters"),
            (Self::Process, _) => format!("{number} processes"),
        }
    }
}

/// Where an interpreter is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It imports the application.
    Loading,
    /// Loaded, and kept in hand for the next replacement: it takes no requests yet.
    Spare,
    /// It takes requests.
    Serving,
    /// It takes no more requests and finishes those in hand.
    Draining,
    /// Its threads are joined, its exit handlers run.
    Ending,
    /// Nothing of it is left.
    Ended,
    /// Left as it is, since ending it would not be safe; it runs nothing for us.
    Abandoned,
    /// It has not come back from the application's code in time; another has taken its place.
    Stuck,
}

impl Stage {
    /// The word for logs, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Spare => "spare",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Abandoned => "abandoned",
            Self::Stuck => "stuck",
        }
    }
}

/// Why an interpreter is replaced or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A reload was asked for.
    Reload,
    /// `--max-requests`.
    Requests,
    /// `--max-lifetime`.
    Lifetime,
    /// It is stuck in the application's code.
    Stuck,
    /// Its load failed, or its thread ended unasked.
    Crash,
    /// There are more interpreters than wanted.
    Scale,
}

impl Reason {
    pub const ALL: [Self; 6] =
        [Self::Reload, Self::Requests, Self::Lifetime, Self::Stuck, Self::Crash, Self::Scale];

    /// The word for logs, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Requests => "max-requests",
            Self::Lifetime => "max-lifetime",
            Self::Stuck => "stuck",
            Self::Crash => "crash",
            Self::Scale => "scale",
        }
    }
}

/// How the last reload went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reload {
    /// None was asked for yet.
    #[default]
    Never,
    /// Under way for so long; another one waits behind it.
    Running { since: Duration, queued: bool },
    /// Done so long ago, in so long.
    Done { ago: Duration, took: Duration },
    /// Failed so long ago: the old code goes on. The last line of the report.
    Failed { ago: Duration, why: String },
}

/// The whole, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Census {
    pub uptime: Duration,
    /// How many interpreters shall serve, and the limits of that.
    pub wanted: usize,
    pub least: usize,
    pub most: usize,
    /// Counts reloads that began; the interpreters of the newest code carry it.
    pub generation: u64,
    pub reload: Reload,
    pub queue: Queue,
    pub interpreters: Vec<Interpreter>,
    /// Replacements and ends since the start, by reason, in the order of [`Reason::ALL`].
    pub replaced: [u64; 6],
    pub totals: Totals,
    /// Whether the process takes no more requests.
    pub stopping: bool,
    /// The same of each pool, where there are several.
    pub parts: Vec<Part>,
}

/// A pool's part of a census, which is a census by itself.
#[derive(Debug, Clone, Default)]
pub struct Part {
    pub pool: Pool,
    pub census: Census,
}

impl Census {
    /// One of all, whose parts are these. What is counted is added up; of reloads the one that matters most is told.
    #[must_use]
    pub fn of_parts(parts: Vec<Part>) -> Self {
        let mut whole = Self::default();
        for Part { census, .. } in &parts {
            whole.uptime = whole.uptime.max(census.uptime);
            whole.wanted += census.wanted;
            whole.least += census.least;
            whole.most += census.most;
            whole.generation = whole.generation.max(census.generation);
            whole.reload = whole.reload.or(&census.reload);
            whole.queue.waiting += census.queue.waiting;
            whole.queue.capacity += census.queue.capacity;
            whole.queue.oldest = whole.queue.oldest.max(census.queue.oldest);
            whole.interpreters.extend(census.interpreters.iter().cloned());
            whole.replaced.iter_mut().zip(census.replaced).for_each(|(all, one)| *all += one);
            whole.totals.add(&census.totals);
            whole.stopping |= census.stopping;
        }
        whole.interpreters.sort_by_key(|one| one.number);
        whole.parts = parts;
        whole
    }

    /// The pools, each with its name; without one where there is one only.
    pub fn pools(&self) -> impl Iterator<Item = (Option<Pool>, &Self)> {
        let one = self.parts.is_empty().then_some((None, self));
        one.into_iter().chain(self.parts.iter().map(|part| (Some(part.pool), &part.census)))
    }
}

impl Reload {
    /// What is told of two: the one under way, or else that which failed.
    fn or(&self, other: &Self) -> Self {
        let weight = |reload: &Self| match reload {
            Self::Never => 0,
            Self::Done { .. } => 1,
            Self::Failed { .. } => 2,
            Self::Running { .. } => 3,
        };
        if weight(other) > weight(self) { other.clone() } else { self.clone() }
    }
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.timeouts += other.timeouts;
        self.queue_timeouts += other.queue_timeouts;
        self.refused += other.refused;
        self.stuck += other.stuck;
        self.recovered += other.recovered;
        self.queued += other.queued;
        self.in_python += other.in_python;
    }
}

/// The queue before the interpreters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    pub waiting: usize,
    pub capacity: usize,
    /// How long the oldest request has been waiting.
    pub oldest: Duration,
}

/// Counted since the start, over all interpreters, ended ones as well.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Requests that an application has finished with.
    pub served: u64,
    /// Requests that took longer than `--timeout`.
    pub timeouts: u64,
    /// Requests that waited longer than `--queue-timeout`.
    pub queue_timeouts: u64,
    /// Requests refused since the queue was full.
    pub refused: u64,
    /// Interpreters that were given up as stuck.
    pub stuck: u64,
    /// Of them, those that came back and were ended.
    pub recovered: u64,
    /// The time that requests have waited in the queue.
    pub queued: Duration,
    /// The time that requests have spent in the application's hands.
    pub in_python: Duration,
}

/// One interpreter.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// Never given twice; what `chaussette.interpreter_id()` says in the application and logs say.
    pub number: u64,
    /// Its slot, from 0.
    pub place: usize,
    pub stage: Stage,
    pub generation: u64,
    /// The number of its process, if that is not this one.
    pub process: Option<u32>,
    /// Since it began to load.
    pub age: Duration,
    /// From the beginning to readiness.
    pub load: Option<Duration>,
    /// Requests that it has finished with.
    pub served: u64,
    /// Its threads that serve.
    pub threads: usize,
    /// The time that its threads have waited for its GIL.
    pub gil_wait: Duration,
    /// The requests that its threads have in hand.
    pub current: Vec<Current>,
}

/// A request in hand.
#[derive(Debug, Clone)]
pub struct Current {
    pub method: String,
    pub target: String,
    /// The client's address, or empty for a unix socket.
    pub client: String,
    /// Since the application has it.
    pub elapsed: Duration,
    /// It was answered 504 already.
    pub timed_out: bool,
}
