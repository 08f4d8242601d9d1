//! `--check`: what becomes of the application is told before it is deployed, instead of serving it.

use std::time::Duration;

use clap::Args;

use super::control::ControlArgs;
use super::values::{self, Seconds};
use crate::config::{Backend, Check, DEFAULT_CHECK_TIMEOUT, Given, INTERPRETERS, Report};

fn patience(text: &str) -> Result<Seconds, String> {
    match values::seconds(text)? {
        Seconds(Duration::ZERO) => Err("nothing loads in no time: use more than 0 seconds".to_owned()),
        seconds => Ok(seconds),
    }
}

/// The options about a check.
#[derive(Debug, Args)]
#[command(next_help_heading = "Before a deploy")]
pub(super) struct CheckArgs {
    /// Load the application in processes that are thrown away, and tell which isolation it fits; with --json for a program
    #[arg(long)]
    check: bool,
    /// Seconds for each of these processes [default: 60]
    #[arg(long, value_name = "S", value_parser = patience)]
    check_timeout: Option<Seconds>,
}

impl CheckArgs {
    /// What is to be checked instead of serving, if anything. Takes `--json` off the control socket's options.
    pub(super) fn resolve(
        self,
        control: &mut ControlArgs,
        backend: &Backend,
        given: Vec<Given>,
    ) -> Result<Option<Check>, String> {
        match (self.check, self.check_timeout) {
            (false, None) => return Ok(None),
            (false, Some(_)) => return Err("--check-timeout goes with --check only: leave it out".to_owned()),
            (true, _) => {}
        }
        if control.census {
            return Err(
                "--check looks at an application, --census at a server that runs: leave one out".to_owned()
            );
        }
        if !backend.is_ours() {
            let name = &backend.name;
            return Err(format!("--check is about --backend {INTERPRETERS}: leave --backend {name} out"));
        }
        let report = if std::mem::take(&mut control.json) { Report::Json } else { Report::Text };
        let timeout = self.check_timeout.map_or(DEFAULT_CHECK_TIMEOUT, |seconds| seconds.0);
        Ok(Some(Check { report, timeout, given }))
    }
}
