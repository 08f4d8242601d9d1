//! The two logs of the process: opened first, closed last, opened again on USR1.

use std::io;
use std::sync::Arc;

use crate::access::{AccessLog, Lines, Statsd};
use crate::census::Roster;
use crate::config::Config;
use crate::logging::{self, LogFile};
use crate::shutdown::{Signals, on_reopen};

/// Dropped, it writes the last lines of requests.
pub(super) struct Logs {
    log: Arc<LogFile>,
    access: Option<AccessLog>,
}

impl Logs {
    /// An error is one line that names the option.
    pub(super) fn open(config: &Config) -> io::Result<Self> {
        let log = logging::init(config.logs.level, &config.logs.output)?;
        let statsd = config.statsd.as_ref().map(|statsd| Statsd::open(statsd, log.counts())).transpose()?;
        let access = match (&config.access, &statsd) {
            (None, None) => None,
            (access, _) => Some(AccessLog::open(access.as_ref(), statsd)?),
        };
        Ok(Self { log, access })
    }

    /// Where the front end leaves its lines.
    pub(super) fn lines(&self) -> Option<Lines> {
        self.access.as_ref().map(AccessLog::lines)
    }

    /// Tells the statsd, if there is one, how many serve and how many wait.
    pub(super) fn observe(&self, roster: &Roster) {
        self.lines().iter().for_each(|lines| lines.observe(roster.clone()));
    }

    /// Opens the files again on USR1, which comes when they were renamed; unless the signals are those of a program
    /// that has this server, which has its own use for USR1.
    pub(super) fn reopen_on(&self, signals: Signals) -> io::Result<Signals> {
        if matches!(signals, Signals::Program(_)) {
            return Ok(signals);
        }
        let (log, access) = (Arc::clone(&self.log), self.lines());
        on_reopen(move || {
            if let Err(error) = log.reopen() {
                tracing::error!("{error}; the old one is written on");
            }
            access.iter().for_each(Lines::reopen);
            tracing::info!("log files reopened");
        })?;
        Ok(signals)
    }
}
