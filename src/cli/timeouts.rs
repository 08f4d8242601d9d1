//! The options that say how long a request may take.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::values::{self, Seconds};
use crate::config::{DEFAULT_QUEUE_TIMEOUT, DEFAULT_TIMEOUT_GRACE, Timeouts};

#[derive(Debug, Args)]
#[command(next_help_heading = "Timeouts")]
pub(super) struct TimeoutArgs {
    /// Seconds that the application may take for a request, waits for its client apart; 0: no limit
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::ZERO), value_parser = values::seconds)]
    timeout: Seconds,
    /// Seconds from --timeout until a thread that has not come back is given up
    #[arg(long, value_name = "S", default_value_t = Seconds(DEFAULT_TIMEOUT_GRACE), value_parser = values::seconds)]
    timeout_grace: Seconds,
    /// Threads given up at the same time before the process ends with status 70; by default half of the interpreters
    #[arg(long, value_name = "N", value_parser = values::threads)]
    max_stuck: Option<NonZeroUsize>,
    /// Seconds that a request may wait for a free worker; 0: no limit
    #[arg(long, value_name = "S", default_value_t = Seconds(DEFAULT_QUEUE_TIMEOUT), value_parser = values::seconds)]
    queue_timeout: Seconds,
}

impl TimeoutArgs {
    pub(super) fn resolve(&self) -> Timeouts {
        let limit = |seconds: &Seconds| Some(seconds.0).filter(|limit| !limit.is_zero());
        Timeouts {
            request: limit(&self.timeout),
            grace: self.timeout_grace.0,
            queue: limit(&self.queue_timeout),
            most_stuck: self.max_stuck,
        }
    }
}
