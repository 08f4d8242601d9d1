//! The threads that join an interpreter after the one that loaded it: at the start, and in place of one that is stuck.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::gate::Gate;
use super::wear::Wear;
use super::{Handle, Work, thread};
use crate::application::{Application, Invitation};
use crate::census::{Access, Overdue, Record};
use crate::dispatch::Member;

/// The threads that serve an interpreter beside the one that loaded it.
#[derive(Debug)]
pub(super) struct Guests<I> {
    /// The record holds this, as the way in.
    record: Weak<Record>,
    member: Member,
    gate: Arc<Gate>,
    wear: Option<Arc<Wear>>,
    invitation: Mutex<I>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<I: Invitation> Guests<I> {
    pub(super) fn new(work: &Work, invitation: I) -> Arc<Self> {
        let Handle { record, member, gate } = &work.handle;
        Arc::new(Self {
            record: Arc::downgrade(record),
            member: member.clone(),
            gate: Arc::clone(gate),
            wear: work.wear.clone(),
            invitation: Mutex::new(invitation),
            threads: Mutex::default(),
        })
    }

    /// Starts the threads beside the first one, as many as can be.
    pub(super) fn invite_all(&self, threads: usize) {
        for _ in 1..threads {
            if let Err(error) = self.invite() {
                let number = self.record.upgrade().map(|record| record.number()).unwrap_or_default();
                tracing::warn!("interpreter {number} serves on fewer threads: cannot start one: {error}");
                return;
            }
        }
    }

    fn invite(&self) -> std::io::Result<()> {
        let Some(record) = self.record.upgrade() else { return Ok(()) };
        let number = record.number();
        let handle = Handle { record, member: self.member.clone(), gate: Arc::clone(&self.gate) };
        let work = Work { handle, wear: self.wear.clone() };
        let (invitation, mut threads) = (self.invitation.lock().clone(), self.threads.lock());
        let guest = threads.len() + 1;
        threads.push(thread(&format!("interpreter-{number}.{guest}"), move || match invitation.join() {
            Ok(application) => {
                work.serve(application).end();
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
}
