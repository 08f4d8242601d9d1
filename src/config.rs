//! The settings of one run: plain values, resolved and checked.
//!
//! Owns the settings' types, their defaults and the reading of an address. Knows nothing of the
//! command line that fills them (`cli`) and does nothing itself: whoever needs a part of `Config`
//! is given that part, never the whole. Every default is a named constant with its unit and reason.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

mod access;
mod backend;
mod check;
mod control;
mod lives;
mod pools;
mod proxies;
mod reload;
mod statsd;
mod timeouts;

pub use self::access::{
    Access, AccessFormat, AccessOutput, Field, Form, Moment, Part, Statuses, TimeForm, Unit,
};
pub use self::backend::{Backend, INTERPRETERS, Patching};
pub use self::check::{Check, DEFAULT_CHECK_TIMEOUT, Given, Report};
pub use self::control::{ControlAddress, ProbeAddress};
pub use self::lives::{Bounds, DEFAULT_JITTER_SHARE, Lives};
pub use self::pools::{PathPrefix, PathPrefixError, ProcessPool};
pub use self::proxies::{ForwardedHeader, ForwardedHeaders, Proxies, ProxyProtocol, Trusted, Unbelieved};
pub use self::reload::{Reload, pattern};
pub use self::statsd::{DEFAULT_STATSD_PREFIX, Statsd, StatsdAddress, StatsdPrefix};
pub use self::timeouts::{DEFAULT_QUEUE_TIMEOUT, DEFAULT_TIMEOUT_GRACE, Timeouts};

/// This release, as Python spells it (PEP 440): Cargo's own spelling is another.
pub const VERSION: &str = "2.0.0a1";

/// The application served when none is named, as in Chaussette 1.3.
pub const DEFAULT_APPLICATION: &str = "chaussette.util.hello_app";

/// Host name. The loopback interface, as in 1.3: a server started without thought is not public.
pub const DEFAULT_HOST: &str = "localhost";

/// TCP port, as in 1.3.
pub const DEFAULT_PORT: u16 = 8080;

/// Connections. As in 1.3 and in Circus; the kernel cuts it to `net.core.somaxconn`.
pub const DEFAULT_BACKLOG: u32 = 2048;

/// Threads per interpreter. One: an application that never thought of threads is safe.
pub const DEFAULT_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Requests waiting for a free worker. 1,024 of them at 10 ms each on one worker are ten seconds:
/// longer lines only make clients give up while the server works for nobody.
pub const DEFAULT_QUEUE: usize = 1024;

/// Seconds. Five below the 30 s after which Circus kills: what is left is for ending in order.
pub const DEFAULT_GRACEFUL_TIMEOUT: Duration = Duration::from_secs(25);

/// Bytes of a request body: 1 GiB. Above the uploads that applications expect, below what fills a
/// disk unnoticed.
pub const DEFAULT_MAX_BODY: u64 = 1 << 30;

/// Bytes of a request head: 32 KiB. Above what browsers send with a full cookie jar, below what
/// would let 1,000 idle connections hold 100 MiB.
pub const DEFAULT_MAX_HEADER_SIZE: usize = 32 * 1024;

/// Header fields of a request: a browser behind two proxies sends about 30.
pub const DEFAULT_MAX_HEADERS: usize = 100;

/// Seconds for a whole request head. A head fits in a few packets, so only a client that
/// trickles bytes to hold a connection (Slowloris) needs longer.
pub const DEFAULT_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds between two pieces of a request body: a phone that changes cells is silent for less.
pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes per second, on average, that a client must send of a body, and take of an answer, beyond
/// [`DEFAULT_BODY_TIMEOUT`] of waiting. 240: below any line that people use, above a drip that only holds a
/// connection; the figure is Kestrel's.
pub const DEFAULT_MIN_RATE: u32 = 240;

/// Seconds an idle connection is kept. Above the 60 s of nginx, HAProxy and AWS load balancers:
/// the proxy closes first, so it never sends a request into a connection that we just closed.
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Seconds an idle connection is kept once the process stops. 0: an idle server ends at once; whoever has clients that
/// cannot ask again gives them some.
pub const DEFAULT_DRAIN_IDLE: Duration = Duration::ZERO;

/// Seconds between two signs of life to Circus. 20 s: three in the `loop_rate` (60 s) of its watchdog, which counts one.
pub const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(20);

/// Everything one run needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name the program was started by: `sys.argv[0]`.
    pub argv0: String,
    /// `pkg.mod:attr[.attr]`, `pkg.mod.attr` or `paste:file.ini[#name]`.
    pub application: String,
    /// What the words after the application are: `sys.argv[1:]`, read by hooks and applications.
    pub arguments: Vec<String>,
    /// Whether `application` names the application itself or a function that makes it.
    pub form: AppForm,
    /// Folders appended to `sys.path`, in order.
    pub python_path: Vec<PathBuf>,
    /// Where to accept, at least one. Each gets its `Serving on` line.
    pub sockets: Vec<Address>,
    /// Connections the kernel queues on a socket that we bind. An adopted socket keeps its own.
    pub backlog: u32,
    /// Which server answers on them.
    pub backend: Backend,
    /// Interpreters, threads and the queue before them.
    pub workers: Workers,
    /// Worker processes beside them, if some requests shall go there.
    pub process_pool: Option<ProcessPool>,
    /// Deadlines of the process.
    pub life: Life,
    /// Deadlines of requests.
    pub timeouts: Timeouts,
    /// When interpreters are replaced.
    pub lives: Lives,
    /// What a client may ask for.
    pub limits: Limits,
    /// Whose word on a request's origin is believed.
    pub proxies: Proxies,
    /// Where the process can be asked and commanded, if anywhere.
    pub control: Option<ControlAddress>,
    /// Where anybody may ask whether it is well, if anywhere.
    pub probes: Option<ProbeAddress>,
    /// Level and destination of log lines.
    pub logs: Logs,
    /// A log with a line for each request, if there shall be one.
    pub access: Option<Access>,
    /// Who is told figures of each request, if anybody.
    pub statsd: Option<Statsd>,
    /// Functions called before serving and after it.
    pub hooks: Hooks,
    /// Whether, and by which files, the application is loaded again when it changes (`--reload`).
    pub reload: Option<Reload>,
    /// Whether the application is only looked at (`--check`).
    pub check: Option<Check>,
    /// Sockets that this process had before it began anew, in the order of `sockets`.
    pub resumed: Vec<Option<RawFd>>,
    /// Who started this process, and wants to hear of it.
    pub manager: Manager,
    /// What is odd in the command line but not wrong, one sentence each, to be logged as warnings
    /// once there is a log.
    pub notices: Vec<String>,
}

/// What `Config::application` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppForm {
    /// The WSGI application.
    #[default]
    Application,
    /// A function without parameters that returns the WSGI application (`--factory`).
    Factory,
}

/// Interpreters, threads and the queue before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Interpreters. `auto` is resolved already: see [`Workers::auto_interpreters`].
    pub interpreters: NonZeroUsize,
    /// Threads per interpreter.
    pub threads: NonZeroUsize,
    /// How interpreters are kept apart.
    pub isolation: Isolation,
    /// When worker processes load the application.
    pub preload: Preload,
    /// Requests that may wait for a free worker, all interpreters together. At least one.
    pub queue: usize,
    /// How many interpreters there may be while it runs.
    pub bounds: Bounds,
}

impl Workers {
    /// The CPUs that this process may use, one interpreter each. Linux: the affinity mask cut by
    /// the cgroup's CPU quota (v1 and v2), so a container limited to two CPUs on a machine of 64
    /// gets two. One where the system does not tell.
    #[must_use]
    pub fn auto_interpreters() -> NonZeroUsize {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }
}

impl Default for Workers {
    fn default() -> Self {
        let interpreters = Self::auto_interpreters();
        Self {
            interpreters,
            bounds: Bounds::around(interpreters),
            threads: DEFAULT_THREADS,
            isolation: Isolation::default(),
            preload: Preload::default(),
            queue: DEFAULT_QUEUE,
        }
    }
}

/// How interpreters are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Free-threaded on such a build while its GIL stays off; else own-GIL interpreters if the application
    /// loads there; else worker processes.
    #[default]
    Auto,
    /// Sub-interpreters with a GIL each.
    OwnGil,
    /// Threads of the one interpreter of a free-threaded build.
    FreeThreaded,
    /// Processes, forked from one that has loaded the application.
    Process,
    /// Threads of the main interpreter.
    Main,
}

/// When a worker process loads its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preload {
    /// Before it is forked: once for all.
    #[default]
    Zygote,
    /// After that, by itself (`--no-zygote`).
    None,
}

/// Deadlines of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From the first TERM or INT to the end of the process, requests in flight included.
    pub graceful_timeout: Duration,
}

impl Default for Life {
    fn default() -> Self {
        Self { graceful_timeout: DEFAULT_GRACEFUL_TIMEOUT }
    }
}

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body, answered with 413 above it. `None`: unlimited.
    pub max_body: Option<u64>,
    /// Bytes of a request head, answered with 431 above it. At least 8 KiB.
    pub max_header_size: usize,
    /// Header fields of a request, answered with 431 above it.
    pub max_headers: usize,
    /// For a whole request head, from its first byte.
    pub header_timeout: Duration,
    /// Between two pieces of a request body; and of an answer, as far as the client must take it.
    pub body_timeout: Duration,
    /// Bytes per second of either that the client must keep up with on average, once it has been waited for
    /// `body_timeout` in all. `None`: only silence counts.
    pub min_rate: Option<NonZeroU32>,
    /// For the next request on an idle connection. Zero: close after each response.
    pub keep_alive: Duration,
    /// The same, once the process stops: so long it may come, be answered, and be told that it was the last.
    pub drain_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: Some(DEFAULT_MAX_BODY),
            max_header_size: DEFAULT_MAX_HEADER_SIZE,
            max_headers: DEFAULT_MAX_HEADERS,
            header_timeout: DEFAULT_HEADER_TIMEOUT,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            min_rate: NonZeroU32::new(DEFAULT_MIN_RATE),
            keep_alive: DEFAULT_KEEP_ALIVE,
            drain_idle: DEFAULT_DRAIN_IDLE,
        }
    }
}

/// Level and destination of log lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Where lines go.
    pub output: LogOutput,
}

/// Python's levels, most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Only why the process ends.
    Critical,
    /// A request or an interpreter failed.
    Error,
    /// Something is odd but served.
    Warning,
    /// The life of the process.
    #[default]
    Info,
    /// Everything.
    Debug,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogOutput {
    /// Standard error (`-`), as in 1.3.
    #[default]
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// Dotted names of Python functions, called with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Called once the application is loaded and before the first request is accepted.
    pub pre: Option<String>,
    /// Called when serving has ended, however it ended.
    pub post: Option<String>,
}

/// The program that manages this process, as the environment (sd_notify(3)) and the command line tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manager {
    /// `NOTIFY_SOCKET`: where it listens.
    pub notify: Option<OsString>,
    /// `WATCHDOG_USEC`: how long it bears no sign of life.
    pub watchdog: Option<Duration>,
    /// `--heartbeat`: what Circus's watchdog is sent.
    pub heartbeat: Option<Heartbeat>,
}

/// Where signs of life go as datagrams, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub to: SocketAddr,
    pub interval: Duration,
}

/// Which of a host's addresses is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// The first that this machine has, IPv4 first: 1.3's default was AF_INET, and a client that
    /// has no IPv6 reaches `localhost` all the same.
    #[default]
    Any,
    /// IPv4 only (`--address-family AF_INET`).
    V4,
    /// IPv6 only (`--address-family AF_INET6`).
    V6,
}

/// A socket to accept on. Its `Display` is what 1.3 wrote after `Serving on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An inherited descriptor that the command line names: `--fd N`, `fd://N`.
    Fd(RawFd),
    /// An inherited descriptor that `LISTEN_FDS` names (sd_listen_fds(3)).
    Inherited(RawFd),
    /// A TCP address to bind. Port 0: the kernel chooses.
    Tcp {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// Which of the host's addresses.
        family: Family,
    },
    /// A unix socket to make at this path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fd(fd) | Self::Inherited(fd) => write!(out, "fd://{fd}"),
            Self::Tcp { host, port, .. } => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Why a text is not an address: what is wrong and the cure. The text itself is told by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `host:port`, `[::1]:port`, `unix:/path` or `fd://N`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(address) = Self::without_port(text) {
            return address;
        }
        let wrong = |what: &str| Err(AddressError(what.to_owned()));
        if text.contains("://") {
            return wrong("write host:port without a scheme");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("no port: write host:port, [::1]:port, unix:/path or fd://N");
        };
        if host.contains(':') && !host.starts_with('[') {
            return wrong("an IPv6 address stands in brackets: write [::1]:port");
        }
        Ok(Self::Tcp { host: read_host(host)?, port: read_port(port)?, family: Family::Any })
    }
}

impl Address {
    /// Reads 1.3's `--host` with its `--port`: a host, `unix:/path` or `fd://N`. The latter two
    /// have no use for the port.
    pub fn from_host(text: &str, port: u16) -> Result<Self, AddressError> {
        Self::without_port(text)
            .unwrap_or_else(|| Ok(Self::Tcp { host: read_host(text)?, port, family: Family::Any }))
    }

    /// The two forms that name no TCP port, if the text has one of them.
    fn without_port(text: &str) -> Option<Result<Self, AddressError>> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(if path.is_empty() {
                Err(AddressError("no path: write unix:/path/to/socket".to_owned()))
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            });
        }
        let digits = text.strip_prefix("fd://")?;
        Some(match digits.parse() {
            Ok(fd) if fd >= 0 => Ok(Self::Fd(fd)),
            _ => Err(AddressError("no descriptor number: write fd://3".to_owned())),
        })
    }
}

/// A host as `getaddrinfo` wants it: without the brackets of an IPv6 address.
fn read_host(text: &str) -> Result<String, AddressError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() {
        // An unset variable in a start script must not open the server to the world.
        return Err(AddressError("no host: write 0.0.0.0 for every interface".to_owned()));
    }
    if bare.contains(['[', ']']) || bare.contains(char::is_whitespace) {
        return Err(AddressError("not a host name or address".to_owned()));
    }
    Ok(bare.to_owned())
}

/// A TCP port in digits.
fn read_port(text: &str) -> Result<u16, AddressError> {
    // `parse` would take "+80" too.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| AddressError(format!("{text:?} is not a TCP port: use 0 (any free one) to 65535")))
}
