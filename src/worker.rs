//! One OS thread serving one application, and how it reports.
//!
//! Owns the life of a thread at the queue: load or join, serve, end. Knows neither HTTP nor Python.
//! Each thread ends or is reported: every step sends a [`Report`] to the supervisor.

mod guests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use self::guests::Guests;
use crate::application::{Application, Ended, Line, LoadError, Loaded, Loader, NotLoaded};
use crate::census::{Record, Stage};
use crate::dispatch::{Member, Seat};
use crate::exchange::Exchange;

/// Stack of a thread that runs Python. 16 MiB of address space, touched only as far as it is used: CPython
/// 3.13 counts C recursion for big stacks and overflows on 2 MiB; 8 MiB is the least that held.
const STACK: usize = 16 * 1024 * 1024;

/// What an interpreter's threads tell the supervisor, by its number.
#[derive(Debug)]
pub enum Report {
    /// The application is loaded and its threads serve.
    Serving { number: u64, name: String, took: Duration },
    /// It could not be loaded.
    Failed { number: u64, error: LoadError, ended: Ended },
    /// It does not come back from the application's code.
    Stuck { number: u64 },
    /// It takes no more requests and has none in hand; its exit handlers may take their time.
    Ending { number: u64 },
    /// All its threads are done.
    Ended { number: u64, ended: Ended },
}

/// What every thread of an interpreter needs.
#[derive(Debug)]
pub struct Life<L> {
    pub record: Arc<Record>,
    /// Threads that serve, at least one.
    pub threads: usize,
    pub loader: Arc<L>,
    pub member: Member,
    pub reports: UnboundedSender<Report>,
}

impl<L: Loader> Life<L> {
    /// Starts the first thread, which loads the application and starts the others.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        let number = self.record.number();
        thread(&format!("interpreter-{number}"), move || {
            let reports = self.reports.clone();
            let report = catch_unwind(AssertUnwindSafe(|| self.live())).unwrap_or_else(|_| Report::Ended {
                number,
                ended: Ended::Abandoned(format!("interpreter {number}: its thread panicked")),
            });
            // The supervisor may be gone already: then nobody asks.
            let _ = reports.send(report);
        })
    }

    /// The life of an interpreter: load, serve, drain, end.
    fn live(self) -> Report {
        let (record, number) = (&self.record, self.record.number());
        let Loaded { application, invitation, name } = match self.loader.load(record.identity()) {
            Ok(loaded) => loaded,
            Err(NotLoaded { error, ended }) => return Report::Failed { number, error, ended },
        };
        let guests = Guests::new(record, self.member.clone(), invitation);
        for _ in 1..self.threads {
            if let Err(error) = guests.invite() {
                tracing::warn!("interpreter {number} serves on fewer threads: cannot start one: {error}");
            }
        }
        record.give_access(Box::new(Arc::clone(&guests)));
        let took = record.loaded();
        record.reach(Stage::Serving);
        let _ = self.reports.send(Report::Serving { number, name, took });
        let application = serve(application, &self.member, record);
        // Guests leave with this thread; one that is stuck keeps its interpreter from ending, and the
        // supervisor's deadline then speaks for both.
        guests.join();
        record.reach(Stage::Ending);
        let _ = self.reports.send(Report::Ending { number });
        record.close_door();
        // One that came in at the last moment leaves at once.
        guests.join();
        Report::Ended { number, ended: application.end() }
    }
}

/// A thread that may run Python.
pub fn thread(name: &str, life: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(STACK).spawn(life)
}

/// Serves until the queue is closed and empty, or its interpreter retired. A panic costs one request, never the
/// thread.
fn serve<A: Application>(mut application: A, member: &Member, record: &Record) -> A {
    let desk = record.desk();
    desk.sit(application.thread());
    let mut seat = member.seat(desk);
    while let Some(exchange) = seat.wait() {
        let served = catch_unwind(AssertUnwindSafe(|| application.serve(exchange, &mut seat)));
        if served.is_err() {
            tracing::error!(
                "interpreter {}: the server panicked while serving a request; it goes on",
                record.number()
            );
        }
    }
    application
}

impl Line for Seat {
    fn next(&mut self) -> Option<Exchange> {
        self.take()
    }

    fn was_interrupted(&mut self) -> bool {
        Seat::was_interrupted(self)
    }

    fn offered(&mut self) {
        Seat::offered(self);
    }
}
