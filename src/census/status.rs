//! The census as programs are told it, in JSON. Its names and units are promises: docs/operations.md has them.
//!
//! Seconds and bytes, said in each name. What is not known is absent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::resident::{resident_of, share_of};
use super::{Census, Current, Interpreter, Part, Queue, Reason, Reload, Stage, Totals};
use crate::config::VERSION;

/// Characters of a request's target that are told. A client may send 64 KiB of it; who looks for a stuck request
/// needs its path.
const TARGET: usize = 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub uptime_seconds: f64,
    /// As `/readyz` says.
    pub ready: bool,
    pub stopping: bool,
    /// Of the whole process: CPython does not know what one interpreter has. Worker processes have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    pub interpreters_wanted: usize,
    pub interpreters_min: usize,
    pub interpreters_max: usize,
    pub generation: u64,
    pub reload: ReloadStatus,
    pub queue: QueueStatus,
    pub replaced: BTreeMap<String, u64>,
    pub totals: TotalsStatus,
    /// Where there are several: what is above is of all, this of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolStatus>,
    pub interpreters: Vec<InterpreterStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    pub name: String,
    pub wanted: usize,
    pub min: usize,
    pub max: usize,
    pub generation: u64,
    pub reload: ReloadStatus,
    pub queue: QueueStatus,
    pub replaced: BTreeMap<String, u64>,
    pub totals: TotalsStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ReloadStatus {
    Never,
    Running { seconds: f64, queued: bool },
    Done { ago_seconds: f64, took_seconds: f64 },
    Failed { ago_seconds: f64, error: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub waiting: usize,
    pub capacity: usize,
    pub oldest_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TotalsStatus {
    pub requests: u64,
    pub timeouts: u64,
    pub queue_timeouts: u64,
    pub refused: u64,
    pub stuck: u64,
    pub recovered: u64,
    pub queue_seconds: f64,
    pub python_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterpreterStatus {
    pub number: u64,
    pub slot: usize,
    /// Where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    pub stage: String,
    pub generation: u64,
    /// Where it is a process of its own: its number, and what it has.
    #[serde(flatten)]
    pub process: Option<ProcessStatus>,
    pub age_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_seconds: Option<f64>,
    pub requests: u64,
    pub threads: usize,
    pub gil_wait_seconds: f64,
    pub current: Vec<CurrentStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    pub pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pss_bytes: Option<u64>,
}

impl ProcessStatus {
    fn of(pid: u32) -> Self {
        let name = pid.to_string();
        Self { pid, rss_bytes: resident_of(&name), pss_bytes: share_of(&name) }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurrentStatus {
    pub method: String,
    pub target: String,
    pub client: String,
    pub elapsed_seconds: f64,
    pub timed_out: bool,
}

impl Census {
    /// Whether requests that come now are served: those of every pool.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stopping && self.pools().all(|(_, pool)| pool.count(Stage::Serving) > 0)
    }

    /// Whether every thread that serves has been at its request for longer than `patience`. False where none serves:
    /// one is being loaded then, or the process ends.
    #[must_use]
    pub fn is_wedged(&self, patience: Duration) -> bool {
        let wedged = |one: &Interpreter| {
            one.current.len() >= one.threads.max(1) && one.current.iter().all(|now| now.elapsed > patience)
        };
        let mut serving = self.interpreters.iter().filter(|one| one.stage == Stage::Serving).peekable();
        serving.peek().is_some() && serving.all(wedged)
    }

    /// How many interpreters are there in a stage.
    #[must_use]
    pub fn count(&self, stage: Stage) -> usize {
        self.interpreters.iter().filter(|interpreter| interpreter.stage == stage).count()
    }
}

impl Status {
    /// The census of this process, which has `rss` bytes in memory.
    #[must_use]
    pub fn new(census: &Census, rss: Option<u64>) -> Self {
        let mut interpreters: Vec<_> = census.interpreters.iter().map(InterpreterStatus::from).collect();
        for one in &mut interpreters {
            let has = |part: &&Part| part.census.interpreters.iter().any(|known| known.number == one.number);
            one.pool = census.parts.iter().find(has).map(|part| part.pool.as_str().to_owned());
        }
        Self {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            uptime_seconds: seconds(census.uptime),
            ready: census.is_ready(),
            stopping: census.stopping,
            rss_bytes: rss,
            interpreters_wanted: census.wanted,
            interpreters_min: census.least,
            interpreters_max: census.most,
            generation: census.generation,
            reload: ReloadStatus::from(&census.reload),
            queue: QueueStatus::from(&census.queue),
            replaced: replaced(census),
            totals: TotalsStatus::from(&census.totals),
            pools: census.parts.iter().map(PoolStatus::from).collect(),
            interpreters,
        }
    }
}

fn replaced(census: &Census) -> BTreeMap<String, u64> {
    let counts = Reason::ALL.iter().zip(census.replaced);
    counts.map(|(reason, count)| (reason.as_str().to_owned(), count)).collect()
}

impl From<&Part> for PoolStatus {
    fn from(Part { pool, census }: &Part) -> Self {
        Self {
            name: pool.as_str().to_owned(),
            wanted: census.wanted,
            min: census.least,
            max: census.most,
            generation: census.generation,
            reload: ReloadStatus::from(&census.reload),
            queue: QueueStatus::from(&census.queue),
            replaced: replaced(census),
            totals: TotalsStatus::from(&census.totals),
        }
    }
}

impl From<&Reload> for ReloadStatus {
    fn from(reload: &Reload) -> Self {
        match reload {
            Reload::Never => Self::Never,
            Reload::Running { since, queued } => Self::Running { seconds: seconds(*since), queued: *queued },
            Reload::Done { ago, took } => {
                Self::Done { ago_seconds: seconds(*ago), took_seconds: seconds(*took) }
            }
            Reload::Failed { ago, why } => Self::Failed { ago_seconds: seconds(*ago), error: why.clone() },
        }
    }
}

impl From<&Queue> for QueueStatus {
    fn from(queue: &Queue) -> Self {
        Self { waiting: queue.waiting, capacity: queue.capacity, oldest_seconds: seconds(queue.oldest) }
    }
}

impl From<&Totals> for TotalsStatus {
    fn from(totals: &Totals) -> Self {
        Self {
            requests: totals.served,
            timeouts: totals.timeouts,
            queue_timeouts: totals.queue_timeouts,
            refused: totals.refused,
            stuck: totals.stuck,
            recovered: totals.recovered,
            queue_seconds: seconds(totals.queued),
            python_seconds: seconds(totals.in_python),
        }
    }
}

impl From<&Interpreter> for InterpreterStatus {
    fn from(interpreter: &Interpreter) -> Self {
        Self {
            number: interpreter.number,
            slot: interpreter.place,
            pool: None,
            stage: interpreter.stage.as_str().to_owned(),
            generation: interpreter.generation,
            process: interpreter.process.map(ProcessStatus::of),
            age_seconds: seconds(interpreter.age),
            load_seconds: interpreter.load.map(seconds),
            requests: interpreter.served,
            threads: interpreter.threads,
            gil_wait_seconds: seconds(interpreter.gil_wait),
            current: interpreter.current.iter().map(CurrentStatus::from).collect(),
        }
    }
}

impl From<&Current> for CurrentStatus {
    fn from(current: &Current) -> Self {
        Self {
            method: current.method.clone(),
            target: shortened(&current.target),
            client: current.client.clone(),
            elapsed_seconds: seconds(current.elapsed),
            timed_out: current.timed_out,
        }
    }
}

fn shortened(target: &str) -> String {
    match target.char_indices().nth(TARGET) {
        Some((end, _)) => format!("{}…", &target[..end]),
        None => target.to_owned(),
    }
}

/// To the microsecond: what is beyond is noise to whoever reads it.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}
