//! `chaussette._native`: joins the command line with the WSGI loader. Alone names `pyo3`.
//!
//! Lives in the main interpreter only: PyO3's caches are process-wide. Owns what is asked of the main
//! interpreter — its path, its arguments, its hooks — and how the process is left. Three doors: [`main`] is
//! the command, `handover` what it gives back where another backend or a check is wanted, `program` the server as a part
//! of somebody else's program; and `rehearse`, by which a check loads as the server does.

mod handover;
mod process;
mod program;
mod rehearse;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::application::{Either, Home};
use crate::census::Pool;
use crate::cli;
use crate::config::{Address, AppForm, Config, Family, Isolation, LogOutput, Patching};
use crate::http::Trim;
use crate::interp::{Truth, trim_heap};
use crate::listener::{KEPT, Kept};
use crate::process::ProcessLoader;
use crate::reload::Sources;
use crate::server::{self, Leave, Plan, Threading, Workplace};
use crate::shutdown::{Ask, Signals};
use crate::wsgi::{Settings, WsgiLoader};

/// How long Python may take to end the main interpreter after the last of ours has ended. 3 s: with the
/// default --graceful-timeout it keeps the whole stop under Circus's 30 s.
const FINALIZATION: Duration = Duration::from_secs(3);

/// The server, for `python -m chaussette` and the console script.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::handover::Listener;
    #[pymodule_export]
    use super::main;
    #[pymodule_export]
    use super::process::zygote;
    #[pymodule_export]
    use super::program::Program;
    #[pymodule_export]
    use super::rehearse::rehearse;
}

/// Runs the command line `argv`, program name first; returns the exit status, or leaves the process by
/// `_exit` when interpreters are left that Python could not end. With another backend than ours, and with `--check`,
/// returns the settings instead, and nothing has been started.
#[pyfunction]
fn main(py: Python<'_>, argv: Vec<OsString>) -> PyResult<Py<PyAny>> {
    let interpreter = MainInterpreter::new(py, Some("."))?;
    let origin = Origin::here();
    let mut handed_over = None;
    // Detached for the server's whole life: this thread is the reactor.
    let mut anew = None;
    let status = py.detach(|| {
        let mut leave = Leave::Orderly;
        let about = || interpreter.about().unwrap_or_else(|error| format!("python: {error}\n"));
        let status = cli::main(argv, about, |config| {
            if let Err(error) = forget_activation() {
                tracing::warn!("cannot unset LISTEN_FDS and NOTIFY_SOCKET: {error}");
            }
            if !config.backend.is_ours() || config.check.is_some() {
                handed_over = Some(config);
                return cli::ExitStatus::Stopped;
            }
            let stopped = server::run(&config, &interpreter);
            leave = stopped.leave;
            anew = stopped.anew;
            stopped.status
        });
        if handed_over.is_some() {
            return Ok(status);
        }
        // Still detached: a stuck thread may hold the main interpreter's GIL for ever.
        match leave {
            Leave::AtOnce if anew.is_none() => crate::interp::leave_at_once(status),
            // What could not be ended is not there any more once the process has begun anew.
            Leave::AtOnce => Ok(status),
            // What Python does from here on (exit handlers, an application's threads in the main interpreter)
            // must end as well.
            Leave::Orderly => crate::interp::leave_after(status, FINALIZATION).map(|()| status),
        }
    });
    let status = status?;
    if let Some(config) = handed_over {
        return Ok(handover::settings(py, &config, interpreter.path(&config))?.into_any().unbind());
    }
    // Only an application in the main interpreter has started threads here.
    let running: usize = py.import("chaussette._interpreter")?.getattr("finish_main")?.call0()?.extract()?;
    if let Some(kept) = anew {
        origin.begin_anew(py, kept)?;
    }
    if running > 0 {
        crate::interp::leave_at_once(status);
    }
    Ok(status.into_pyobject(py)?.into_any().unbind())
}

/// How the process was started, whatever its application has made of that since.
struct Origin {
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

impl Origin {
    fn here() -> Self {
        Self { environment: std::env::vars_os().collect(), folder: std::env::current_dir().ok() }
    }

    /// Replaces the process by one that is started as this was, and has its listening sockets.
    fn begin_anew(self, py: Python<'_>, kept: Kept) -> PyResult<()> {
        let sys = py.import("sys")?;
        let words: Vec<std::ffi::OsString> = sys.getattr("orig_argv")?.extract()?;
        let program: OsString = sys.getattr("executable")?.extract()?;
        let (sockets, value) = kept.pass_on()?;
        let mut command = std::process::Command::new(program);
        command.args(words.into_iter().skip(1)).env_clear().envs(self.environment).env(sockets, value);
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        Err(command.exec().into())
    }
}

/// Unsets what systemd told about its sockets, once it has been read: they are ours, not those of the
/// programs that the application starts (sd_listen_fds(3), sd_notify(3)).
fn forget_activation() -> PyResult<()> {
    Python::attach(|py| {
        let environ = py.import("os")?.getattr("environ")?;
        let activation = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", KEPT];
        for name in activation.into_iter().chain(["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]) {
            environ.call_method1("pop", (name, py.None()))?;
        }
        Ok(())
    })
}

/// Tells the application which pool its interpreters are, as it is imported: they have a copy of the environment of
/// when they are made. Worker processes are told another one.
fn tell_pool() {
    let told = Python::attach(|py| {
        let environ = py.import("os")?.getattr("environ")?;
        environ.set_item("CHAUSSETTE_POOL", Pool::Interpreters.as_str())
    });
    if let Err(error) = told {
        tracing::warn!("cannot set CHAUSSETTE_POOL: {error}");
    }
}

/// What the server needs of the interpreter that it was started in.
struct MainInterpreter {
    path: Vec<String>,
    /// What `sys.path` ends with, if it is not there already.
    last: Option<&'static str>,
    threading: Threading,
    /// A program's own way to end it; `None`: the signals of the process.
    asks: Mutex<Option<UnboundedReceiver<Ask>>>,
}

impl Workplace for MainInterpreter {
    type Loader = Either<WsgiLoader, ProcessLoader>;

    fn threading(&self) -> Threading {
        self.threading
    }

    fn loader(&self, config: &Config, plan: Plan, sources: Option<Sources>) -> Self::Loader {
        let mut argv = vec![config.argv0.clone()];
        argv.extend(config.arguments.iter().cloned());
        let pool = config.process_pool.as_ref().map(|_| plan.pool);
        if pool == Some(Pool::Interpreters) {
            tell_pool();
        }
        let settings = Settings {
            application: config.application.clone(),
            factory: Truth::from(config.form == AppForm::Factory),
            path: self.path(config),
            argv,
            home: plan.home,
            pool,
            multithread: Truth::from(plan.crew.threads > 1),
            // Interpreters with their own GIL share no objects: to an application its siblings are what
            // other processes are, and PEP 3333's flag is how it learns that its memory is not the only one.
            multiprocess: Truth::from(pool.is_some() || plan.home != Home::Main && plan.crew.slots > 1),
            patience: server::joining(config.life.graceful_timeout),
            sources,
            // With `main` one takes what there is.
            unlocked: Truth::from(
                self.threading == Threading::Free
                    && plan.home == Home::Main
                    && config.workers.isolation != Isolation::Main,
            ),
            request_timeout: config.timeouts.request,
        };
        match plan.home {
            Home::OwnGil | Home::Main => Either::Left(WsgiLoader::new(settings)),
            Home::Process => Either::Right(process::loader(config, settings)),
        }
    }

    fn trim(&self) -> Option<Trim> {
        Some(trim_heap)
    }

    fn find_hook(&self, config: &Config, name: &str) -> Result<(), String> {
        self.call(|support| support.getattr("find_hook")?.call1((name, self.path(config))).map(drop))
    }

    fn hook(&self, config: &Config, name: &str) -> Result<(), String> {
        self.call(|support| {
            let options = options(support.py(), config)?;
            support.getattr("run_hook")?.call1((name, self.path(config), options)).map(drop)
        })
    }

    fn signals(&self) -> std::io::Result<Signals> {
        match self.asks.lock().take() {
            Some(asks) => Ok(Signals::Program(asks)),
            None => Signals::install(),
        }
    }
}

impl MainInterpreter {
    fn new(py: Python<'_>, last: Option<&'static str>) -> PyResult<Self> {
        // CPython 3.13 corrupts memory when the first import of datetime happens in a sub-interpreter that ends
        // before others (gh-136421): the main interpreter imports it first, whatever else happens.
        py.import("datetime")?;
        let sys = py.import("sys")?;
        let is_off: bool = py.import("chaussette._cpython")?.getattr("gil_is_off")?.call0()?.extract()?;
        let threading = if is_off { Threading::Free } else { Threading::Gil };
        Ok(Self { path: sys.getattr("path")?.extract()?, last, threading, asks: Mutex::new(None) })
    }

    /// `sys.path` as every interpreter has it. The current directory comes last, as in 1.3.
    fn path(&self, config: &Config) -> Vec<String> {
        let mut path = self.path.clone();
        path.extend(config.python_path.iter().map(|entry| entry.to_string_lossy().into_owned()));
        if !path.iter().any(|entry| entry.is_empty() || entry == ".") {
            path.extend(self.last.map(str::to_owned));
        }
        path
    }

    /// What `--version` tells of this installation.
    fn about(&self) -> PyResult<String> {
        Python::attach(|py| {
            let lines = py.import("chaussette._about")?.getattr("lines")?;
            lines.call1((build(), isolations(self.threading)))?.extract()
        })
    }

    /// Runs `work` attached, with `chaussette._interpreter`; an exception becomes its report.
    fn call(&self, work: impl FnOnce(&Bound<'_, PyModule>) -> PyResult<()>) -> Result<(), String> {
        Python::attach(|py| {
            let support = py.import("chaussette._interpreter").map_err(|error| error.to_string())?;
            work(&support).map_err(|error| {
                let report = support.getattr("report").and_then(|report| report.call1((error.value(py),)));
                report.and_then(|text| text.extract()).unwrap_or_else(|_| error.to_string())
            })
        })
    }
}

/// What `--isolation` may be here, but for `auto`, which chooses of them.
fn isolations(threading: Threading) -> Vec<&'static str> {
    match threading {
        Threading::Gil => vec!["own-gil", "process", "main"],
        Threading::Free => vec!["free-threaded", "own-gil", "process", "main"],
    }
}

/// How this module was made.
fn build() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let made = format!("{profile}, {} {}", std::env::consts::OS, std::env::consts::ARCH);
    // Of what is made to be given away, by .ci/wheels.
    option_env!("CHAUSSETTE_COMMIT").map_or(made.clone(), |commit| format!("{made}, commit {commit}"))
}

/// The options as 1.3's hooks knew them, by its names.
fn options<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let (mut host, mut port, mut fd, mut family) = (String::from("localhost"), 8080, -1, "AF_INET");
    match config.sockets.first() {
        Some(Address::Fd(number) | Address::Inherited(number)) => fd = *number,
        Some(Address::Tcp { host: name, port: number, family: kind }) => {
            (host, port) = (name.clone(), *number);
            family = if *kind == Family::V6 { "AF_INET6" } else { "AF_INET" };
        }
        Some(Address::Unix(path)) => (host, family) = (format!("unix:{}", path.display()), "AF_UNIX"),
        None => {}
    }
    let output = match &config.logs.output {
        LogOutput::Stderr => "-".to_owned(),
        LogOutput::File(path) => path.display().to_string(),
    };
    let options = PyDict::new(py);
    options.set_item("application", &config.application)?;
    options.set_item("arguments", &config.arguments)?;
    options.set_item("host", host)?;
    options.set_item("port", port)?;
    options.set_item("fd", fd)?;
    options.set_item("address_family", family)?;
    options.set_item("socket_type", "SOCK_STREAM")?;
    options.set_item("backlog", config.backlog)?;
    options.set_item("backend", &config.backend.name)?;
    options.set_item("use_reloader", config.reload.is_some())?;
    options.set_item("spawn", config.backend.spawn)?;
    options.set_item("no_monkey", config.backend.patching == Patching::LeftAlone)?;
    options.set_item("graceful_timeout", config.life.graceful_timeout.as_secs_f64())?;
    options.set_item("pre_hook", config.hooks.pre.as_deref())?;
    options.set_item("post_hook", config.hooks.post.as_deref())?;
    options.set_item("python_path", &config.python_path)?;
    options.set_item("loglevel", format!("{:?}", config.logs.level).to_lowercase())?;
    options.set_item("logoutput", output)?;
    Ok(options)
}
