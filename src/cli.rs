//! The command line: its options, their checks, and the exit status.
//!
//! Owns everything the user types and everything printed on standard output. Turns words into a
//! `Config` that needs no further check. Names clap, which nobody else does; opens nothing and
//! starts nothing, but asks another process for its census. Rule: a mistake is told in one line that names the option, the value and the cure.

mod backend;
mod check;
mod control;
mod development;
mod lives;
mod logs;
mod manager;
mod pools;
mod proxies;
mod sockets;
mod timeouts;
mod values;

use std::env::split_paths;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser};

use self::backend::BackendArgs;
use self::check::CheckArgs;
use self::control::ControlArgs;
pub use self::control::{Form, Question};
use self::development::{Asked, DevelopmentArgs};
use self::lives::LivesArgs;
use self::logs::LogArgs;
use self::manager::ManagerArgs;
use self::pools::PoolArgs;
use self::proxies::ProxyArgs;
use self::sockets::SocketArgs;
use self::timeouts::TimeoutArgs;
use self::values::{AddressFamily, Interpreters, Seconds, StreamOnly};
use crate::config::{
    self, AppForm, Config, Hooks, Isolation, Life, Limits, Manager, Preload, VERSION, Workers,
};

/// Name of the program in its help and its errors, however it was started.
const PROGRAM: &str = "chaussette";

/// How the process ends. The numbers are promises: managers and scripts read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// As asked, by a signal, or by `--help` and `--version`.
    Stopped = 0,
    /// A hook failed, or something inside.
    Internal = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Interpreters keep failing.
    Failing = 3,
    /// The application cannot be loaded.
    Load = 4,
    /// A socket cannot be adopted or bound.
    Socket = 5,
    /// Ended with interpreters that were stuck.
    Stuck = 70,
    /// It has grown beyond `--max-growth`: EX_TEMPFAIL, to be started again.
    Grown = 75,
}

impl ExitStatus {
    /// The number that the parent process sees.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Help: for standard output, status 0.
    Text(String),
    /// The version and what else is told of this installation: the same.
    Version,
    /// A mistake in one line: for standard error, status 2.
    Usage(String),
    /// Another process is to be asked for its census.
    Ask(Question),
}

/// Reads the command line, runs what it asks for, and gives the process's exit status.
/// `argv[0]` is the program's name; `about` has what follows the version's line.
pub fn main(
    argv: Vec<OsString>,
    about: impl FnOnce() -> String,
    run: impl FnOnce(Config) -> ExitStatus,
) -> i32 {
    let status = match parse(argv, &|name| std::env::var_os(name)) {
        Ok(config) => run(config),
        // A reader that left early (`chaussette --help | head -1`) is no failure of ours.
        Err(Outcome::Text(text)) => {
            let _ = write!(std::io::stdout().lock(), "{text}");
            ExitStatus::Stopped
        }
        Err(Outcome::Version) => {
            // The first line is a promise to scripts, and there whatever Python says.
            let _ = write!(std::io::stdout().lock(), "{PROGRAM} {VERSION}\n{}", about());
            ExitStatus::Stopped
        }
        Err(Outcome::Usage(line)) => {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
            ExitStatus::Usage
        }
        Err(Outcome::Ask(question)) => control::ask(&question),
    };
    status.code()
}

/// Makes the settings of the words and of `LISTEN_PID` and `LISTEN_FDS`, read through `env`.
pub fn parse(argv: Vec<OsString>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, Outcome> {
    let argv0 = argv.first().map_or_else(|| PROGRAM.into(), |name| name.to_string_lossy().into_owned());
    let (mut line, given): (Line, _) = backend::read(argv).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => Outcome::Text(error.render().to_string()),
        ErrorKind::DisplayVersion => Outcome::Version,
        _ => usage(&one_line(&error)),
    })?;
    let named = given.iter().map(|given| given.name.clone()).collect();
    let (backend, unheeded) = line.backend.resolve(named);
    let check = line.check.resolve(&mut line.control, &backend, given).map_err(|mistake| usage(&mistake))?;
    if let Some(question) = line.control.question().map_err(|mistake| usage(&mistake))? {
        return Err(Outcome::Ask(question));
    }
    let (sockets, mut notices) =
        line.sockets.resolve(line.compatible.address_family, env).map_err(|mistake| usage(&mistake))?;
    let (proxies, odd) = line.proxies.resolve().map_err(|mistake| usage(&mistake))?;
    notices.extend(odd);
    let asked = if line.compatible.use_reloader { Asked::Yes } else { Asked::No };
    let (reload, odd) = line.development.resolve(asked);
    notices.extend(odd);
    let workers = line.workers.resolve(line.limits.queue, &line.lives).map_err(|mistake| usage(&mistake))?;
    let process_pool = line.pools.resolve(&workers).map_err(|mistake| usage(&mistake))?;
    let lives = line.lives.resolve().map_err(|mistake| usage(&mistake))?;
    let (logs, access, statsd, odd) = line.logs.resolve();
    notices.extend(odd);
    notices.extend(unheeded);
    Ok(Config {
        argv0,
        application: line.application,
        arguments: line.arguments,
        form: if line.workers.factory { AppForm::Factory } else { AppForm::Application },
        python_path: line
            .compatible
            .python_path
            .iter()
            .flat_map(split_paths)
            .filter(|path| is_named(path))
            .collect(),
        sockets,
        backlog: line.sockets.backlog,
        backend,
        timeouts: line.timeouts.resolve(),
        workers,
        process_pool,
        life: Life { graceful_timeout: line.life.graceful_timeout.0 },
        lives,
        limits: line.limits.resolve(),
        proxies,
        control: line.control.control,
        probes: line.control.probes,
        access,
        statsd,
        logs,
        hooks: Hooks { pre: line.compatible.pre_hook, post: line.compatible.post_hook },
        reload,
        check,
        resumed: sockets::resumed(env),
        manager: Manager { heartbeat: line.manager.heartbeat(), ..crate::notify::manager(env) },
        notices,
    })
}

fn usage(mistake: &str) -> Outcome {
    // A word of the user may have several lines; the error has one.
    Outcome::Usage(format!("{PROGRAM}: error: {}", mistake.replace('\n', "\\n")))
}

/// An empty entry of a path list names nothing.
fn is_named(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Serves a WSGI application on a socket that it is given, or opens.
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM, bin_name = PROGRAM, version = VERSION, about,
    // As argparse in 1.3: the last of several wins, and `-1` is a value.
    args_override_self = true, allow_negative_numbers = true
)]
struct Line {
    /// pkg.mod:attr[.attr], pkg.mod.attr or paste:file.ini[#name]
    #[arg(default_value = config::DEFAULT_APPLICATION, value_parser = values::named)]
    application: String,
    /// Words for the application and the hooks: sys.argv[1:]
    arguments: Vec<String>,
    #[command(flatten)]
    sockets: SocketArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    workers: WorkerArgs,
    #[command(flatten)]
    pools: PoolArgs,
    #[command(flatten)]
    life: LifeArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    #[command(flatten)]
    lives: LivesArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    proxies: ProxyArgs,
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    check: CheckArgs,
    #[command(flatten)]
    manager: ManagerArgs,
    #[command(flatten)]
    logs: LogArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    compatible: CompatibleArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Workers")]
struct WorkerArgs {
    /// Python interpreters, or auto: one per CPU this process may use (affinity, cgroup quota)
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = values::interpreters)]
    interpreters: Interpreters,
    /// Threads per interpreter
    #[arg(long, value_name = "T", default_value_t = config::DEFAULT_THREADS, value_parser = values::threads)]
    threads: NonZeroUsize,
    /// How interpreters are kept apart
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = values::isolation())]
    isolation: Isolation,
    /// Each worker process imports the application by itself, instead of one for all before they are forked
    #[arg(long)]
    no_zygote: bool,
    /// APPLICATION is a function without parameters that returns the application
    #[arg(long)]
    factory: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Life")]
struct LifeArgs {
    /// Seconds from TERM or INT to the end of the process
    #[arg(long, value_name = "S", default_value_t = Seconds(config::DEFAULT_GRACEFUL_TIMEOUT), value_parser = values::seconds)]
    graceful_timeout: Seconds,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Requests that may wait for a free worker
    #[arg(long, value_name = "N", default_value_t = config::DEFAULT_QUEUE, value_parser = values::queue)]
    queue: usize,
    /// Bytes of a request body, 0 for no limit
    #[arg(long, value_name = "BYTES", default_value_t = config::DEFAULT_MAX_BODY, value_parser = values::max_body)]
    max_body: u64,
    /// Bytes of a request's line and header fields
    #[arg(long, value_name = "BYTES", default_value_t = config::DEFAULT_MAX_HEADER_SIZE, value_parser = values::header_size)]
    max_header_size: usize,
    /// Header fields of a request
    #[arg(long, value_name = "N", default_value_t = config::DEFAULT_MAX_HEADERS, value_parser = values::headers)]
    max_headers: usize,
    /// Seconds for a whole request head
    #[arg(long, value_name = "S", default_value_t = Seconds(config::DEFAULT_HEADER_TIMEOUT), value_parser = values::some_seconds)]
    header_timeout: Seconds,
    /// Seconds between two pieces of a request body
    #[arg(long, value_name = "S", default_value_t = Seconds(config::DEFAULT_BODY_TIMEOUT), value_parser = values::some_seconds)]
    body_timeout: Seconds,
    /// Bytes per second of a body that a client must send, and take, on average after --body-timeout; 0: no minimum
    #[arg(long, value_name = "BYTES", default_value_t = config::DEFAULT_MIN_RATE, value_parser = values::min_rate)]
    min_rate: u32,
    /// Seconds an idle connection is kept, 0 to close after each response
    #[arg(long, value_name = "S", default_value_t = Seconds(config::DEFAULT_KEEP_ALIVE), value_parser = values::seconds)]
    keep_alive: Seconds,
    /// Seconds a connection without a request is kept for one more once the process stops
    #[arg(long, value_name = "S", default_value_t = Seconds(config::DEFAULT_DRAIN_IDLE), value_parser = values::seconds)]
    drain_idle: Seconds,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "From Chaussette 1.3")]
struct CompatibleArgs {
    /// Kind of address that --host and --bind take of a host
    #[arg(long, value_name = "FAMILY", value_parser = values::family())]
    address_family: Option<AddressFamily>,
    /// SOCK_STREAM
    #[arg(long, value_name = "TYPE", value_parser = values::socket_type)]
    socket_type: Option<StreamOnly>,
    /// Folders appended to sys.path, separated as in PATH
    #[arg(long, value_name = "PATHS")]
    python_path: Option<OsString>,
    /// Function called with the settings before serving
    #[arg(long, value_name = "DOTTED", value_parser = values::named)]
    pre_hook: Option<String>,
    /// The same as --reload
    #[arg(long)]
    use_reloader: bool,
    /// Function called with the settings after serving
    #[arg(long, value_name = "DOTTED", value_parser = values::named)]
    post_hook: Option<String>,
}

impl WorkerArgs {
    fn resolve(&self, queue: usize, lives: &LivesArgs) -> Result<Workers, String> {
        let (interpreters, bounds) = match self.interpreters {
            Interpreters::Auto => lives.around(Workers::auto_interpreters())?,
            Interpreters::Count(count) => (count, lives.bounds(count)?),
        };
        let preload = if self.no_zygote { Preload::None } else { Preload::Zygote };
        let (threads, isolation) = (self.threads, self.isolation);
        Ok(Workers { interpreters, threads, isolation, preload, queue, bounds })
    }
}

impl LimitArgs {
    fn resolve(&self) -> Limits {
        Limits {
            max_body: Some(self.max_body).filter(|&most| most > 0),
            max_header_size: self.max_header_size,
            max_headers: self.max_headers,
            header_timeout: self.header_timeout.0,
            body_timeout: self.body_timeout.0,
            min_rate: NonZeroU32::new(self.min_rate),
            keep_alive: self.keep_alive.0,
            drain_idle: self.drain_idle.0,
        }
    }
}

/// clap's error, which has several lines, in one: option, value, cure.
fn one_line(error: &clap::Error) -> String {
    let told = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = told(ContextKind::InvalidArg);
    let option = argument.split(' ').next().unwrap_or_default();
    let value = told(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            let value = if value.is_empty() { "''" } else { &value };
            format!("{option} {value}: {why}")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{option}: needs a value"),
        ErrorKind::InvalidValue => format!("{option} {value}: use one of {}", told(ContextKind::ValidValue)),
        ErrorKind::UnknownArgument => match told(ContextKind::SuggestedArg) {
            nothing if nothing.is_empty() => format!("{option}: unknown option: see {PROGRAM} --help"),
            similar => format!("{option}: unknown option: did you mean {similar}?"),
        },
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    }
}
