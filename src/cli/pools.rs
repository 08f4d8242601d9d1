//! Which requests go to worker processes, beside the interpreters: `--process-for`.

use std::num::NonZeroUsize;

use clap::Args;

use super::values;
use crate::config::{Bounds, Isolation, PathPrefix, ProcessPool, Workers};

/// The options about a second pool.
#[derive(Debug, Args)]
#[command(next_help_heading = "Workers")]
pub(super) struct PoolArgs {
    /// Requests whose path begins so go to worker processes, the others to the interpreters; may be repeated
    #[arg(long, value_name = "PATH_PREFIX")]
    process_for: Vec<PathPrefix>,
    /// Worker processes for --process-for [default: as many as --interpreters]
    #[arg(long, value_name = "N", value_parser = values::processes)]
    processes: Option<NonZeroUsize>,
}

impl PoolArgs {
    pub(super) fn resolve(self, workers: &Workers) -> Result<Option<ProcessPool>, String> {
        if self.process_for.is_empty() {
            return match self.processes {
                None => Ok(None),
                Some(processes) => Err(format!(
                    "--processes {processes}: goes with --process-for only: with --isolation process it is \
                     --interpreters that says how many"
                )),
            };
        }
        if let (Isolation::Process, Some(first)) = (workers.isolation, self.process_for.first()) {
            return Err(format!(
                "--process-for {first}: with --isolation process every request goes to a process: leave one of them out"
            ));
        }
        let processes = self.processes.unwrap_or(workers.interpreters);
        Ok(Some(ProcessPool { prefixes: self.process_for, processes, bounds: Bounds::around(processes) }))
    }
}
