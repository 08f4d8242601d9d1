//! What can be done inside an interpreter from outside, and the request for which it is done.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Desk, Record, Thread};
use crate::application::Killed;

/// The way into an interpreter. Called while a [`super::Visit`] is held.
pub trait Access: Debug + Send + Sync {
    /// Tells where a thread is whose request has taken too long, and raises an exception in it. May wait for the
    /// interpreter for ever.
    fn interrupt(&self, overdue: &Overdue);

    /// One more thread serves there.
    fn invite(&self) -> io::Result<()>;

    /// Ends it by force, whatever its threads do.
    fn kill(&self) -> Killed;
}

/// A request that has taken too long, in the hands of the thread that serves it.
#[derive(Debug)]
pub struct Overdue {
    record: Arc<Record>,
    desk: Arc<Desk>,
    serial: u64,
    /// `interpreter 0: GET /`, for the log.
    name: String,
    stack: Mutex<Option<String>>,
    raised: AtomicBool,
}

impl Overdue {
    #[must_use]
    pub fn new(record: Arc<Record>, desk: Arc<Desk>, serial: u64, name: String) -> Self {
        Self { record, desk, serial, name, stack: Mutex::default(), raised: AtomicBool::new(false) }
    }

    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// What the log calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is request `serial` at `desk`.
    pub fn is(&self, desk: &Arc<Desk>, serial: u64) -> bool {
        Arc::ptr_eq(&self.desk, desk) && self.serial == serial
    }

    /// The thread that serves it.
    pub fn thread(&self) -> Thread {
        self.desk.thread()
    }

    pub fn is_in_hand(&self) -> bool {
        self.desk.has(self.serial)
    }

    /// Its interpreter could be entered, and its thread is here. Empty: that cannot be told.
    pub fn found(&self, stack: String) {
        *self.stack.lock() = Some(stack);
    }

    /// Where its thread was; none if its interpreter could not be entered until now.
    pub fn stack(&self) -> Option<String> {
        self.stack.lock().clone()
    }

    /// Runs `raise` if the request is in hand and stays so meanwhile. False: it is gone.
    pub fn interrupt(&self, raise: impl FnOnce()) -> bool {
        let raised = self.desk.interrupt(self.serial, raise);
        self.raised.store(raised, Ordering::Relaxed);
        raised
    }

    /// Whether it was interrupted.
    pub fn was_interrupted(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}
