//! Options about what is told of the process and of each request: the two logs, and statsd.

use clap::Args;

use super::values;
use crate::config::{
    Access, AccessFormat, AccessOutput, DEFAULT_STATSD_PREFIX, LogLevel, LogOutput, Logs, Statsd,
    StatsdAddress, StatsdPrefix,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub(super) struct LogArgs {
    /// Least severe level that is written
    #[arg(long = "log-level", value_name = "LEVEL", default_value = "info", value_parser = values::log_level(), ignore_case = true)]
    level: LogLevel,
    /// File that lines are appended to, - for standard error
    #[arg(long = "log-output", value_name = "FILE", default_value = "-", value_parser = values::log_output)]
    output: LogOutput,
    /// File that a line for each request is appended to, - for standard output
    #[arg(long, value_name = "FILE", value_parser = values::access_log)]
    access_log: Option<AccessOutput>,
    /// What that line has: common, combined, timed, json, or Apache's directives: '%h %t "%r" %>s %D'
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    access_log_format: AccessFormat,
    /// Server that is told figures of each request: HOST:PORT (UDP) or unix:/path
    #[arg(long, value_name = "ADDR")]
    statsd: Option<StatsdAddress>,
    /// What stands before the names of these figures
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_STATSD_PREFIX)]
    statsd_prefix: StatsdPrefix,
}

impl LogArgs {
    /// The settings, and what is odd about them.
    pub(super) fn resolve(self) -> (Logs, Option<Access>, Option<Statsd>, Vec<String>) {
        let without = |name: &str, needed: &str| format!("--{name} has no effect without --{needed}");
        let mut odd = Vec::new();
        if self.access_log.is_none() && self.access_log_format != AccessFormat::default() {
            odd.push(without("access-log-format", "access-log"));
        }
        if self.statsd.is_none() && self.statsd_prefix.to_string() != DEFAULT_STATSD_PREFIX {
            odd.push(without("statsd-prefix", "statsd"));
        }
        let format = self.access_log_format;
        let access = self.access_log.map(|output| Access { output, format });
        let statsd = self.statsd.map(|address| Statsd { address, prefix: self.statsd_prefix });
        (Logs { level: self.level, output: self.output }, access, statsd, odd)
    }
}
