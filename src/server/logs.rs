//! The two logs of the process: opened first, closed last, opened again on USR1.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::access::{AccessLog, Lines};
use crate::config::Config;
use crate::logging::{self, LogFile};
use crate::shutdown::on_reopen;

/// Dropped, it writes the last lines of requests.
pub(super) struct Logs {
    log: Arc<LogFile>,
    access: Option<AccessLog>,
}

impl Logs {
    /// An error is one line that names the option.
    pub(super) fn open(config: &Config) -> io::Result<Self> {
        let log = Arc::new(logging::init(config.logs.level, &config.logs.output)?);
        let access = config.access.as_ref().map(|access| AccessLog::open(&access.output, access.format));
        Ok(Self { log, access: access.transpose()? })
    }

    /// Where the front end leaves its lines.
    pub(super) fn lines(&self) -> Option<Lines> {
        self.access.as_ref().map(AccessLog::lines)
    }

    /// USR1 comes when the files were renamed.
    pub(super) fn reopen_on_signal(&self, reactor: &Runtime) -> io::Result<()> {
        let (log, access) = (Arc::clone(&self.log), self.lines());
        let _entered = reactor.enter();
        on_reopen(move || {
            if let Err(error) = log.reopen() {
                tracing::error!("{error}; the old one is written on");
            }
            access.iter().for_each(Lines::reopen);
            tracing::info!("log files reopened");
        })
    }
}
