//! The records of all interpreters, pool by pool, and the counts of those that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Census, Identity, Part, Pool, Reason, Record, Reload, Totals};
use crate::dispatch::WorkQueue;

/// One pool's interpreters. Each clone shows the same. Numbers and places are the process's: no two of its pools give
/// the same.
#[derive(Debug, Clone)]
pub struct Roster {
    own: Arc<List>,
    /// Those of all pools, this one among them.
    all: Arc<[Arc<List>]>,
    births: Arc<Births>,
}

#[derive(Debug)]
struct Births {
    began: Instant,
    next: Mutex<u64>,
}

#[derive(Debug)]
struct List {
    pool: Pool,
    queue: WorkQueue,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Arc<Record>>,
    /// What those did that are not in `records` any more.
    past: Totals,
    whole: Whole,
}

/// What the supervisor tells of the whole pool. Times are told as of their moment.
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
    /// Of a process with one pool.
    #[must_use]
    pub fn new(queue: WorkQueue) -> Self {
        let own = Arc::new(List { pool: Pool::default(), queue, state: Mutex::default() });
        Self { all: Arc::new([Arc::clone(&own)]), own, births: Arc::new(Births::new()) }
    }

    /// Of a process with several: one a pool, in their order.
    #[must_use]
    pub fn of<const N: usize>(pools: [(Pool, WorkQueue); N]) -> [Self; N] {
        let lists = pools.map(|(pool, queue)| Arc::new(List { pool, queue, state: Mutex::default() }));
        let (all, births): (Arc<[_]>, _) = (Arc::new(lists.clone()), Arc::new(Births::new()));
        lists.map(|own| Self { own, all: Arc::clone(&all), births: Arc::clone(&births) })
    }

    pub fn pool(&self) -> Pool {
        self.own.pool
    }

    /// A new interpreter: a number that none had, the lowest place that none has.
    pub fn register(&self, generation: u64) -> Arc<Record> {
        let mut next = self.births.next.lock();
        let living = self.everybody();
        let number = *next;
        *next += 1;
        let taken = |place| living.iter().any(|record| record.place() == place);
        let place = (0..).find(|place| !taken(*place)).unwrap_or_default();
        let record = Arc::new(Record::new(Identity { number, place, generation }));
        self.own.state.lock().records.push(Arc::clone(&record));
        record
    }

    /// Nothing is left of an interpreter: what it did is remembered, and its place is free.
    pub fn forget(&self, record: &Arc<Record>) {
        let mut state = self.own.state.lock();
        let before = state.records.len();
        state.records.retain(|known| !Arc::ptr_eq(known, record));
        if state.records.len() < before {
            record.count(&mut state.past);
        }
    }

    /// The records of those that are not forgotten, in the order of their births.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.own.state.lock().records.clone()
    }

    /// Those of the other pools.
    pub fn others(&self) -> Vec<Arc<Record>> {
        let others = self.all.iter().filter(|list| !Arc::ptr_eq(list, &self.own));
        others.flat_map(|list| list.state.lock().records.clone()).collect()
    }

    /// Those of all pools.
    pub fn everybody(&self) -> Vec<Arc<Record>> {
        self.all.iter().flat_map(|list| list.state.lock().records.clone()).collect()
    }

    pub fn find(&self, number: u64) -> Option<Arc<Record>> {
        self.own.state.lock().records.iter().find(|record| record.number() == number).cloned()
    }

    /// What is counted beside the desks.
    pub fn counters(&self) -> &Counters {
        self.own.queue.counters()
    }

    /// Changes what is told of the whole pool.
    pub fn tell(&self, change: impl FnOnce(&mut Whole)) {
        change(&mut self.own.state.lock().whole);
    }

    /// The picture of this moment, of all pools.
    #[must_use]
    pub fn snapshot(&self) -> Census {
        let began = self.births.began;
        match &*self.all {
            [one] => one.snapshot(began),
            several => {
                let part = |list: &Arc<List>| Part { pool: list.pool, census: list.snapshot(began) };
                Census::of_parts(several.iter().map(part).collect())
            }
        }
    }
}

impl Births {
    fn new() -> Self {
        Self { began: Instant::now(), next: Mutex::new(0) }
    }
}

impl List {
    fn snapshot(&self, began: Instant) -> Census {
        let (records, mut totals, whole) = {
            let state = self.state.lock();
            (state.records.clone(), state.past, state.whole.clone())
        };
        records.iter().for_each(|record| record.count(&mut totals));
        let counters = self.queue.counters();
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        totals.timeouts = counted(&counters.timeouts);
        totals.queue_timeouts = counted(&counters.queue_timeouts);
        totals.refused = counted(&counters.refused);
        totals.stuck = counted(&counters.stuck);
        totals.recovered = counted(&counters.recovered);
        let now = Instant::now();
        Census {
            uptime: now.saturating_duration_since(began),
            wanted: whole.wanted,
            least: whole.least,
            most: whole.most,
            generation: whole.generation,
            reload: whole.reload.view(now),
            queue: self.queue.gauge(now),
            interpreters: records.iter().map(|record| record.view(now)).collect(),
            replaced: whole.replaced,
            totals,
            stopping: whole.stopping,
            parts: Vec::new(),
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
