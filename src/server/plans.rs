//! The ways to run the application: where each pool lives, how many serve there, and what a loss means.

use std::num::NonZeroUsize;

use super::{Plan, Threading};
use crate::application::{Home, LoadError};
use crate::census::{Kind, Pool};
use crate::config::{Config, Isolation};
use crate::supervisor::{Crew, Replacement, Terms};
use crate::watch::Stock;

/// One way to run it: a plan a pool, the interpreters' first.
pub(super) type LineUp = Vec<Plan>;

/// The ways, in the order to try them.
pub(super) fn line_ups(config: &Config, threading: Threading) -> Result<Vec<LineUp>, String> {
    let mut plans = plans(config, threading)?;
    let Some(processes) = &config.process_pool else {
        return Ok(plans.into_iter().map(|plan| vec![plan]).collect());
    };
    // Which requests need processes has been said: what then does not load elsewhere is a mistake to be told.
    plans.retain(|plan| plan.home != Home::Process);
    let crew = Crew { slots: processes.processes.get(), threads: config.workers.threads.get() };
    let process = Plan { pool: Pool::Process, home: Home::Process, crew };
    Ok(plans.into_iter().map(|plan| vec![plan, process]).collect())
}

/// Those of the interpreters' pool.
fn plans(config: &Config, threading: Threading) -> Result<Vec<Plan>, String> {
    let (interpreters, threads) = (config.workers.interpreters.get(), config.workers.threads.get());
    let plan = |home, slots, threads| Plan { pool: Pool::Interpreters, home, crew: Crew { slots, threads } };
    let own_gil = plan(Home::OwnGil, interpreters, threads);
    let process = plan(Home::Process, interpreters, threads);
    let main = plan(Home::Main, 1, threads);
    let free = plan(Home::Main, 1, interpreters * threads);
    match (config.workers.isolation, threading) {
        (Isolation::OwnGil, _) => Ok(vec![own_gil]),
        (Isolation::Main, _) => Ok(vec![main]),
        (Isolation::Process, _) => Ok(vec![process]),
        (Isolation::FreeThreaded, Threading::Free) => Ok(vec![free]),
        (Isolation::Auto, Threading::Free) => Ok(vec![free, own_gil, process]),
        (Isolation::Auto, Threading::Gil) => Ok(vec![own_gil, process]),
        (Isolation::FreeThreaded, Threading::Gil) => Err(
            "--isolation free-threaded needs a free-threaded build of CPython whose GIL is off; this one has \
             a GIL: use --isolation own-gil, or a python3.14t"
                .to_owned(),
        ),
    }
}

/// What a stuck thread means here.
pub(super) fn stock(config: &Config, plan: Plan) -> Stock {
    let Crew { slots, threads } = plan.crew;
    let replaceable = plan.home != Home::Main;
    let half = if replaceable { slots / 2 } else { threads / 2 };
    let most_stuck = config.timeouts.most_stuck.map_or(half.max(1), NonZeroUsize::get);
    Stock { threads, replaceable, most_stuck }
}

pub(super) fn terms(config: &Config, plan: Plan) -> Terms {
    let stock = stock(config, plan);
    let bounds = match &config.process_pool {
        Some(processes) if plan.pool == Pool::Process => processes.bounds,
        _ => config.workers.bounds,
    };
    Terms {
        kind: kind(plan),
        crew: plan.crew,
        bounds,
        lives: config.lives.clone(),
        replacement: if stock.replaceable { Replacement::Possible } else { Replacement::Impossible },
        graceful: config.life.graceful_timeout,
        most_stuck: stock.most_stuck,
    }
}

pub(super) fn kind(plan: Plan) -> Kind {
    match plan.pool {
        Pool::Interpreters => Kind::Interpreter,
        Pool::Process => Kind::Process,
    }
}

/// What the log calls that which a plan makes.
pub(super) fn noun(plan: Plan, threading: Threading) -> &'static str {
    match (plan.home, threading) {
        (Home::OwnGil, _) => "own-GIL interpreter",
        (Home::Main, Threading::Gil) => "main interpreter",
        (Home::Main, Threading::Free) => "free-threaded interpreter",
        (Home::Process, _) => "worker process",
    }
}

/// Which paths a plan is for, where there are several.
pub(super) fn paths(config: &Config, plan: Plan) -> String {
    let Some(processes) = &config.process_pool else { return String::new() };
    match plan.pool {
        Pool::Interpreters => String::new(),
        Pool::Process => {
            let names: Vec<_> = processes.prefixes.iter().map(ToString::to_string).collect();
            format!(" for {}", names.join(", "))
        }
    }
}

/// Why the application cannot live where it was loaded, if that is all that is wrong with it.
pub(super) fn unfit(error: &LoadError) -> Option<String> {
    match error {
        LoadError::Refused { extension, chain, .. } => Some(format!(
            "extension module {extension} refuses interpreters with their own GIL (imported through {})",
            chain.join(" > ")
        )),
        LoadError::GilIsBack { extension } => Some(format!(
            "extension module {extension} switched the GIL of this free-threaded CPython on again, so that threads \
             would take turns"
        )),
        LoadError::Application { .. } | LoadError::WarmUp(_) | LoadError::Interpreter(_) => None,
    }
}

/// Where it is tried next, what that costs, and how to do better.
pub(super) fn instead(next: Plan) -> String {
    let Crew { slots, .. } = next.crew;
    match next.home {
        Home::Process => format!(
            "the application runs in {} instead, forked from one that has imported it. They run in parallel; a \
             request costs some microseconds more, and a page of memory that is written to is copied. The better way: \
             a release of that module that supports interpreters or free-threading",
            count(slots, "worker process")
        ),
        Home::OwnGil => format!(
            "the application is tried in {} instead, each of which imports it for itself. The better way: a release \
             of that module that supports free-threading",
            count(slots, "own-GIL interpreter")
        ),
        Home::Main => format!(
            "the application runs in the main interpreter instead, {} sharing one GIL",
            count(next.crew.threads, "thread")
        ),
    }
}

pub(super) fn count(number: usize, noun: &str) -> String {
    let end = if noun.ends_with('s') { "es" } else { "s" };
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}{end}") }
}
