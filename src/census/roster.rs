//! The records of all interpreters, and the counts of those that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Census, Identity, Reason, Record, Reload, Totals};
use crate::dispatch::WorkQueue;

/// Every interpreter of the process. Each clone shows the same.
#[derive(Debug, Clone)]
pub struct Roster {
    inside: Arc<Inside>,
}

#[derive(Debug)]
struct Inside {
    began: Instant,
    queue: WorkQueue,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    records: Vec<Arc<Record>>,
    /// What those did that are not in `records` any more.
    past: Totals,
    whole: Whole,
}

/// What the supervisor tells of the whole. Times are told as of their moment.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    pub wanted: usize,
    pub least: usize,
    pub most: usize,
    pub generation: u64,
    pub reload: ReloadState,
    pub replaced: [u64; 6],
    pub stopping: bool,
}

/// How the last reload goes or went.
#[derive(Debug, Clone, Default)]
pub enum ReloadState {
    #[default]
    Never,
    Running {
        since: Instant,
        queued: bool,
    },
    Done {
        at: Instant,
        took: Duration,
    },
    Failed {
        at: Instant,
        why: String,
    },
}

/// What is counted beside the desks, by whoever notices.
#[derive(Debug, Default)]
pub struct Counters {
    pub timeouts: AtomicU64,
    pub queue_timeouts: AtomicU64,
    pub refused: AtomicU64,
    pub stuck: AtomicU64,
    pub recovered: AtomicU64,
}

impl Counters {
    /// One more interpreter was given up as stuck.
    pub fn stuck(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them came back.
    pub fn recovered(&self) {
        self.recovered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Whole {
    /// One more interpreter was replaced or ended.
    pub fn count(&mut self, reason: Reason) {
        for (number, known) in self.replaced.iter_mut().zip(Reason::ALL) {
            *number += u64::from(known == reason);
        }
    }
}

impl Roster {
    #[must_use]
    pub fn new(queue: WorkQueue) -> Self {
        Self { inside: Arc::new(Inside { began: Instant::now(), queue, state: Mutex::default() }) }
    }

    /// A new interpreter: a number that none had, the lowest place that none has.
    pub fn register(&self, generation: u64) -> Arc<Record> {
        let mut state = self.inside.state.lock();
        let number = state.next;
        state.next += 1;
        let taken = |place| state.records.iter().any(|record| record.place() == place);
        let place = (0..).find(|place| !taken(*place)).unwrap_or_default();
        let record = Arc::new(Record::new(Identity { number, place, generation }));
        state.records.push(Arc::clone(&record));
        record
    }

    /// Nothing is left of an interpreter: what it did is remembered, and its place is free.
    pub fn forget(&self, record: &Arc<Record>) {
        let mut state = self.inside.state.lock();
        let before = state.records.len();
        state.records.retain(|known| !Arc::ptr_eq(known, record));
        if state.records.len() < before {
            record.count(&mut state.past);
        }
    }

    /// The records of those that are not forgotten, in the order of their births.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.inside.state.lock().records.clone()
    }

    pub fn find(&self, number: u64) -> Option<Arc<Record>> {
        self.inside.state.lock().records.iter().find(|record| record.number() == number).cloned()
    }

    /// What is counted beside the desks.
    pub fn counters(&self) -> &Counters {
        self.inside.queue.counters()
    }

    /// Changes what is told of the whole.
    pub fn tell(&self, change: impl FnOnce(&mut Whole)) {
        change(&mut self.inside.state.lock().whole);
    }

    /// The picture of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Census {
        let inside = &self.inside;
        let (records, mut totals, whole) = {
            let state = inside.state.lock();
            (state.records.clone(), state.past, state.whole.clone())
        };
        records.iter().for_each(|record| record.count(&mut totals));
        let counters = self.counters();
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        totals.timeouts = counted(&counters.timeouts);
        totals.queue_timeouts = counted(&counters.queue_timeouts);
        totals.refused = counted(&counters.refused);
        totals.stuck = counted(&counters.stuck);
        totals.recovered = counted(&counters.recovered);
        let now = Instant::now();
        Census {
            uptime: now.saturating_duration_since(inside.began),
            wanted: whole.wanted,
            least: whole.least,
            most: whole.most,
            generation: whole.generation,
            reload: whole.reload.view(now),
            queue: inside.queue.gauge(now),
            interpreters: records.iter().map(|record| record.view(now)).collect(),
            replaced: whole.replaced,
            totals,
            stopping: whole.stopping,
        }
    }
}

impl ReloadState {
    fn view(self, now: Instant) -> Reload {
        match self {
            Self::Never => Reload::Never,
            Self::Running { since, queued } => {
                Reload::Running { since: now.saturating_duration_since(since), queued }
            }
            Self::Done { at, took } => Reload::Done { ago: now.saturating_duration_since(at), took },
            Self::Failed { at, why } => Reload::Failed { ago: now.saturating_duration_since(at), why },
        }
    }
}
