//! One OS thread serving one application, and how it reports.
//!
//! Owns the life of a thread at the queue: load or join, wait at the gate, serve, end. Knows neither HTTP nor
//! Python. Each thread ends or is reported: every step sends a [`Report`] to the supervisor.

mod gate;
mod guests;
mod warmup;
mod wear;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use self::gate::{Gate, Pass};
use self::guests::Guests;
pub use self::warmup::WarmUp;
use self::wear::{Post, Wear};
use crate::application::{Application, Ended, Invitation as _, LoadError, Loaded, Loader, NotLoaded};
use crate::census::{Record, Stage};
use crate::dispatch::Member;

/// Stack of a thread that runs Python. 16 MiB of address space, touched only as far as it is used: CPython
/// 3.13 counts C recursion for big stacks and overflows on 2 MiB; 8 MiB is the least that held.
const STACK: usize = 16 * 1024 * 1024;

/// What an interpreter's threads tell the supervisor, by its number.
#[derive(Debug)]
pub enum Report {
    /// The application is loaded, and its threads wait for the word.
    Ready { number: u64, name: String, took: Duration },
    /// It could not be loaded.
    Failed { number: u64, error: LoadError, ended: Ended },
    /// It has served as many requests as it shall. It serves on.
    Worn { number: u64 },
    /// It does not come back from the application's code.
    Stuck { number: u64 },
    /// Its process has ended, and how.
    Died { number: u64, how: String },
    /// Threads do not come back from the application's code, and too few can take their place.
    Exhausted,
    /// It takes no more requests and has none in hand; its exit handlers may take their time.
    Ending { number: u64 },
    /// All its threads are done.
    Ended { number: u64, ended: Ended },
}

/// What the supervisor holds of an interpreter.
#[derive(Debug, Clone)]
pub struct Handle {
    pub record: Arc<Record>,
    member: Member,
    gate: Arc<Gate>,
}

impl Handle {
    #[must_use]
    pub fn new(record: Arc<Record>, member: Member) -> Self {
        Self { record, member, gate: Arc::default() }
    }

    /// Its threads take requests as soon as the application is loaded.
    pub fn admit(&self) {
        self.gate.say(Pass::Serve);
    }

    /// Its threads take no more requests, finish what they have and end.
    pub fn retire(&self) {
        self.gate.say(Pass::Leave);
        self.member.retire();
    }
}

/// What every thread of an interpreter needs.
#[derive(Debug)]
pub struct Life<L> {
    pub handle: Handle,
    /// Threads that serve, at least one.
    pub threads: usize,
    pub loader: Arc<L>,
    /// After so many requests it is reported worn.
    pub most: Option<u64>,
    pub warmup: Option<WarmUp>,
    pub reports: UnboundedSender<Report>,
}

/// What serving takes, the same for each thread of an interpreter.
#[derive(Debug, Clone)]
struct Work {
    member: Member,
    gate: Arc<Gate>,
    wear: Option<Arc<Wear>>,
}

impl<L: Loader> Life<L> {
    /// Starts the first thread, which loads the application and starts the others.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        let number = self.handle.record.number();
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

    /// The life of an interpreter: load, warm up, serve, drain, end.
    fn live(self) -> Report {
        let Self { handle, threads, loader, most, warmup, reports } = self;
        let (record, number) = (Arc::clone(&handle.record), handle.record.number());
        let Loaded { mut application, invitation, name } = match loader.load(record.identity()) {
            Ok(loaded) => loaded,
            Err(NotLoaded { error, ended }) => return Report::Failed { number, error, ended },
        };
        if let Some(Err(why)) = warmup.map(|warmup| warmup.run(&mut application)) {
            record.close_door();
            return Report::Failed { number, error: LoadError::WarmUp(why), ended: application.end() };
        }
        if let Some(process) = invitation.process() {
            record.lives_in(process);
        }
        let (gone, bereaved) = (handle.clone(), reports.clone());
        invitation.mourn(Box::new(move |how| {
            // First of all: it is given nothing more.
            gone.retire();
            let _ = bereaved.send(Report::Died { number, how });
        }));
        let wear = most.map(|most| Arc::new(Wear::new(number, most, reports.clone())));
        let work = Work { member: handle.member, gate: handle.gate, wear };
        let guests = Guests::new(&record, work.clone(), invitation);
        for _ in 1..threads {
            if let Err(error) = guests.invite() {
                tracing::warn!("interpreter {number} serves on fewer threads: cannot start one: {error}");
            }
        }
        record.give_access(Box::new(Arc::clone(&guests)));
        let _ = reports.send(Report::Ready { number, name, took: record.loaded() });
        let application = work.serve(application, &record);
        // Guests leave with this thread; one that is stuck keeps its interpreter from ending, and the
        // supervisor's deadline then speaks for both.
        guests.join();
        record.reach(Stage::Ending);
        let _ = reports.send(Report::Ending { number });
        record.close_door();
        // One that came in at the last moment leaves at once.
        guests.join();
        Report::Ended { number, ended: application.end() }
    }
}

impl Work {
    /// Waits for the word, then serves until the queue is closed and empty, or its interpreter retired. A panic
    /// costs one request, never the thread.
    fn serve<A: Application>(&self, mut application: A, record: &Record) -> A {
        let desk = record.desk();
        desk.sit(application.thread());
        if self.gate.wait() == Pass::Leave {
            return application;
        }
        let mut post = Post::new(self.member.seat(desk), self.wear.clone());
        while application.can_serve()
            && let Some(exchange) = post.wait()
        {
            let served = catch_unwind(AssertUnwindSafe(|| application.serve(exchange, &mut post)));
            if served.is_err() {
                post.count();
                tracing::error!(
                    "interpreter {}: the server panicked while serving a request; it goes on",
                    record.number()
                );
            }
        }
        application
    }
}

/// A thread that may run Python.
pub fn thread(name: &str, life: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(STACK).spawn(life)
}
