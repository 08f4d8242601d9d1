//! What Python gets where it goes on by itself: the settings as plain data, and the listening sockets.
//!
//! Owns nothing of a backend or a check: `chaussette.backend` and `chaussette._check` are in Python. Keeps sockets in one place: what adopts or binds
//! for our own front end does it for every other.

use std::os::fd::AsRawFd as _;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::options;
use crate::config::{self, Address, AppForm, Check, Config, Family, Report};
use crate::listener;

/// The settings for `chaussette.backend`, by the names of its `Settings`.
pub(super) fn settings<'py>(
    py: Python<'py>,
    config: &Config,
    path: Vec<String>,
) -> PyResult<Bound<'py, PyDict>> {
    let settings = PyDict::new(py);
    settings.set_item("application", &config.application)?;
    settings.set_item("factory", config.form == AppForm::Factory)?;
    settings.set_item("argv", [vec![config.argv0.clone()], config.arguments.clone()].concat())?;
    settings.set_item("path", path)?;
    settings.set_item("sockets", config.sockets.iter().map(place).collect::<Vec<_>>())?;
    settings.set_item("threads", config.workers.threads.get())?;
    settings.set_item("named", &config.backend.named)?;
    settings.set_item("notices", &config.notices)?;
    settings.set_item("options", options(py, config)?)?;
    let check = config.check.as_ref().map(|check| asked(py, check, config)).transpose()?;
    settings.set_item("check", check)?;
    Ok(settings)
}

/// What `--check` is asked for, by the names of `chaussette._check`.
fn asked<'py>(py: Python<'py>, check: &Check, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let asked = PyDict::new(py);
    let given = check.given.iter().map(|given| (given.name.clone(), given.values.clone()));
    asked.set_item("given", given.collect::<Vec<_>>())?;
    asked.set_item("interpreters", config.workers.interpreters.get())?;
    asked.set_item("json", check.report == Report::Json)?;
    asked.set_item("timeout", check.timeout.as_secs_f64())?;
    Ok(asked)
}

/// An address as the arguments of [`Listener::new`].
fn place(address: &Address) -> (String, u16, Option<&'static str>) {
    match address {
        Address::Tcp { host, port, family } => (host.clone(), *port, name_of(*family)),
        Address::Fd(_) | Address::Inherited(_) | Address::Unix(_) => (address.to_string(), 0, None),
    }
}

fn name_of(family: Family) -> Option<&'static str> {
    match family {
        Family::Any => None,
        Family::V4 => Some("AF_INET"),
        Family::V6 => Some("AF_INET6"),
    }
}

/// A listening socket, adopted or bound. Closed by `close()` or with its last reference, and with it the file of a
/// unix socket that was made here.
#[pyclass(frozen)]
#[derive(Debug)]
pub(super) struct Listener(Mutex<Option<listener::Listener>>);

#[pymethods]
impl Listener {
    #[new]
    #[pyo3(signature = (host, port=config::DEFAULT_PORT, family=None, backlog=config::DEFAULT_BACKLOG))]
    fn new(host: &str, port: u16, family: Option<&str>, backlog: u32) -> PyResult<Self> {
        let mut address = Address::from_host(host, port)
            .map_err(|error| PyValueError::new_err(format!("{host}: {error}")))?;
        if let Address::Tcp { family: wanted, .. } = &mut address {
            *wanted = match family {
                None => Family::Any,
                Some("AF_INET") => Family::V4,
                Some("AF_INET6") => Family::V6,
                Some(other) => {
                    return Err(PyValueError::new_err(format!("{host}: {other} is no family of a host")));
                }
            };
        }
        match listener::Listener::open(&address, backlog) {
            Ok(listener) => Ok(Self(Mutex::new(Some(listener)))),
            Err(error) => Err(PyOSError::new_err(error.to_string())),
        }
    }

    /// Its descriptor, which stays this object's.
    fn fileno(&self) -> PyResult<i32> {
        self.with(|listener| listener.as_raw_fd())
    }

    /// What stands after `Serving on`.
    fn describe(&self) -> PyResult<String> {
        self.with(listener::Listener::describe)
    }

    /// SERVER_NAME and SERVER_PORT for a request that does not tell.
    fn server_name_port(&self) -> PyResult<(String, String)> {
        self.with(listener::Listener::server_name_port)
    }

    fn close(&self) {
        drop(self.0.lock().take());
    }
}

impl Listener {
    fn with<R>(&self, look: impl FnOnce(&listener::Listener) -> R) -> PyResult<R> {
        self.0
            .lock()
            .as_ref()
            .map(look)
            .ok_or_else(|| PyValueError::new_err("the listening socket is closed"))
    }
}
