//! N interpreters of one pool: started, watched, replaced, drained. Knows neither HTTP nor Python.
//!
//! Owns the interpreters' lives through their handles and reports, and decides how many there are. Each wait has a
//! deadline; what has not ended by then is counted and left to the end of the process. What to do next is decided
//! in one place, `plan`, from what there is: a command, a report or a deadline only changes that.

mod backoff;
mod end;
mod growth;
mod hear;
mod life;
mod obey;
mod plan;
mod reload;
mod verdict;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use self::backoff::BackOff;
use self::growth::Growth;
use self::life::{Life, Phase};
use self::plan::{Aim, Step};
use self::reload::Reload;
use crate::application::{Ended, Killed, LoadError, Loader};
use crate::census::{Kind, Pool, Reason, Roster};
use crate::config::{Bounds, Lives};
use crate::dispatch::WorkQueue;
use crate::worker::{self, Handle, Report, WarmUp};

/// How many interpreters there are, and on how many threads each serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    pub slots: usize,
    pub threads: usize,
}

/// What holds for all interpreters of a pool.
#[derive(Debug, Clone)]
pub struct Terms {
    pub kind: Kind,
    pub crew: Crew,
    pub bounds: Bounds,
    pub lives: Lives,
    pub replacement: Replacement,
    /// How long one that is dismissed may take for what it has in hand, and to end.
    pub graceful: Duration,
    /// Stuck ones, beyond which the process must be started again.
    pub most_stuck: usize,
}

/// Whether an interpreter can be replaced by a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    Possible,
    /// The application lives in the main interpreter, of which there is one.
    Impossible,
}

/// How the interpreters ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Toll {
    pub ended: usize,
    /// Left as they are, since ending them would not have been safe; nothing of theirs runs for us.
    pub abandoned: usize,
    /// Still in the application's code when the time was up.
    pub stuck: usize,
}

impl Toll {
    /// Of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            ended: self.ended + other.ended,
            abandoned: self.abandoned + other.abandoned,
            stuck: self.stuck + other.stuck,
        }
    }
}

/// As many serve as are wanted.
#[derive(Debug)]
pub struct Ready {
    /// The application's name for itself.
    pub name: String,
    /// From start to the last one's readiness.
    pub took: Duration,
}

/// Why the process must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was asked to.
    Told,
    /// Nothing serves, and nothing can be loaded.
    Exhausted,
    /// Too many are stuck.
    Stuck,
    /// It has taken too much memory.
    Grown,
}

#[derive(Debug)]
pub struct Supervisor<L> {
    terms: Terms,
    loader: Arc<L>,
    queue: WorkQueue,
    roster: Roster,
    lives: Vec<Life>,
    reports: UnboundedReceiver<Report>,
    reporting: UnboundedSender<Report>,
    state: State,
}

/// What is wanted, and how far it has come.
#[derive(Debug)]
struct State {
    wanted: usize,
    /// The reload whose code shall serve.
    generation: u64,
    /// Reloads that began.
    reloads: u64,
    reload: Option<Reload>,
    back_off: BackOff,
    /// What the last load that failed said.
    complaint: Option<String>,
    growth: Growth,
    course: Course,
    /// Threads are stuck in whose place none can serve.
    exhausted: bool,
    /// Ended since the end began.
    ended: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Running,
    Told,
    Stopping,
}

impl<L: Loader> Supervisor<L> {
    /// Starts all interpreters at once.
    pub fn start(terms: Terms, loader: L, queue: WorkQueue, roster: Roster) -> io::Result<Self> {
        let (reporting, reports) = unbounded_channel();
        let state = State {
            wanted: terms.crew.slots,
            generation: 0,
            reloads: 0,
            reload: None,
            back_off: BackOff::default(),
            complaint: None,
            growth: Growth::since_now(None),
            course: Course::Running,
            exhausted: false,
            ended: 0,
        };
        let loader = Arc::new(loader);
        let mut all = Self { terms, loader, queue, roster, lives: Vec::new(), reports, reporting, state };
        for _ in 0..all.terms.crew.slots {
            all.load()?;
        }
        all.tell();
        Ok(all)
    }

    /// The pool that it minds.
    pub fn pool(&self) -> Pool {
        self.roster.pool()
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    pub fn can_replace(&self) -> bool {
        self.terms.replacement == Replacement::Possible
    }

    pub fn kind(&self) -> Kind {
        self.terms.kind
    }

    /// Where to report what happens to an interpreter.
    pub fn reports(&self) -> UnboundedSender<Report> {
        self.reporting.clone()
    }

    /// Waits until every interpreter serves. After the first failure the rest is not waited for.
    pub async fn ready(&mut self) -> Result<Ready, LoadError> {
        let began = Instant::now();
        let mut name = None;
        while self.lives.iter().any(Life::is_loading) {
            let Some(report) = self.reports.recv().await else { break };
            match &report {
                Report::Ready { name: given, number, .. } => {
                    name.get_or_insert(given.clone());
                    let number = *number;
                    self.hear(report);
                    self.take(Step::Admit(number));
                }
                Report::Failed { error, .. } => {
                    let error = error.clone();
                    // Whoever waits here tells of it; nothing is tried again.
                    self.state.course = Course::Stopping;
                    self.hear(report);
                    return Err(error);
                }
                Report::Ended { ended: Ended::Abandoned(why), .. } => {
                    let why = why.clone();
                    self.hear(report);
                    return Err(LoadError::Interpreter(why));
                }
                _ => self.hear(report),
            }
        }
        self.state.growth = Growth::since_now(self.terms.lives.max_growth);
        Ok(Ready { name: name.unwrap_or_default(), took: began.elapsed() })
    }

    /// Keeps as many serving as are wanted, until the process must end. Cancel-safe: what has happened is kept.
    /// Once [`Supervisor::stop`] was called it ends never.
    pub async fn run(&mut self) -> Why {
        loop {
            if let Some(why) = self.turn(Instant::now()) {
                return why;
            }
            let alarm = self.alarm();
            tokio::select! {
                Some(report) = self.reports.recv() => self.hear(report),
                () = sleep_until(alarm) => {}
            }
        }
    }

    /// Does all that can be done now.
    fn turn(&mut self, now: Instant) -> Option<Why> {
        match self.state.course {
            Course::Stopping => {
                self.release();
                return None;
            }
            Course::Told => return Some(Why::Told),
            Course::Running => {}
        }
        self.look_at_clocks(now);
        self.take_steps(now);
        // Its end may be the next one's beginning.
        self.conclude_reload(now);
        self.take_steps(now);
        self.tell();
        self.verdict(now)
    }

    fn take_steps(&mut self, now: Instant) {
        while let Some(step) = plan::next(&self.seen(), self.aim(now)) {
            self.take(step);
        }
    }

    fn seen(&self) -> Vec<plan::Seen> {
        self.lives.iter().map(Life::seen).collect()
    }

    fn aim(&self, now: Instant) -> Aim {
        let possible = self.terms.replacement == Replacement::Possible;
        Aim {
            wanted: self.state.wanted,
            generation: self.state.generation,
            spares: if possible { self.terms.lives.spares } else { 0 },
            loading: self.state.back_off.loading(now),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Load => {
                if let Err(error) = self.load() {
                    self.failed(Instant::now(), &format!(" cannot start a thread: {error}"));
                }
            }
            Step::Admit(number) => {
                let Lives { max_lifetime, max_lifetime_jitter, .. } = &self.terms.lives;
                let lifetime = max_lifetime
                    .filter(|_| self.terms.replacement == Replacement::Possible)
                    .map(|most| most + max_lifetime_jitter.mul_f64(fastrand::f64()));
                if let Some(life) = self.life(number) {
                    life.admit(lifetime);
                }
            }
            Step::Dismiss(number, reason) => self.dismiss(number, reason),
        }
    }

    /// Begins a life: its first thread, which loads the application.
    fn load(&mut self) -> io::Result<()> {
        let record = self.roster.register(self.state.generation);
        let handle = Handle::new(record, self.queue.member());
        let lives = &self.terms.lives;
        let most = lives.max_requests.filter(|_| self.terms.replacement == Replacement::Possible);
        let started = worker::Life {
            handle: handle.clone(),
            threads: self.terms.crew.threads,
            loader: Arc::clone(&self.loader),
            most: most.map(|most| most.get().saturating_add(fastrand::u64(0..=lives.max_requests_jitter))),
            warmup: lives.warmup.as_ref().map(|target| WarmUp::new(target, self.queue.bell())),
            reports: self.reporting.clone(),
        }
        .start();
        match started {
            Ok(_) => {
                let (phase, began) = (Phase::Loading, Instant::now());
                self.lives.push(Life { handle, phase, began, expires: None, worn: None });
                Ok(())
            }
            Err(error) => {
                self.roster.forget(&handle.record);
                Err(error)
            }
        }
    }

    fn dismiss(&mut self, number: u64, reason: Reason) {
        let graceful = self.terms.graceful;
        let Some(life) = self.life(number) else { return };
        let served = life.phase == Phase::Serving;
        life.dismiss(graceful);
        if served {
            match reason {
                Reason::Scale => tracing::info!("interpreter {number} ends: there are more than wanted"),
                _ => tracing::info!("interpreter {number} is replaced: {}", reason.as_str()),
            }
            self.roster.tell(|whole| whole.count(reason));
        }
    }

    fn life(&mut self, number: u64) -> Option<&mut Life> {
        self.lives.iter_mut().find(|life| life.number() == number)
    }

    /// What has lasted long enough.
    fn look_at_clocks(&mut self, now: Instant) {
        for place in 0..self.lives.len() {
            let Some(life) = self.lives.get_mut(place) else { return };
            if life.deadline().is_none_or(|deadline| now < deadline) {
                continue;
            }
            let number = life.number();
            match life.phase {
                Phase::Serving => life.worn = Some(Reason::Lifetime),
                Phase::Draining { .. } => self.stuck(number),
                Phase::Ending { .. } => {
                    if life.kill() == Killed::Impossible {
                        life.give_up(Phase::Abandoned);
                    }
                    let how = if life.phase == Phase::Killed { "killed" } else { "left as it is" };
                    tracing::warn!(
                        "interpreter {number} is {how}: its threads or exit handlers have not ended in time"
                    );
                }
                _ => {}
            }
        }
    }

    /// When something changes by itself.
    fn alarm(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.state.course == Course::Stopping {
            return None;
        }
        let reload = self.state.reload.as_ref().and_then(|reload| reload.patience_ends(self.terms.graceful));
        let lives = self.lives.iter().filter_map(Life::deadline);
        lives.chain(reload).chain(self.state.back_off.until(now)).chain(self.state.growth.look_at()).min()
    }

    /// Tells the census.
    fn tell(&self) {
        let (state, bounds) = (&self.state, self.terms.bounds);
        self.roster.tell(|whole| {
            whole.wanted = state.wanted;
            (whole.least, whole.most) = match self.terms.replacement {
                Replacement::Possible => (bounds.least.get(), bounds.most.get()),
                Replacement::Impossible => (state.wanted, state.wanted),
            };
            whole.generation = state.reloads;
            if let Some(reload) = &state.reload {
                whole.reload = reload.state();
            }
            whole.stopping = state.course != Course::Running;
        });
    }
}

/// Waits until then, or for ever.
async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(alarm) => tokio::time::sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
