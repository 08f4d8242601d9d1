//! The life of the process on one page: adopt → start interpreters → serve → drain → end.
//!
//! Knows the halves by their traits only: it cannot tell Python from a fake. Decides no exit status text and
//! prints nothing but log lines.

mod asks;
mod development;
mod logs;
mod plans;

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use self::asks::{Asked, Asks};
use self::development::{Development, Failed};
use self::logs::Logs;
use self::plans::{count, instead, plans, unfit};
use crate::application::{Home, LoadError, Loader};
use crate::bell::Bell;
use crate::census::{Commands, Roster};
use crate::cli::ExitStatus;
use crate::config::Config;
use crate::dispatch::{self, Dispatcher, WorkQueue};
use crate::http::control::Control;
use crate::http::{self, FrontEnd};
use crate::listener::{Kept, Listener};
use crate::logging;
use crate::notify::Notify;
use crate::reload::Sources;
use crate::shutdown::{Ask, Drainer, Signals, drain};
use crate::supervisor::{Crew, Ready, Replacement, Supervisor, Terms, Toll, Why};
use crate::watch::{Stock, Watch};

/// What is kept of `--graceful-timeout` for ending the interpreters after the last reply. 2 s: a Django
/// interpreter ends in 0.1 s; its exit handlers may flush something.
const ENDING: Duration = Duration::from_secs(2);

/// How long a quick stop waits for interpreters that are idle to end. 1 s: see [`ENDING`].
const QUICK: Duration = Duration::from_secs(1);

/// How long an interpreter's own threads are waited for at its end: what is left of `--graceful-timeout` if no
/// request took any of it, without what is kept for its exit handlers.
pub fn joining(graceful: Duration) -> Duration {
    graceful - ENDING.min(graceful / 2)
}

/// Where applications can live: what the right half of the hourglass offers.
pub trait Workplace {
    type Loader: Loader;

    /// Whether threads of one interpreter run Python at the same time here.
    fn threading(&self) -> Threading;

    /// `sources` is told which files the application is made of.
    fn loader(&self, config: &Config, plan: Plan, sources: Option<Sources>) -> Self::Loader;

    /// Makes sure that there is such a hook, before it is time to call it.
    fn find_hook(&self, config: &Config, name: &str) -> Result<(), String>;

    /// Calls `--pre-hook` or `--post-hook`.
    fn hook(&self, config: &Config, name: &str) -> Result<(), String>;

    /// Who may ask this server to end. Called once, inside the reactor.
    fn signals(&self) -> std::io::Result<Signals> {
        Signals::install()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threading {
    /// One thread of an interpreter at a time: a GIL.
    Gil,
    /// All threads at once.
    Free,
}

/// One way to run the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub home: Home,
    pub crew: Crew,
}

/// How the process is to be left.
#[derive(Debug)]
pub struct Stopped {
    pub status: ExitStatus,
    pub leave: Leave,
    /// It begins anew instead, with these sockets.
    pub anew: Option<Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Through Python's own end of the main interpreter.
    Orderly,
    /// By `_exit`: interpreters are left that Python cannot end, or that still run.
    AtOnce,
}

impl Stopped {
    fn orderly(status: ExitStatus) -> Self {
        Self { status, leave: Leave::Orderly, anew: None }
    }

    /// Without a log there is only standard error to tell.
    fn unlogged(line: &str) -> Self {
        // Should that fail too, the exit status still tells.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
        Self::orderly(ExitStatus::Usage)
    }

    fn at_once(status: ExitStatus) -> Self {
        Self { status, leave: Leave::AtOnce, anew: None }
    }
}

/// Runs the server until it is told to stop.
pub fn run<W: Workplace>(config: &Config, workplace: &W) -> Stopped {
    let logs = match Logs::open(config) {
        Ok(logs) => logs,
        Err(error) => return Stopped::unlogged(&format!("chaussette: error: {error}")),
    };
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let plans = match plans(config, workplace.threading()) {
        Ok(plans) => plans,
        Err(message) => {
            logging::critical(message);
            return Stopped::orderly(ExitStatus::Usage);
        }
    };
    let (dispatcher, queue) = dispatch::queue(config.workers.queue, Arc::new(Bell::default()));
    match http::reactor(&dispatcher) {
        Ok(reactor) => {
            let server = (dispatcher, queue);
            let stopped = reactor.block_on(live(config, workplace, &plans, (server, &logs)));
            // A thread that still reads a file for a client that is gone is not waited for.
            reactor.shutdown_background();
            stopped
        }
        Err(error) => {
            logging::critical(format_args!("cannot start the reactor: {error}"));
            Stopped::orderly(ExitStatus::Internal)
        }
    }
}

async fn live<W: Workplace>(
    config: &Config,
    workplace: &W,
    plans: &[Plan],
    ((dispatcher, queue), logs): ((Dispatcher, WorkQueue), &Logs),
) -> Stopped {
    let listeners = match adopt(config) {
        Ok(listeners) => listeners,
        Err(stopped) => return stopped,
    };
    let signals = match workplace.signals().and_then(|signals| logs.reopen_on(signals)) {
        Ok(signals) => signals,
        Err(error) => return internal(format_args!("cannot watch signals: {error}")),
    };
    let mut development = match Development::begin(config.reload.as_ref(), &listeners) {
        Ok(development) => development,
        Err(error) => return internal(error),
    };
    let roster = Roster::new(queue.clone());
    logs.observe(&roster);
    let (commands, orders) = Commands::channel();
    let _asked = match control(config, &(roster.clone(), commands.clone())) {
        Ok(opened) => opened,
        Err(stopped) => return stopped,
    };
    let (mut asks, mut kept) = (Asks::new(signals, orders), Vec::new());
    let addresses: Vec<_> = listeners.iter().map(Listener::describe).collect();
    let (drainer, drain) = drain();
    let front_end = FrontEnd::new(listeners, dispatcher.clone(), config.limits, drain)
        .behind(config.proxies.clone())
        .logging(logs.lines());
    let mut serving = std::pin::pin!(front_end.serve());
    let (answers, here, joints) = (development.is_on(), (config, workplace), (&queue, &roster));
    let started = tokio::select! {
        started = development.start(async |sources| start(here, plans, joints, sources).await, &queue) => started,
        failed = &mut serving, if answers => return internal(format_args!("the front end ended by itself: {failed:?}")),
        () = asks.stop_while_loading(&mut kept) => {
            tracing::info!("stopped while the application was being loaded");
            return Stopped::at_once(ExitStatus::Stopped);
        }
    };
    let (mut supervisor, plan, ready) = match started {
        Ok(started) => started,
        Err(stopped) => return development.end_of_start(stopped, serving, &drainer).await,
    };
    let hooks = find_hook(config, workplace, config.hooks.post.as_deref())
        .and_then(|()| hook(config, workplace, config.hooks.pre.as_deref()));
    if let Err(stopped) = hooks {
        return stopped;
    }
    announce(&addresses, plan, workplace.threading(), &ready);
    development.follow(plan.home, commands);

    let stock = stock(config, plan);
    let watch = Watch::new(config.timeouts, stock, dispatcher, roster.clone(), supervisor.reports());
    tokio::spawn(watch.run());
    supervisor.tell_manager(Notify::new(&config.manager));
    for command in kept {
        asks::Asker::Log.hear(supervisor.obey(command));
    }
    let minding = (&mut supervisor, &mut asks);
    let (why, deadline) = serve(serving, minding, &drainer, config.life.graceful_timeout).await;

    let toll = tokio::select! {
        toll = supervisor.drain(deadline) => toll,
        () = asks.hurry() => supervisor.drain(Instant::now() + QUICK).await,
    };
    let post = config.hooks.post.as_deref();
    let hooked = if toll.stuck > 0 && plan.home == Home::Main {
        // It may hold the GIL that the hook would wait for.
        post.inspect(|name| {
            tracing::warn!("hook {name} is not run: a thread is stuck in the main interpreter")
        });
        Ok(())
    } else {
        hook(config, workplace, post)
    };
    let stopped = development.end(ended(why, toll, hooked));
    // What a plan that was given up has left behind counts, too.
    if roster.records().is_empty() { stopped } else { Stopped { leave: Leave::AtOnce, ..stopped } }
}

fn internal(message: impl std::fmt::Display) -> Stopped {
    logging::critical(message);
    Stopped::orderly(ExitStatus::Internal)
}

/// What a stuck thread means here.
fn stock(config: &Config, plan: Plan) -> Stock {
    let Crew { slots, threads } = plan.crew;
    let replaceable = plan.home != Home::Main;
    let half = if replaceable { slots / 2 } else { threads / 2 };
    let most_stuck = config.timeouts.most_stuck.map_or(half.max(1), NonZeroUsize::get);
    Stock { threads, replaceable, most_stuck }
}

/// Opens every socket, or says which one cannot be had.
fn adopt(config: &Config) -> Result<Vec<Listener>, Stopped> {
    let open = |(number, address)| {
        let opened = match config.resumed.get(number).copied().flatten() {
            Some(fd) => Listener::resume(address, fd),
            None => Listener::open(address, config.backlog),
        };
        opened.map_err(|error| {
            logging::critical(error);
            Stopped::orderly(ExitStatus::Socket)
        })
    };
    config.sockets.iter().enumerate().map(open).collect()
}

/// Opens the control socket and that of the probes, if there shall be such.
fn control(
    config: &Config,
    overseen: &(Roster, Commands),
) -> Result<(Option<Control>, Option<Control>), Stopped> {
    let failed = |error| {
        logging::critical(error);
        Stopped::orderly(ExitStatus::Socket)
    };
    let control = |address| Control::open(address, overseen.clone(), Handle::current());
    let probes = |address| Control::open_probes(address, overseen.clone(), Handle::current());
    let control = config.control.as_ref().map(control).transpose().map_err(failed)?;
    Ok((control, config.probes.as_ref().map(probes).transpose().map_err(failed)?))
}

/// Starts the workers by the first plan that the application's extensions allow.
async fn start<W: Workplace>(
    (config, workplace): (&Config, &W),
    plans: &[Plan],
    (queue, roster): (&WorkQueue, &Roster),
    sources: Option<Sources>,
) -> Result<(Supervisor<W::Loader>, Plan, Ready), Failed> {
    let mut plans = plans.iter().copied().peekable();
    while let Some(plan) = plans.next() {
        let loader = workplace.loader(config, plan, sources.clone());
        let mut supervisor = Supervisor::start(terms(config, plan), loader, queue.clone(), roster.clone())
            .map_err(|error| {
                let report = format!("cannot start the threads of {} interpreters: {error}", plan.crew.slots);
                Failed { report, home: plan.home, stopped: Stopped::at_once(ExitStatus::Internal) }
            })?;
        let error = match supervisor.ready().await {
            Ok(ready) => return Ok((supervisor, plan, ready)),
            Err(error) => error,
        };
        let toll = supervisor.give_up(Instant::now() + config.life.graceful_timeout.min(ENDING)).await;
        match (unfit(&error), plans.peek()) {
            (Some(why), Some(next)) => tracing::warn!("{why}: {}", instead(*next)),
            _ => return Err(not_loaded((config, plan), &error, toll)),
        }
    }
    let report = "there is no way to run the application".to_owned();
    Err(Failed { report, home: Home::OwnGil, stopped: Stopped::orderly(ExitStatus::Internal) })
}

fn not_loaded((config, plan): (&Config, Plan), error: &LoadError, toll: Toll) -> Failed {
    let report = format!("cannot load application {}:{}", config.application, error.told());
    let leave = if toll.abandoned + toll.stuck > 0 { Leave::AtOnce } else { Leave::Orderly };
    Failed { report, home: plan.home, stopped: Stopped { leave, ..Stopped::orderly(ExitStatus::Load) } }
}

fn terms(config: &Config, plan: Plan) -> Terms {
    let stock = stock(config, plan);
    Terms {
        crew: plan.crew,
        bounds: config.workers.bounds,
        lives: config.lives.clone(),
        replacement: if stock.replaceable { Replacement::Possible } else { Replacement::Impossible },
        graceful: config.life.graceful_timeout,
        most_stuck: stock.most_stuck,
    }
}

/// The three lines of Chaussette 1.3, then readiness.
fn announce(addresses: &[String], plan: Plan, threading: Threading, ready: &Ready) {
    tracing::info!("Application is {}", ready.name);
    for address in addresses {
        tracing::info!("Serving on {address}");
    }
    let Crew { slots, threads } = plan.crew;
    let noun = match (plan.home, threading) {
        (Home::OwnGil, _) => "own-GIL interpreter",
        (Home::Process, _) => "worker process",
        (Home::Main, Threading::Gil) => "main interpreter",
        (Home::Main, Threading::Free) => "free-threaded interpreter",
    };
    tracing::info!("Using {} x {} as a backend", count(slots, noun), count(threads, "thread"));
    let workers = count(slots, "interpreter");
    tracing::info!("ready: {workers} in {:.3} s", ready.took.as_secs_f64());
}

/// Serves until the process must end, then until the last reply is out or the time is up. Returns why, and when
/// the interpreters must have ended.
async fn serve<L: Loader>(
    mut serving: Pin<&mut impl Future<Output = io::Result<()>>>,
    (supervisor, asks): (&mut Supervisor<L>, &mut Asks),
    drainer: &Drainer,
    graceful: Duration,
) -> (Why, Instant) {
    let (why, ask) = tokio::select! {
        failed = &mut serving => {
            tracing::error!("the front end ended by itself: {failed:?}");
            return (Why::Told, Instant::now() + QUICK);
        }
        end = mind(supervisor, asks) => end,
    };
    asks.close();
    supervisor.stop();
    if ask == Ask::Graceful {
        tracing::info!("stopping: requests in flight have {} s", graceful.as_secs_f64());
        drainer.drain();
        let deadline = Instant::now() + graceful;
        tokio::select! {
            _ = &mut serving => return (why, deadline),
            () = asks.hurry() => {}
            // It ends never, and releases what nobody is left to serve.
            _ = supervisor.run() => {}
            () = tokio::time::sleep_until(deadline - (graceful - joining(graceful))) => {
                tracing::warn!("requests are still in flight: their connections are closed");
                drainer.quick();
                let _ = serving.await;
                return (why, deadline);
            }
        }
    }
    tracing::info!("stopping at once");
    drainer.quick();
    let _ = serving.await;
    (why, Instant::now() + QUICK)
}

/// Minds the interpreters, and obeys, until it is time to end.
async fn mind<L: Loader>(supervisor: &mut Supervisor<L>, asks: &mut Asks) -> (Why, Ask) {
    loop {
        let asked = tokio::select! {
            why = supervisor.run() => return (why, Ask::Graceful),
            asked = asks.next() => asked,
        };
        match asked {
            Asked::Stop(ask) => return (Why::Told, ask),
            Asked::Change(command, asker) => asker.hear(supervisor.obey(command)),
        }
    }
}

fn find_hook<W: Workplace>(config: &Config, workplace: &W, name: Option<&str>) -> Result<(), Stopped> {
    let Some(name) = name else { return Ok(()) };
    workplace.find_hook(config, name).map_err(|message| hook_failed(name, &message))
}

fn hook<W: Workplace>(config: &Config, workplace: &W, name: Option<&str>) -> Result<(), Stopped> {
    let Some(name) = name else { return Ok(()) };
    tracing::info!("Running the hook {name}");
    workplace.hook(config, name).map_err(|message| hook_failed(name, &message))
}

fn hook_failed(name: &str, message: &str) -> Stopped {
    logging::critical(format_args!("hook {name} failed: {message}"));
    Stopped::at_once(ExitStatus::Internal)
}

fn ended(why: Why, toll: Toll, hooked: Result<(), Stopped>) -> Stopped {
    let Toll { ended, abandoned, stuck } = toll;
    if stuck > 0 {
        logging::critical(format_args!(
            "stopped: {} still in the application's code",
            count(stuck, "interpreter")
        ));
        return Stopped::at_once(ExitStatus::Stuck);
    }
    tracing::info!("stopped: {} ended", count(ended, "interpreter"));
    let status = match why {
        Why::Told => ExitStatus::Stopped,
        Why::Exhausted => ExitStatus::Failing,
        Why::Stuck => ExitStatus::Stuck,
        Why::Grown => ExitStatus::Grown,
    };
    match hooked {
        Err(stopped) => stopped,
        Ok(()) if abandoned > 0 => Stopped::at_once(status),
        Ok(()) => Stopped::orderly(status),
    }
}
