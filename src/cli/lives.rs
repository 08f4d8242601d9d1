//! How many interpreters there are and how long they live: `--max-requests` and what goes with it.

use std::num::{NonZeroU64, NonZeroUsize};

use clap::Args;
use http::Uri;

use super::values::{self, Seconds};
use crate::config::{Bounds, DEFAULT_JITTER_SHARE, Lives};

/// The options about replacing interpreters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Life")]
pub(super) struct LivesArgs {
    /// Requests after which an interpreter is replaced, 0 for never
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::requests)]
    max_requests: u64,
    /// At most so many more, by chance [default: a tenth of --max-requests]
    #[arg(long, value_name = "N", value_parser = values::requests)]
    max_requests_jitter: Option<u64>,
    /// Seconds after which an interpreter is replaced, 0 for never
    #[arg(long, value_name = "S", default_value = "0", value_parser = values::seconds)]
    max_lifetime: Seconds,
    /// At most so many more, by chance [default: a tenth of --max-lifetime]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    max_lifetime_jitter: Option<Seconds>,
    /// Keep one more interpreter loaded, so that a replacement costs no import
    #[arg(long)]
    spare: bool,
    /// Path or URL that an interpreter must answer with less than 500 before it takes requests
    #[arg(long, value_name = "PATH", value_parser = values::warmup)]
    warmup: Option<Uri>,
    /// Least number of interpreters that TTOU leaves
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, value_parser = values::threads)]
    min_interpreters: NonZeroUsize,
    /// Largest number of interpreters that TTIN makes [default: twice --interpreters]
    #[arg(long, value_name = "N", value_parser = values::threads)]
    max_interpreters: Option<NonZeroUsize>,
    /// MiB by which the process may grow before it stops with status 75, to be started again; 0 for any
    #[arg(long, value_name = "MIB", default_value_t = 0, value_parser = values::mebibytes)]
    max_growth: u64,
}

impl LivesArgs {
    pub(super) fn resolve(self) -> Result<Lives, String> {
        let max_requests = NonZeroU64::new(self.max_requests);
        let max_lifetime = Some(self.max_lifetime.0).filter(|most| !most.is_zero());
        if max_requests.is_none() && self.max_requests_jitter.is_some() {
            return Err("--max-requests-jitter goes with --max-requests only".to_owned());
        }
        if max_lifetime.is_none() && self.max_lifetime_jitter.is_some() {
            return Err("--max-lifetime-jitter goes with --max-lifetime only".to_owned());
        }
        Ok(Lives {
            max_requests,
            max_requests_jitter: self
                .max_requests_jitter
                .unwrap_or(self.max_requests / u64::from(DEFAULT_JITTER_SHARE)),
            max_lifetime,
            max_lifetime_jitter: self
                .max_lifetime_jitter
                .map_or(self.max_lifetime.0 / DEFAULT_JITTER_SHARE, |jitter| jitter.0),
            spares: usize::from(self.spare),
            warmup: self.warmup,
            max_growth: NonZeroU64::new(self.max_growth << 20),
        })
    }

    /// So many, or the nearest number that the limits allow, and the limits.
    pub(super) fn around(&self, interpreters: NonZeroUsize) -> Result<(NonZeroUsize, Bounds), String> {
        let least = interpreters.max(self.min_interpreters);
        let interpreters = self.max_interpreters.map_or(least, |most| least.min(most));
        Ok((interpreters, self.bounds(interpreters)?))
    }

    /// The limits of a start with so many.
    pub(super) fn bounds(&self, interpreters: NonZeroUsize) -> Result<Bounds, String> {
        let usual = Bounds::around(interpreters);
        let least = self.min_interpreters;
        let most = self.max_interpreters.unwrap_or(usual.most);
        if least > interpreters {
            return Err(format!(
                "--min-interpreters {least}: there are {interpreters} at the start: use --interpreters {least}, or fewer here"
            ));
        }
        if most < interpreters {
            return Err(format!(
                "--max-interpreters {most}: there are {interpreters} at the start: use --interpreters {most}, or more here"
            ));
        }
        Ok(Bounds { least, most })
    }
}
