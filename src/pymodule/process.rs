//! Python's part of worker processes: the command that starts a zygote, and the zygote's and the workers' own lives.
//!
//! What a loader needs to know crosses as JSON; in there it is a [`WsgiLoader`] again, in the main interpreter of a
//! process that has no other, on the thread that Python began on.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::application::{Home, LoadError};
use crate::census::Pool;
use crate::config::{Config, LogLevel, Preload};
use crate::interp::{Truth, adopt, leave_at_once};
use crate::logging;
use crate::process::{
    Cord, Forked, Hatched, Launcher, Level, Nest, ProcessLoader, Program, Telling, Word, work,
};
use crate::reload::Sources;
use crate::wsgi::{Settings, WsgiLoader, fork, freeze};

/// What a zygote is told: [`Settings`] as plain data, and what goes with them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    application: String,
    factory: bool,
    path: Vec<String>,
    argv: Vec<String>,
    pool: Option<Pool>,
    multithread: bool,
    multiprocess: bool,
    patience: Duration,
    request_timeout: Option<Duration>,
    /// Somebody watches files.
    watched: bool,
    /// Whether the application is loaded before workers are forked.
    preloads: bool,
    /// The least severe level that is written.
    level: Level,
}

/// The loader of an application in worker processes.
pub(super) fn loader(config: &Config, settings: Settings) -> ProcessLoader {
    let told = Told {
        application: settings.application,
        factory: settings.factory == Truth::True,
        path: settings.path,
        argv: settings.argv,
        pool: settings.pool,
        multithread: settings.multithread == Truth::True,
        multiprocess: settings.multiprocess == Truth::True,
        patience: settings.patience,
        request_timeout: settings.request_timeout,
        watched: settings.sources.is_some(),
        preloads: config.workers.preload == Preload::Zygote,
        level: config.logs.level.into(),
    };
    ProcessLoader::new(Telling {
        launcher: launcher(&told.application),
        // A structure of texts and numbers has a JSON.
        settings: serde_json::to_string(&told).unwrap_or_default(),
        sources: settings.sources,
    })
}

fn launcher(application: &str) -> Arc<dyn Launcher> {
    let command = Python::attach(|py| -> PyResult<Vec<OsString>> {
        py.import("chaussette._zygote")?.getattr("command")?.call1((application,))?.extract()
    });
    let mut words = command.unwrap_or_else(|error| {
        tracing::error!("the command that starts worker processes is unknown: {error}");
        Vec::new()
    });
    let path = if words.is_empty() { OsString::new() } else { words.remove(0) };
    Arc::new(Program { path: path.into(), arguments: words })
}

/// Where lines of the log go in a process that is not the server.
static CORD: Mutex<Option<Arc<Cord>>> = Mutex::new(None);

fn tell(level: LogLevel, text: String) {
    let cord = CORD.lock().clone();
    if let Some(cord) = cord {
        // Without a server there is no log.
        let _ = cord.say(&Word::Said { level: level.into(), text }, None);
    }
}

/// The life of a zygote, whose cord is standard input, and of each worker that it forks. Returns the zygote's exit
/// status; a worker leaves the process by itself.
#[pyfunction]
pub(super) fn zygote(py: Python<'_>) -> PyResult<i32> {
    // As the server's main interpreter does: what the application finds is the same.
    py.import("datetime")?;
    let hatched = adopt(|| -> io::Result<i32> {
        let cord = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // What reads standard input finds its end.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let mut nest = PythonNest { told: None };
        match crate::process::zygote(cord, &mut nest)? {
            Hatched::Done => Ok(0),
            Hatched::Worker(birth, cord) => {
                let Some(told) = nest.told else {
                    return Err(io::Error::other("it was forked before its zygote was told what to load"));
                };
                let loader = |cord: &Arc<Cord>| {
                    *CORD.lock() = Some(Arc::clone(cord));
                    told.loader(cord)
                };
                let orphaned = || leave_at_once(1);
                let status = i32::from(work(birth, cord, loader, orphaned).is_err());
                // Its exit handlers have run.
                leave_at_once(status)
            }
        }
    });
    match hatched {
        Ok(Ok(status)) => Ok(status),
        // A server that is gone is no failure of ours.
        Ok(Err(error)) if is_the_servers_end(&error) => Ok(0),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(PyOSError::new_err(error.to_string())),
    }
}

fn is_the_servers_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

struct PythonNest {
    told: Option<Told>,
}

impl Told {
    fn loader(self, cord: &Arc<Cord>) -> WsgiLoader {
        let cord = Arc::clone(cord);
        let sources = Sources::told_by(move |made| {
            let word = Word::Made { since: made.since, files: made.files, folders: made.folders };
            let _ = cord.say(&word, None);
        });
        WsgiLoader::new(Settings {
            application: self.application,
            factory: Truth::from(self.factory),
            path: self.path,
            argv: self.argv,
            home: Home::Process,
            pool: self.pool,
            multithread: Truth::from(self.multithread),
            multiprocess: Truth::from(self.multiprocess),
            patience: self.patience,
            sources: self.watched.then_some(sources),
            unlocked: Truth::False,
            request_timeout: self.request_timeout,
        })
    }
}

impl Nest for PythonNest {
    fn settle(&mut self, settings: String, cord: &Arc<Cord>) -> Result<String, LoadError> {
        let wrong = |error: &dyn std::fmt::Display| LoadError::Interpreter(error.to_string());
        let told: Told = serde_json::from_str(&settings).map_err(|error| wrong(&error))?;
        *CORD.lock() = Some(Arc::clone(cord));
        logging::forward(told.level.into(), tell);
        self.told = Some(told.clone());
        if !told.preloads {
            return Ok(String::new());
        }
        let name = told.loader(cord).preload()?;
        let threads = freeze().map_err(|error| wrong(&error))?;
        if !threads.is_empty() {
            tracing::warn!(
                "the application has started threads as it was imported ({}): worker processes, which are forked \
                 after that, do not have them. Cure: --no-zygote, or start them with the first request",
                threads.join(", ")
            );
        }
        Ok(name)
    }

    fn fork(&mut self) -> io::Result<Forked> {
        match fork().map_err(io::Error::other)? {
            0 => Ok(Forked::Child),
            pid => Ok(Forked::Parent(pid)),
        }
    }
}
