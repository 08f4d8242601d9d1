//! One OS thread serving one application, and how it reports.
//!
//! Owns the life of a thread at the queue: load or join, serve, end. Knows neither HTTP nor Python.
//! Each thread ends or is reported: every step sends a [`Report`] to the supervisor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::application::{Application, Ended, Invitation, Line, LoadError, Loaded, Loader, NotLoaded};
use crate::dispatch::{Seat, WorkQueue};
use crate::exchange::Exchange;

/// Stack of a thread that runs Python. 16 MiB of address space, touched only as far as it is used: CPython
/// 3.13 counts C recursion for big stacks and overflows on 2 MiB; 8 MiB is the least that held.
const STACK: usize = 16 * 1024 * 1024;

/// What a slot tells the supervisor.
#[derive(Debug)]
pub enum Report {
    /// The application is loaded and its threads serve.
    Serving { place: usize, name: String, took: Duration },
    /// It could not be loaded.
    Failed { place: usize, error: LoadError, ended: Ended },
    /// It takes no more requests and has none in hand; its exit handlers may take their time.
    Ending { place: usize },
    /// All threads of the slot are done.
    Ended { place: usize, ended: Ended },
}

/// What every thread of a slot needs.
#[derive(Debug)]
pub struct Slot<L> {
    pub place: usize,
    /// Threads that serve, at least one.
    pub threads: usize,
    pub loader: Arc<L>,
    pub queue: WorkQueue,
    pub reports: UnboundedSender<Report>,
}

impl<L: Loader> Slot<L> {
    /// Starts the slot's first thread, which loads the application and starts the others.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        thread(&format!("interpreter-{}", self.place), move || {
            let (place, reports) = (self.place, self.reports.clone());
            let report = catch_unwind(AssertUnwindSafe(|| self.live())).unwrap_or_else(|_| Report::Ended {
                place,
                ended: Ended::Abandoned(format!("interpreter {place}: its thread panicked")),
            });
            // The supervisor may be gone already: then nobody asks.
            let _ = reports.send(report);
        })
    }

    /// The life of an interpreter: load, serve, drain, end.
    fn live(self) -> Report {
        let place = self.place;
        let began = Instant::now();
        let Loaded { application, invitation, name } = match self.loader.load(place) {
            Ok(loaded) => loaded,
            Err(NotLoaded { error, ended }) => return Report::Failed { place, error, ended },
        };
        let guests = match self.invite(&invitation) {
            Ok(guests) => guests,
            Err(error) => {
                tracing::warn!("interpreter {place} serves on fewer threads: cannot start one: {error}");
                Vec::new()
            }
        };
        let _ = self.reports.send(Report::Serving { place, name, took: began.elapsed() });
        let application = serve(application, self.queue.seat(place), place);
        // Guests end with the queue, as this thread just did; one that is stuck keeps its slot from ending,
        // and the supervisor's deadline then speaks for both.
        for guest in guests {
            let _ = guest.join();
        }
        let _ = self.reports.send(Report::Ending { place });
        Report::Ended { place, ended: application.end() }
    }

    fn invite(&self, invitation: &L::Invitation) -> std::io::Result<Vec<JoinHandle<()>>> {
        (1..self.threads).map(|number| self.guest(number, invitation.clone())).collect()
    }

    fn guest(&self, number: usize, invitation: L::Invitation) -> std::io::Result<JoinHandle<()>> {
        let (place, queue) = (self.place, self.queue.clone());
        thread(&format!("interpreter-{place}.{number}"), move || match invitation.join() {
            Ok(application) => {
                serve(application, queue.seat(place), place).end();
            }
            Err(error) => tracing::error!("interpreter {place}: thread {number} cannot serve: {error}"),
        })
    }
}

fn thread(name: &str, life: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(STACK).spawn(life)
}

/// Serves until the queue is closed and empty. A panic costs one request, never the thread.
fn serve<A: Application>(mut application: A, mut seat: Seat, place: usize) -> A {
    while let Some(exchange) = seat.wait() {
        let served = catch_unwind(AssertUnwindSafe(|| application.serve(exchange, &mut seat)));
        if served.is_err() {
            tracing::error!("interpreter {place}: the server panicked while serving a request; it goes on");
        }
    }
    application
}

impl Line for Seat {
    fn next(&mut self) -> Option<Exchange> {
        self.take()
    }

    fn offered(&mut self) {
        Seat::offered(self);
    }
}
