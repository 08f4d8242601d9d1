//! The census as it is told: plain data, a moment's picture of every interpreter and of the queue.

use std::time::Duration;

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
