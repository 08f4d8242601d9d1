//! A rehearsal in the interpreters of this process: what `--check` runs in processes of its own.

use std::ffi::OsString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::MainInterpreter;
use crate::application::Home;
use crate::census::Pool;
use crate::cli;
use crate::config::Isolation;
use crate::rehearsal::{self, Failure};
use crate::server::{Plan, Workplace as _};
use crate::supervisor::Crew;

/// Loads the application of the command line `words` as the server would, for one worker and then for all of them:
/// `told` is called with their number. Returns the report of a load that failed. Opens no socket.
#[pyfunction]
pub(super) fn rehearse(py: Python<'_>, words: Vec<OsString>, told: Py<PyAny>) -> PyResult<Option<String>> {
    let config = cli::parse(words, &|_| None)
        .map_err(|outcome| PyValueError::new_err(format!("not a command line that serves: {outcome:?}")))?;
    let interpreter = MainInterpreter::new(py, None)?;
    let (interpreters, threads) = (config.workers.interpreters.get(), config.workers.threads.get());
    // What an interpreter has for each further thread of its own is nothing beside what it loads.
    let (home, workers, crew) = match config.workers.isolation {
        Isolation::OwnGil => (Home::OwnGil, interpreters, Crew { slots: interpreters, threads }),
        _ => (Home::Main, interpreters * threads, Crew { slots: 1, threads: interpreters * threads }),
    };
    let loader = interpreter.loader(&config, Plan { pool: Pool::default(), home, crew }, None);
    let ended = py.detach(|| {
        rehearsal::rehearse(loader, (home, workers), |loaded| {
            Python::attach(|py| told.call1(py, (loaded,)).map(drop))
        })
    });
    match ended {
        Ok(()) => Ok(None),
        Err(Failure::Load(error)) => Ok(Some(error.to_string())),
        Err(Failure::Told(error)) => Err(error),
    }
}
