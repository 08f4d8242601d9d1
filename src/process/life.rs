//! The life of a worker process: load, serve at its lanes, end.
//!
//! The thread that calls loads and serves first; each further lane gets a thread of its own; one more hears orders.
//! Whatever is loaded, it is served by the same calls as in the server's own process.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::ahead::Behind;
use super::cord::{Cord, Ear};
use super::lane::{End, Ends, Lane};
use super::words::{Birth, Loss, Order, Word};
use crate::application::{Application, Ended, Invitation, LoadError, Loaded, Loader, NotLoaded};
use crate::census::{Desk, Overdue, Record};
use crate::worker::thread;

/// What the threads of a worker share.
#[derive(Debug)]
struct Inside<I> {
    cord: Arc<Cord>,
    record: Arc<Record>,
    invitation: Mutex<Option<I>>,
    lanes: Mutex<Vec<Known>>,
    guests: Mutex<Vec<JoinHandle<()>>>,
}

/// A lane, by the number that the server gave it.
#[derive(Debug, Clone)]
struct Known {
    number: u64,
    end: Arc<End>,
    desk: Arc<Desk>,
}

/// Loads by what `loader` makes, serves until the server closes the lanes, ends what was loaded. `orphaned` is called
/// on another thread when the server is gone.
pub fn work<L: Loader>(
    birth: Birth,
    socket: UnixStream,
    loader: impl FnOnce(&Arc<Cord>) -> L,
    orphaned: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let (cord, ear) = Cord::new(socket)?;
    let cord = Arc::new(cord);
    let loader = loader(&cord);
    let inside = Arc::new(Inside {
        cord: Arc::clone(&cord),
        record: Arc::new(Record::new(birth.into())),
        invitation: Mutex::default(),
        lanes: Mutex::default(),
        guests: Mutex::default(),
    });
    let (first, home) = sync_channel(1);
    let hearing = Arc::clone(&inside);
    let name = format!("interpreter-{}.orders", birth.number);
    thread(&name, move || {
        hear::<L::Invitation>(ear, first, &hearing);
        orphaned();
    })?;
    let left = match loader.load(birth.into()) {
        Ok(Loaded { application, invitation, name }) => {
            *inside.invitation.lock() = Some(invitation);
            cord.say(&Word::Ready { name }, None)?;
            match serve(application, &home, &inside) {
                Ended::Cleanly => None,
                Ended::Abandoned(why) => Some(why),
            }
        }
        Err(NotLoaded { error, .. }) => {
            cord.say(&Word::Failed { error }, None)?;
            None
        }
    };
    cord.say(&Word::Leaves { left }, None)
}

/// The thread that has loaded serves at the first lane, and ends the application when all others have left.
fn serve<A: Application, I: Invitation>(
    mut application: A,
    home: &Receiver<(u64, Ends)>,
    inside: &Inside<I>,
) -> Ended {
    if let Ok((number, ends)) = home.recv() {
        inside.serve(&mut application, number, ends);
    }
    loop {
        let Some(guest) = inside.guests.lock().pop() else { break };
        let _ = guest.join();
    }
    inside.record.close_door();
    application.end()
}

impl<I> Inside<I> {
    fn serve<A: Application>(&self, application: &mut A, number: u64, ends: Ends) {
        let desk = self.record.desk();
        desk.sit(application.thread());
        let mut lane = Lane::new(ends, Arc::clone(&desk));
        let known = Known { number, end: Arc::clone(lane.end()), desk };
        self.lanes.lock().push(known);
        while let Some(exchange) = lane.wait() {
            let served = catch_unwind(AssertUnwindSafe(|| application.serve(exchange, &mut lane)));
            if served.is_err() {
                let worker = self.record.number();
                tracing::error!(
                    "interpreter {worker}: the server panicked while serving a request; it goes on"
                );
            }
        }
    }

    fn lane(&self, number: u64) -> Option<Known> {
        self.lanes.lock().iter().find(|lane| lane.number == number).cloned()
    }
}

/// Hears orders until the cord is cut.
fn hear<I: Invitation>(mut ear: Ear, first: SyncSender<(u64, Ends)>, inside: &Arc<Inside<I>>) {
    let mut first = Some(first);
    while let Some((order, file)) = ear.hear::<Order>() {
        match (order, file) {
            (Order::Serve { lane }, Some(socket)) => {
                let (Some(tokens), Some(bell)) = (ear.file(), ear.file()) else { return };
                let ends = Ends { socket: socket.into(), behind: Behind::from_ends(tokens, bell) };
                match first.take() {
                    // Its thread may have ended already: then the lane is closed, which the server sees.
                    Some(first) => drop(first.send((lane, ends))),
                    None => guest(lane, ends, inside),
                }
            }
            (Order::Interrupt { lane, serial, ticket }, _) => interrupt((lane, serial), ticket, inside),
            (Order::Lose { lane, serial, why }, _) => {
                if let Some(lane) = inside.lane(lane) {
                    lane.end.lose(serial, why);
                }
            }
            _ => {}
        }
    }
}

/// One more thread serves.
fn guest<I: Invitation>(number: u64, ends: Ends, inside: &Arc<Inside<I>>) {
    let Some(invitation) = inside.invitation.lock().clone() else { return };
    let (within, worker) = (Arc::clone(inside), inside.record.number());
    let started = thread(&format!("interpreter-{worker}.{number}"), move || match invitation.join() {
        Ok(mut application) => {
            within.serve(&mut application, number, ends);
            application.end();
        }
        Err(error) => told(worker, number, &error),
    });
    match started {
        Ok(guest) => inside.guests.lock().push(guest),
        Err(error) => tracing::error!("interpreter {worker}: no thread for lane {number}: {error}"),
    }
}

fn told(worker: u64, number: u64, error: &LoadError) {
    tracing::error!("interpreter {worker}: thread {number} cannot serve: {error}");
}

/// On a thread of its own: it may have to wait for the interpreter for ever. Whatever comes of it, the server hears.
fn interrupt<I: Invitation>((lane, serial): (u64, u64), ticket: u64, inside: &Arc<Inside<I>>) {
    let found = move |inside: &Inside<I>, stack| {
        // A server that is gone asks no more.
        let _ = inside.cord.say(&Word::Found { ticket, stack }, None);
    };
    let (Some(lane), Some(invitation)) = (inside.lane(lane), inside.invitation.lock().clone()) else {
        return found(inside, None);
    };
    // It was answered in the application's place.
    lane.end.lose(serial, Loss::Revoked);
    let within = Arc::clone(inside);
    let started = thread("interrupt", move || {
        let Some(_visit) = within.record.visit() else { return found(&within, None) };
        let overdue = Overdue::new(Arc::clone(&within.record), lane.desk, serial, String::new());
        invitation.interrupt(&overdue);
        found(&within, overdue.stack());
    });
    if let Err(error) = started {
        tracing::warn!("cannot be interrupted: no thread for it: {error}");
        found(inside, None);
    }
}
