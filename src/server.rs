//! The life of the process on one page: adopt → start interpreters → serve → drain → end.
//!
//! Knows the halves by their traits only: it cannot tell Python from a fake. Decides no exit status text and
//! prints nothing but log lines.

mod asks;
mod development;
mod logs;
mod plans;
mod queues;
mod start;

use std::io::{self, Write as _};
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use self::asks::{Asked, Asks};
use self::development::Development;
use self::logs::Logs;
use self::plans::{LineUp, count};
use self::queues::Queues;
use self::start::{home, start};
use crate::application::{Home, Loader};
use crate::census::{Commands, Pool};
use crate::cli::ExitStatus;
use crate::config::Config;
use crate::http::control::Control;
use crate::http::{self, FrontEnd, Trim};
use crate::listener::{Kept, Listener};
use crate::logging;
use crate::notify::Notify;
use crate::pools::{Ending, Pools};
use crate::reload::Sources;
use crate::shutdown::{Ask, Drainer, Signals, drain};
use crate::supervisor::{Crew, Ready, Toll, Why};
use crate::watch::Watch;

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

    /// How to have the allocator give back what it can.
    fn trim(&self) -> Option<Trim> {
        None
    }

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

/// One way to run the application in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub pool: Pool,
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
    let line_ups = match plans::line_ups(config, workplace.threading()) {
        Ok(line_ups) => line_ups,
        Err(message) => {
            logging::critical(message);
            return Stopped::orderly(ExitStatus::Usage);
        }
    };
    let queues = Queues::new(config);
    match http::reactor(queues.routes(config)) {
        Ok(reactor) => {
            let stopped = reactor.block_on(live((config, workplace), &line_ups, &queues, &logs));
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
    here: (&Config, &W),
    line_ups: &[LineUp],
    queues: &Queues,
    logs: &Logs,
) -> Stopped {
    let (config, workplace) = here;
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
    // Each roster tells of all pools.
    logs.observe(&queues.interpreters.roster);
    let (commands, orders) = Commands::channel();
    let _asked = match control(config, queues, &commands) {
        Ok(opened) => opened,
        Err(stopped) => return stopped,
    };
    let (mut asks, mut kept) = (Asks::new(signals, orders), Vec::new());
    let addresses: Vec<_> = listeners.iter().map(Listener::describe).collect();
    let (drainer, drain) = drain();
    let front_end = FrontEnd::new(listeners, queues.routes(config), config.limits, drain)
        .behind(config.proxies.clone())
        .logging(logs.lines())
        .trimming(workplace.trim());
    let mut serving = std::pin::pin!(front_end.serve());
    let answers = development.is_on();
    let started = tokio::select! {
        started = development.start(async |sources| start(here, line_ups, queues, sources).await, queues) => started,
        failed = &mut serving, if answers => return internal(format_args!("the front end ended by itself: {failed:?}")),
        () = asks.stop_while_loading(&mut kept) => {
            tracing::info!("stopped while the application was being loaded");
            return Stopped::at_once(ExitStatus::Stopped);
        }
    };
    let (mut pools, line_up, ready) = match started {
        Ok(started) => started,
        Err(stopped) => return development.end_of_start(stopped, serving, &drainer).await,
    };
    let hooks = find_hook(config, workplace, config.hooks.post.as_deref())
        .and_then(|()| hook(config, workplace, config.hooks.pre.as_deref()));
    if let Err(stopped) = hooks {
        return stopped;
    }
    announce((config, workplace.threading()), &addresses, &line_up, &ready);
    development.follow(home(&line_up), commands);

    watch(config, (&line_up, queues), &pools);
    pools.tell_manager(Notify::new(&config.manager));
    for command in kept {
        asks::Asker::Log.hear(pools.obey(command));
    }
    let minding = (&mut pools, &mut asks);
    let (why, deadline) = serve(serving, minding, &drainer, config.life.graceful_timeout).await;

    let endings = tokio::select! {
        endings = pools.drain(deadline) => endings,
        () = asks.hurry() => pools.drain(Instant::now() + QUICK).await,
    };
    let post = config.hooks.post.as_deref();
    let hooked = if home(&line_up) == Home::Main && endings.first().is_some_and(|first| first.toll.stuck > 0)
    {
        // It may hold the GIL that the hook would wait for.
        post.inspect(|name| {
            tracing::warn!("hook {name} is not run: a thread is stuck in the main interpreter")
        });
        Ok(())
    } else {
        hook(config, workplace, post)
    };
    let stopped = development.end(ended(why, &endings, hooked));
    // What a plan that was given up has left behind counts, too.
    let nobody_is_left = queues.iter().all(|one| one.roster.records().is_empty());
    if nobody_is_left { stopped } else { Stopped { leave: Leave::AtOnce, ..stopped } }
}

/// Watches the time that requests take, in each pool.
fn watch<L: Loader>(config: &Config, (line_up, queues): (&[Plan], &Queues), pools: &Pools<L>) {
    for ((plan, one), reports) in line_up.iter().zip(queues.iter()).zip(pools.reports()) {
        let (dispatcher, roster) = (one.dispatcher.clone(), one.roster.clone());
        let watch = Watch::new(config.timeouts, plans::stock(config, *plan), dispatcher, roster, reports);
        tokio::spawn(watch.run());
    }
}

fn internal(message: impl std::fmt::Display) -> Stopped {
    logging::critical(message);
    Stopped::orderly(ExitStatus::Internal)
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

/// Opens the control socket and that of the probes, if there shall be such. Each of the rosters tells of all pools.
fn control(
    config: &Config,
    queues: &Queues,
    commands: &Commands,
) -> Result<(Option<Control>, Option<Control>), Stopped> {
    let overseen = (queues.interpreters.roster.clone(), commands.clone());
    let failed = |error| {
        logging::critical(error);
        Stopped::orderly(ExitStatus::Socket)
    };
    let control = |address| Control::open(address, overseen.clone(), Handle::current());
    let probes = |address| Control::open_probes(address, overseen.clone(), Handle::current());
    let control = config.control.as_ref().map(control).transpose().map_err(failed)?;
    Ok((control, config.probes.as_ref().map(probes).transpose().map_err(failed)?))
}

/// The three lines of Chaussette 1.3, then readiness.
fn announce(
    (config, threading): (&Config, Threading),
    addresses: &[String],
    line_up: &[Plan],
    ready: &Ready,
) {
    tracing::info!("Application is {}", ready.name);
    for address in addresses {
        tracing::info!("Serving on {address}");
    }
    let mut workers = Vec::new();
    for plan in line_up {
        let Crew { slots, threads } = plan.crew;
        let (noun, paths) = (plans::noun(*plan, threading), plans::paths(config, *plan));
        tracing::info!("Using {} x {} as a backend{paths}", count(slots, noun), count(threads, "thread"));
        workers.push(plans::kind(*plan).count(slots));
    }
    tracing::info!("ready: {} in {:.3} s", workers.join(" and "), ready.took.as_secs_f64());
}

/// Serves until the process must end, then until the last reply is out or the time is up. Returns why, and when
/// the interpreters must have ended.
async fn serve<L: Loader>(
    mut serving: Pin<&mut impl Future<Output = io::Result<()>>>,
    (pools, asks): (&mut Pools<L>, &mut Asks),
    drainer: &Drainer,
    graceful: Duration,
) -> (Why, Instant) {
    let (why, ask) = tokio::select! {
        failed = &mut serving => {
            tracing::error!("the front end ended by itself: {failed:?}");
            return (Why::Told, Instant::now() + QUICK);
        }
        end = mind(pools, asks) => end,
    };
    asks.close();
    pools.stop();
    if ask == Ask::Graceful {
        tracing::info!("stopping: requests in flight have {} s", graceful.as_secs_f64());
        drainer.drain();
        let deadline = Instant::now() + graceful;
        tokio::select! {
            _ = &mut serving => return (why, deadline),
            () = asks.hurry() => {}
            // It ends never, and releases what nobody is left to serve.
            _ = pools.run() => {}
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
async fn mind<L: Loader>(pools: &mut Pools<L>, asks: &mut Asks) -> (Why, Ask) {
    loop {
        let asked = tokio::select! {
            why = pools.run() => return (why, Ask::Graceful),
            asked = asks.next() => asked,
        };
        match asked {
            Asked::Stop(ask) => return (Why::Told, ask),
            Asked::Change(command, asker) => asker.hear(pools.obey(command)),
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

fn ended(why: Why, endings: &[Ending], hooked: Result<(), Stopped>) -> Stopped {
    let counted = |number: fn(&Toll) -> usize| {
        let count = |ending: &Ending| ending.kind.count(number(&ending.toll));
        endings.iter().map(count).collect::<Vec<_>>().join(" and ")
    };
    let toll = endings.iter().map(|ending| ending.toll).fold(Toll::default(), Toll::and);
    if toll.stuck > 0 {
        let stuck = endings.iter().filter(|ending| ending.toll.stuck > 0);
        let stuck =
            stuck.map(|ending| ending.kind.count(ending.toll.stuck)).collect::<Vec<_>>().join(" and ");
        logging::critical(format_args!("stopped: {stuck} still in the application's code"));
        return Stopped::at_once(ExitStatus::Stuck);
    }
    tracing::info!("stopped: {} ended", counted(|toll| toll.ended));
    let status = match why {
        Why::Told => ExitStatus::Stopped,
        Why::Exhausted => ExitStatus::Failing,
        Why::Stuck => ExitStatus::Stuck,
        Why::Grown => ExitStatus::Grown,
    };
    match hooked {
        Err(stopped) => stopped,
        Ok(()) if toll.abandoned > 0 => Stopped::at_once(status),
        Ok(()) => Stopped::orderly(status),
    }
}
