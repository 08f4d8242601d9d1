//! The ways to run the application: which are tried, in which order, and what is said of one that is not fit.

use super::{Plan, Threading};
use crate::application::{Home, LoadError};
use crate::config::{Config, Isolation};
use crate::supervisor::Crew;

/// The ways to run the application, in the order to try them.
pub(super) fn plans(config: &Config, threading: Threading) -> Result<Vec<Plan>, String> {
    let (interpreters, threads) = (config.workers.interpreters.get(), config.workers.threads.get());
    let own_gil = Plan { home: Home::OwnGil, crew: Crew { slots: interpreters, threads } };
    let main = Plan { home: Home::Main, crew: Crew { slots: 1, threads } };
    let free = Plan { home: Home::Main, crew: Crew { slots: 1, threads: interpreters * threads } };
    let process = Plan { home: Home::Process, ..own_gil };
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
