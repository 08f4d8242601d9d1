//! The threads that join an interpreter after the one that loaded it: at the start, and in place of one that is stuck.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::{Work, thread};
use crate::application::{Application, Invitation, Killed};
use crate::census::{Access, Overdue, Record};

/// The threads that serve an interpreter beside the one that loaded it.
#[derive(Debug)]
pub(super) struct Guests<I> {
    /// The record holds this, as the way in.
    record: Weak<Record>,
    work: Work,
    invitation: Mutex<I>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<I: Invitation> Guests<I> {
    pub(super) fn new(record: &Arc<Record>, work: Work, invitation: I) -> Arc<Self> {
        let (record, invitation) = (Arc::downgrade(record), Mutex::new(invitation));
        Arc::new(Self { record, work, invitation, threads: Mutex::default() })
    }

    pub(super) fn invite(&self) -> std::io::Result<()> {
        let Some(record) = self.record.upgrade() else { return Ok(()) };
        let (work, invitation) = (self.work.clone(), self.invitation.lock().clone());
        let (number, mut threads) = (record.number(), self.threads.lock());
        let guest = threads.len() + 1;
        threads.push(thread(&format!("interpreter-{number}.{guest}"), move || match invitation.join() {
            Ok(application) => {
                work.serve(application, &record).end();
            }
            Err(error) => tracing::error!("interpreter {number}: thread {guest} cannot serve: {error}"),
        })?);
        Ok(())
    }

    /// Waits until all have left.
    pub(super) fn join(&self) {
        loop {
            let Some(guest) = self.threads.lock().pop() else { return };
            let _ = guest.join();
        }
    }
}

impl<I: Invitation> Access for Arc<Guests<I>> {
    fn interrupt(&self, overdue: &Overdue) {
        let invitation = self.invitation.lock().clone();
        invitation.interrupt(overdue);
    }

    fn invite(&self) -> std::io::Result<()> {
        Guests::invite(self)
    }

    fn kill(&self) -> Killed {
        self.invitation.lock().kill()
    }
}
