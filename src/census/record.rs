//! One interpreter's record, from its birth to its end, and the door to it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::{Access, Desk, Interpreter, Stage, Totals};

/// Which interpreter it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Counts the interpreters of this process from 0: never given twice.
    pub number: u64,
    /// The lowest that no living interpreter had when it was born.
    pub place: usize,
    /// The reload whose code it has.
    pub generation: u64,
}

/// What is known of one interpreter.
#[derive(Debug)]
pub struct Record {
    identity: Identity,
    /// Of the process that it is, if that is not this one; 0: it is this one.
    process: AtomicU32,
    born: Instant,
    stage: Mutex<(Stage, Instant)>,
    /// Nanoseconds from birth to readiness; 0: not ready yet.
    load: AtomicU64,
    desks: Mutex<Vec<Arc<Desk>>>,
    door: RwLock<Door>,
    access: OnceLock<Box<dyn Access>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Closed,
}

/// Proof that an interpreter has not begun to end, and will not while this is held.
#[derive(Debug)]
pub struct Visit<'a>(#[allow(dead_code, reason = "held, never read")] RwLockReadGuard<'a, Door>);

impl Record {
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let born = Instant::now();
        Self {
            identity,
            process: AtomicU32::new(0),
            born,
            stage: Mutex::new((Stage::Loading, born)),
            load: AtomicU64::new(0),
            desks: Mutex::default(),
            door: RwLock::new(Door::Open),
            access: OnceLock::new(),
        }
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub fn number(&self) -> u64 {
        self.identity.number
    }

    pub fn place(&self) -> usize {
        self.identity.place
    }

    /// The reload whose code it has.
    pub fn generation(&self) -> u64 {
        self.identity.generation
    }

    /// It is a process of its own.
    pub fn lives_in(&self, process: u32) {
        self.process.store(process, Ordering::Relaxed);
    }

    /// The number of its process, if that is not this one.
    pub fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|process| *process > 0)
    }

    pub fn born(&self) -> Instant {
        self.born
    }

    pub fn stage(&self) -> Stage {
        self.stage.lock().0
    }

    /// The stage, and how long it has lasted.
    pub fn stage_since(&self) -> (Stage, Instant) {
        *self.stage.lock()
    }

    pub fn reach(&self, stage: Stage) {
        *self.stage.lock() = (stage, Instant::now());
    }

    /// It is ready, so long after its birth.
    pub fn loaded(&self) -> Duration {
        let took = self.born.elapsed();
        self.load.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        took
    }

    /// The way in, told once, by the thread that loaded it.
    pub fn give_access(&self, access: Box<dyn Access>) {
        // The first one stays: there is one loading thread.
        let _ = self.access.set(access);
    }

    /// What can be done inside from outside; none before it is loaded.
    pub fn access(&self) -> Option<&dyn Access> {
        self.access.get().map(|access| &**access)
    }

    /// A desk for one more serving thread.
    pub fn desk(&self) -> Arc<Desk> {
        let desk = Arc::new(Desk::of(self.number()));
        self.desks.lock().push(Arc::clone(&desk));
        desk
    }

    /// All desks so far.
    pub fn desks(&self) -> Vec<Arc<Desk>> {
        self.desks.lock().clone()
    }

    /// Lets a thread from outside touch the interpreter; none once it has begun to end. Whoever holds it may
    /// wait for the interpreter's GIL, and for nothing else.
    pub fn visit(&self) -> Option<Visit<'_>> {
        // Fails to lock only while `close_door` waits or is done.
        self.door.try_read().filter(|door| **door == Door::Open).map(Visit)
    }

    /// No more visitors; waits for those inside. For the thread that ends the interpreter, detached from it.
    pub fn close_door(&self) {
        *self.door.write() = Door::Closed;
    }

    /// Whether none of its threads has a request in hand.
    pub fn is_idle(&self) -> bool {
        self.desks.lock().iter().all(|desk| desk.is_free())
    }

    /// How many of its threads have a request in hand.
    pub fn busy(&self) -> usize {
        self.desks.lock().iter().filter(|desk| !desk.is_free()).count()
    }

    /// Requests that its threads have finished with.
    pub fn served(&self) -> u64 {
        self.desks.lock().iter().map(|desk| desk.served()).sum()
    }

    /// Adds what its threads have done to `totals`.
    pub fn count(&self, totals: &mut Totals) {
        self.desks.lock().iter().for_each(|desk| desk.count(totals));
    }

    /// What the census tells of it.
    pub fn view(&self, now: Instant) -> Interpreter {
        let load = self.load.load(Ordering::Relaxed);
        let desks = self.desks();
        Interpreter {
            number: self.number(),
            place: self.place(),
            stage: self.stage(),
            generation: self.generation(),
            process: self.process(),
            age: now.saturating_duration_since(self.born),
            load: (load > 0).then(|| Duration::from_nanos(load)),
            served: desks.iter().map(|desk| desk.served()).sum(),
            threads: desks.len(),
            gil_wait: desks.iter().map(|desk| desk.gil_wait()).sum(),
            current: desks.iter().filter_map(|desk| desk.current(now)).collect(),
        }
    }
}
