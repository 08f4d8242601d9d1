//! The server as a part of a program that is not ours: `chaussette.server.make_server`.
//!
//! Takes no signal, sets no exit status and ends no process: all three are the program's.

use std::ffi::OsString;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::MainInterpreter;
use crate::cli::{self, Outcome};
use crate::config::Config;
use crate::server::{self, Leave};
use crate::shutdown::Ask;

/// One run of the server.
#[pyclass(frozen)]
#[derive(Debug)]
pub(super) struct Program {
    start: Mutex<Option<(Config, UnboundedReceiver<Ask>)>>,
    asks: UnboundedSender<Ask>,
}

#[pymethods]
impl Program {
    /// Reads `words` as the command line does, program name first. `LISTEN_FDS` is not looked at.
    #[new]
    fn new(words: Vec<OsString>) -> PyResult<Self> {
        let config = cli::parse(words, &|_| None).map_err(|outcome| match outcome {
            Outcome::Usage(line) | Outcome::Text(line) => PyValueError::new_err(line),
            Outcome::Ask(_) | Outcome::Version => {
                PyValueError::new_err("--version and --census are for the command alone")
            }
        })?;
        if config.check.is_some() {
            return Err(PyValueError::new_err("--check is for the command alone"));
        }
        let (asks, asked) = unbounded_channel();
        Ok(Self { start: Mutex::new(Some((config, asked))), asks })
    }

    /// Serves until [`Program::stop`]: the exit status that the command would have had, and whether Python can end
    /// all interpreters that are left.
    fn serve(&self, py: Python<'_>) -> PyResult<(i32, bool)> {
        let Some((config, asked)) = self.start.lock().take() else {
            return Err(PyRuntimeError::new_err("a server serves once: make another one"));
        };
        let interpreter = MainInterpreter::new(py, None)?;
        *interpreter.asks.lock() = Some(asked);
        let stopped = py.detach(|| server::run(&config, &interpreter));
        Ok((stopped.status.code(), stopped.leave == Leave::Orderly))
    }

    /// Asks it to answer what is in flight and end; also before it serves. Never waits.
    fn stop(&self) {
        self.ask(Ask::Graceful);
    }

    /// Asks it to end now. Never waits.
    fn stop_at_once(&self) {
        self.ask(Ask::Quick);
    }
}

impl Program {
    fn ask(&self, ask: Ask) {
        // An error: it has ended already.
        let _ = self.asks.send(ask);
    }
}
