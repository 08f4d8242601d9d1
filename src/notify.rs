//! What systemd is told: ready, reloading, stopping, a status line, and signs of life (sd_notify(3)). Circus's watchdog is
//! sent signs of life alone.
//!
//! Owns the datagrams to `NOTIFY_SOCKET` and `--heartbeat`. Knows the census, and neither HTTP nor Python. Rule: a manager
//! that does not listen costs nothing but a line in the log.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::census::{Census, Desk, Kind, Pool, Record, Roster, Stage};
use crate::config::{Heartbeat, Manager};

/// Signs of life are sent so many times within the manager's patience, as sd_watchdog_enabled(3) advises.
const SIGNS: u32 = 2;

/// Intervals of `--heartbeat` that every thread may be at one request. 3: as many as Circus's watchdog goes without (its
/// `max_count`).
const SILENT: u32 = 3;

/// To the program that manages this process, if it listens.
#[derive(Debug)]
pub struct Notify {
    socket: Option<Arc<UnixDatagram>>,
    heart: Heart,
    last: Phase,
    line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Notify {
    #[must_use]
    pub fn new(manager: &Manager) -> Self {
        let socket = manager.notify.as_deref().and_then(|name| {
            connect(name)
                .inspect_err(|error| {
                    tracing::warn!("NOTIFY_SOCKET {}: not told anything: {error}", name.to_string_lossy());
                })
                .ok()
                .map(Arc::new)
        });
        let patience = manager.watchdog.filter(|_| socket.is_some());
        let pulse = manager.heartbeat.and_then(|heartbeat| {
            Pulse::new(heartbeat)
                .inspect_err(|error| tracing::warn!("--heartbeat udp://{}: not sent: {error}", heartbeat.to))
                .ok()
        });
        let heart = Heart { socket: socket.clone(), patience, pulse };
        Self { socket, heart, last: Phase::Starting, line: String::new() }
    }

    /// Tells what is new in `census`, which is that of a server that serves.
    pub fn tell(&mut self, census: &Census) {
        if self.socket.is_none() {
            return;
        }
        let phase = match census.reload {
            _ if census.stopping => Phase::Stopping,
            crate::census::Reload::Running { .. } => Phase::Reloading,
            _ => Phase::Ready,
        };
        let line = status(census);
        let mut text = String::new();
        if phase != self.last {
            text = match phase {
                Phase::Ready => "READY=1\n".to_owned(),
                Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic()),
                Phase::Stopping => "STOPPING=1\n".to_owned(),
                Phase::Starting => String::new(),
            };
            self.last = phase;
        }
        if line != self.line {
            text.push_str("STATUS=");
            text.push_str(&line);
            self.line = line;
        }
        if !text.is_empty() {
            self.send(&text);
        }
    }

    /// Gives signs of life from now on, as long as the reactor turns, and ends with it.
    pub fn live(&mut self, pools: Vec<Roster>) {
        let mut heart = std::mem::take(&mut self.heart);
        let Some(interval) = heart.interval() else { return };
        tokio::spawn(async move {
            loop {
                heart.beat(&pools);
                tokio::time::sleep(interval).await;
            }
        });
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket {
            send(socket, text);
        }
    }
}

fn send(socket: &UnixDatagram, text: &str) {
    if let Err(error) = socket.send(text.as_bytes()) {
        tracing::debug!("the manager was not told {text:?}: {error}");
    }
}

/// Signs of life to whoever bears no silence.
#[derive(Debug, Default)]
struct Heart {
    socket: Option<Arc<UnixDatagram>>,
    patience: Option<Duration>,
    pulse: Option<Pulse>,
}

impl Heart {
    /// How often it must beat.
    fn interval(&self) -> Option<Duration> {
        let systemd = self.patience.map(|patience| patience / SIGNS);
        let circus = self.pulse.as_ref().map(|pulse| pulse.interval);
        systemd.into_iter().chain(circus).min()
    }

    /// A sign of life, unless every thread of a pool has been at the same request for longer than the manager's
    /// patience.
    fn beat(&mut self, pools: &[Roster]) {
        let are_alive = |patience| pools.iter().all(|pool| is_alive(pool, patience));
        if let Some(socket) = &self.socket
            && self.patience.is_some_and(are_alive)
        {
            send(socket, "WATCHDOG=1");
        }
        if let Some(pulse) = &mut self.pulse
            && are_alive(pulse.interval * SILENT)
        {
            pulse.send();
        }
    }
}

/// Signs of life to Circus's watchdog (circus.plugins.watchdog).
#[derive(Debug)]
struct Pulse {
    socket: UdpSocket,
    interval: Duration,
    heard: Heard,
}

/// What became of the last one, as far as the kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Perhaps,
    No,
}

impl Pulse {
    fn new(Heartbeat { to, interval }: Heartbeat) -> io::Result<Self> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        // Connected, so that the kernel tells with the next one that nobody has listened.
        socket.connect(to)?;
        Ok(Self { socket, interval, heard: Heard::Perhaps })
    }

    /// `pid;timestamp`, the plugin's default `msg_regex`.
    fn send(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("{};{:.3}", std::process::id(), now.as_secs_f64());
        let before = std::mem::replace(&mut self.heard, Heard::Perhaps);
        if let Err(error) = self.socket.send(line.as_bytes()) {
            self.heard = Heard::No;
            if before == Heard::Perhaps {
                tracing::warn!("--heartbeat: Circus's watchdog was not reached, and is tried again: {error}");
            }
        }
    }
}

/// Whether an interpreter serves with a thread that has not been at the same request for `patience`.
fn is_alive(roster: &Roster, patience: Duration) -> bool {
    let serves = |record: &Record| {
        record.stage() == Stage::Serving && record.desks().iter().any(|desk| answers(desk, patience))
    };
    roster.records().iter().any(|record| serves(record))
}

fn answers(desk: &Desk, patience: Duration) -> bool {
    desk.entry().is_none_or(|entry| entry.since.elapsed() < patience)
}

fn status(census: &Census) -> String {
    let pool = |(pool, census): (Option<Pool>, &Census)| {
        let kind = if pool == Some(Pool::Process) { Kind::Process } else { Kind::Interpreter };
        format!("{} of {}", census.count(Stage::Serving), kind.count(census.wanted))
    };
    let serving = census.pools().map(pool).collect::<Vec<_>>().join(", ");
    let what = match &census.reload {
        _ if census.stopping => "stopping",
        crate::census::Reload::Running { .. } => "reloading",
        crate::census::Reload::Failed { .. } => "the last reload failed, the old code serves",
        _ => "serving",
    };
    format!("{serving}: {what}")
}

/// Microseconds of CLOCK_MONOTONIC: by them systemd tells which reload is meant.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// The socket of that name: a path, or with `@` one of the abstract names.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the reactor.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address(name)?)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    match name.as_bytes() {
        [b'@', abstracted @ ..] => SocketAddr::from_abstract_name(abstracted),
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}

/// What the environment says of the manager.
pub fn manager(env: &dyn Fn(&str) -> Option<OsString>) -> Manager {
    let number =
        |name: &str| env(name).and_then(|text| text.to_str().and_then(|text| text.parse::<u64>().ok()));
    // Meant for another process, where it is inherited by mistake (sd_watchdog_enabled(3)).
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    Manager {
        notify: env("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
        watchdog: number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(Duration::from_micros),
        heartbeat: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::Reload;

    fn told(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
            .flat_map(|text| String::from_utf8(text).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn listener(name: &str) -> (UnixDatagram, Notify) {
        let path = std::env::temp_dir().join(format!("chaussette-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let env = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some("3000000".into()),
            _ => None,
        };
        let notify = Notify::new(&manager(&env));
        std::fs::remove_file(&path).unwrap();
        (socket, notify)
    }

    #[test]
    fn each_change_is_told_once() {
        let (socket, mut notify) = listener("notify");
        let mut census = Census { wanted: 2, ..Census::default() };
        notify.tell(&census);
        notify.tell(&census);
        assert_eq!(told(&socket), ["READY=1", "STATUS=0 of 2 interpreters: serving"]);
        census.reload = Reload::Running { since: Duration::ZERO, queued: false };
        notify.tell(&census);
        let lines = told(&socket);
        assert_eq!(lines[0], "RELOADING=1");
        let usec: i64 = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(usec > 0 && usec <= monotonic());
        census.reload = Reload::Failed { ago: Duration::ZERO, why: String::new() };
        notify.tell(&census);
        assert_eq!(told(&socket)[0], "READY=1");
        census.stopping = true;
        notify.tell(&census);
        assert_eq!(told(&socket)[0], "STOPPING=1");
    }

    #[test]
    fn a_sign_of_life_needs_an_interpreter_that_answers() {
        let (socket, mut notify) = listener("watchdog");
        assert_eq!(notify.heart.interval(), Some(Duration::from_millis(1500)));
        let (_dispatcher, queue) = crate::dispatch::queue(1, std::sync::Arc::default());
        let roster = Roster::new(queue);
        notify.heart.beat(std::slice::from_ref(&roster));
        assert_eq!(told(&socket), Vec::<String>::new());
        let record = roster.register(0);
        record.desk();
        record.reach(Stage::Serving);
        notify.heart.beat(std::slice::from_ref(&roster));
        assert_eq!(told(&socket), ["WATCHDOG=1"]);
    }

    #[test]
    fn circus_is_told_the_process_and_the_time() {
        let watchdog = UdpSocket::bind("127.0.0.1:0").unwrap();
        watchdog.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let interval = Duration::from_secs(20);
        let heartbeat = Some(Heartbeat { to: watchdog.local_addr().unwrap(), interval });
        let mut notify = Notify::new(&Manager { heartbeat, ..Manager::default() });
        assert_eq!(notify.heart.interval(), Some(interval));
        let (_dispatcher, queue) = crate::dispatch::queue(1, std::sync::Arc::default());
        let roster = Roster::new(queue);
        notify.heart.beat(std::slice::from_ref(&roster));
        let record = roster.register(0);
        record.desk();
        record.reach(Stage::Serving);
        notify.heart.beat(std::slice::from_ref(&roster));
        let mut buffer = [0; 100];
        let length = watchdog.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let (pid, time) = text.split_once(';').unwrap();
        assert_eq!(pid, std::process::id().to_string());
        assert!(time.parse::<f64>().unwrap() > 1.7e9);
        watchdog.set_nonblocking(true).unwrap();
        // The first beat, when nobody served, was none.
        assert!(watchdog.recv(&mut buffer).is_err());
    }

    #[test]
    fn another_process_s_watchdog_is_not_ours() {
        let env = |name: &str| match name {
            "WATCHDOG_USEC" => Some(OsString::from("1000")),
            "WATCHDOG_PID" => Some("1".into()),
            _ => None,
        };
        assert_eq!(manager(&env), Manager::default());
    }
}
