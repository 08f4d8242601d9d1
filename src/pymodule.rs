//! `chaussette._native`: joins the command line with the WSGI loader. Alone names `pyo3`.
//!
//! Lives in the main interpreter only: PyO3's caches are process-wide. Owns what is asked of the main
//! interpreter — its path, its arguments, its hooks — and how the process is left.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::application::Home;
use crate::cli;
use crate::config::{AppForm, Config};
use crate::interp::Truth;
use crate::server::{self, Leave, Plan, Threading, Workplace};
use crate::wsgi::{Settings, WsgiLoader};

/// How long Python may take to end the main interpreter after the last of ours has ended. 3 s: with the
/// default --graceful-timeout it keeps the whole stop under Circus's 30 s.
const FINALIZATION: Duration = Duration::from_secs(3);

/// The server, for `python -m chaussette` and the console script.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::main;
}

/// Runs the command line `argv`, program name first; returns the exit status, or leaves the process by
/// `_exit` when interpreters are left that Python could not end.
#[pyfunction]
fn main(py: Python<'_>, argv: Vec<std::ffi::OsString>) -> PyResult<i32> {
    // CPython 3.13 corrupts memory when the first import of datetime happens in a sub-interpreter that ends
    // before others (gh-136421): the main interpreter imports it first, whatever else happens.
    py.import("datetime")?;
    let sys = py.import("sys")?;
    let interpreter = MainInterpreter {
        path: sys.getattr("path")?.extract()?,
        threading: match sys.getattr_opt("_is_gil_enabled")? {
            Some(enabled) if !enabled.call0()?.extract::<bool>()? => Threading::Free,
            _ => Threading::Gil,
        },
    };
    let mut leave = Leave::Orderly;
    // Detached for the server's whole life: this thread is the reactor.
    let status = py.detach(|| {
        cli::main(argv, |config| {
            let stopped = server::run(&config, &interpreter);
            leave = stopped.leave;
            stopped.status
        })
    });
    match leave {
        Leave::AtOnce => crate::interp::leave_at_once(status),
        Leave::Orderly => {
            // What Python does from here on (exit handlers, threads of an application in the main
            // interpreter) must end as well.
            crate::interp::leave_after(status, FINALIZATION)?;
            Ok(status)
        }
    }
}

/// What the server needs of the interpreter that it was started in.
struct MainInterpreter {
    path: Vec<String>,
    threading: Threading,
}

impl Workplace for MainInterpreter {
    type Loader = WsgiLoader;

    fn threading(&self) -> Threading {
        self.threading
    }

    fn loader(&self, config: &Config, plan: Plan) -> WsgiLoader {
        let mut path = self.path.clone();
        path.extend(config.python_path.iter().map(|entry| entry.to_string_lossy().into_owned()));
        // As 1.3: the current directory comes last.
        if !path.iter().any(|entry| entry.is_empty() || entry == ".") {
            path.push(".".to_owned());
        }
        let mut argv = vec![config.argv0.clone()];
        argv.extend(config.arguments.iter().cloned());
        WsgiLoader::new(Settings {
            application: config.application.clone(),
            factory: Truth::from(config.form == AppForm::Factory),
            path,
            argv,
            home: plan.home,
            multithread: Truth::from(plan.crew.threads > 1),
            // Interpreters with their own GIL share no objects: to an application its siblings are what
            // other processes are, and PEP 3333's flag is how it learns that its memory is not the only one.
            multiprocess: Truth::from(plan.home == Home::OwnGil && plan.crew.slots > 1),
        })
    }

    fn hook(&self, config: &Config, name: &str) -> Result<(), String> {
        Python::attach(|py| {
            let run = || -> PyResult<()> {
                let arguments = PyDict::new(py);
                arguments.set_item("application", &config.application)?;
                arguments.set_item("arguments", &config.arguments)?;
                py.import("chaussette._interpreter")?.getattr("run_hook")?.call1((name, arguments))?;
                Ok(())
            };
            run().map_err(|error| {
                let traceback = error.traceback(py).and_then(|traceback| traceback.format().ok());
                format!("{}{error}", traceback.map(|text| format!("\n{text}")).unwrap_or_default())
            })
        })
    }
}
