//! The start of the workers: by the first way that the application's extensions allow.

use tokio::time::Instant;

use super::development::Failed;
use super::plans::{LineUp, instead, paths, terms, unfit};
use super::queues::{PoolQueue, Queues};
use super::{ENDING, Leave, Plan, Stopped, Workplace};
use crate::application::{Home, LoadError};
use crate::census::Pool;
use crate::cli::ExitStatus;
use crate::config::Config;
use crate::pools::{NotReady, Pools};
use crate::reload::Sources;
use crate::supervisor::{Ready, Supervisor, Toll};

/// What has been started, and how.
pub(super) type Started<L> = (Pools<L>, LineUp, Ready);

/// Starts all pools side by side, by the first line-up that works.
pub(super) async fn start<W: Workplace>(
    here: (&Config, &W),
    line_ups: &[LineUp],
    queues: &Queues,
    sources: Option<Sources>,
) -> Result<Started<W::Loader>, Failed> {
    let config = here.0;
    let mut line_ups = line_ups.iter().peekable();
    while let Some(line_up) = line_ups.next() {
        let mut pools = begin(here, line_up, queues, sources.as_ref())?;
        let NotReady { pool, error } = match pools.ready().await {
            Ok(ready) => return Ok((pools, line_up.clone(), ready)),
            Err(not_ready) => not_ready,
        };
        let toll = pools.give_up(Instant::now() + config.life.graceful_timeout.min(ENDING)).await;
        match (unfit(&error), line_ups.peek().and_then(|next| next.first())) {
            (Some(why), Some(next)) if pool == Pool::Interpreters => {
                tracing::warn!("{why}: {}", instead(*next))
            }
            _ => return Err(not_loaded((config, line_up), (pool, &error), toll)),
        }
    }
    let report = "there is no way to run the application".to_owned();
    Err(Failed { report, home: Home::OwnGil, stopped: Stopped::orderly(ExitStatus::Internal) })
}

fn begin<W: Workplace>(
    (config, workplace): (&Config, &W),
    line_up: &[Plan],
    queues: &Queues,
    sources: Option<&Sources>,
) -> Result<Pools<W::Loader>, Failed> {
    let begin = |(plan, one): (&Plan, &PoolQueue)| {
        let loader = workplace.loader(config, *plan, sources.cloned());
        Supervisor::start(terms(config, *plan), loader, one.queue.clone(), one.roster.clone()).map_err(
            |error| {
                let report = format!("cannot start the threads of {} interpreters: {error}", plan.crew.slots);
                Failed { report, home: home(line_up), stopped: Stopped::at_once(ExitStatus::Internal) }
            },
        )
    };
    Ok(Pools::new(line_up.iter().zip(queues.iter()).map(begin).collect::<Result<_, _>>()?))
}

/// Where one has to begin anew in order to load anew.
pub(super) fn home(line_up: &[Plan]) -> Home {
    let homes = || line_up.iter().map(|plan| plan.home);
    homes().find(|home| *home == Home::Main).or(homes().next()).unwrap_or(Home::OwnGil)
}

fn not_loaded(
    (config, line_up): (&Config, &[Plan]),
    (pool, error): (Pool, &LoadError),
    toll: Toll,
) -> Failed {
    let name = &config.application;
    let told = match (error, &config.process_pool) {
        // Processes take every extension.
        (LoadError::Refused { extension, chain, report }, Some(_)) if pool == Pool::Interpreters => format!(
            " extension module {extension} refuses interpreters with their own GIL (imported through {}), and \
             --process-for has processes for some paths only: import it where os.environ[\"CHAUSSETTE_POOL\"] is \
             not \"interpreters\", or use --isolation process for all\n{report}",
            chain.join(" > "),
        ),
        _ => error.told(),
    };
    let whose = line_up.iter().find(|plan| plan.pool == pool).map(|plan| paths(config, *plan));
    let whose = whose.filter(|paths| !paths.is_empty()).map(|paths| format!(" in the processes{paths}"));
    let report = format!("cannot load application {name}{}:{told}", whose.unwrap_or_default());
    let leave = if toll.abandoned + toll.stuck > 0 { Leave::AtOnce } else { Leave::Orderly };
    Failed { report, home: home(line_up), stopped: Stopped { leave, ..Stopped::orderly(ExitStatus::Load) } }
}
