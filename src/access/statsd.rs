//! Figures of requests and of log lines, pushed to a statsd.
//!
//! Owns the socket and the datagram that is being filled. Rule: nothing here waits. What the socket does not take is
//! lost, as it is between here and statsd anyway, and counted. Names are gunicorn's behind the prefix.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Line, TICK};
use crate::census::{Roster, Stage};
use crate::config::{self, StatsdAddress};
use crate::logging::{Counts, LEVELS};

/// Bytes of a datagram at most. 1,432: what one frame of Ethernet holds behind the headers of IPv6, UDP and a tunnel;
/// statsd's own advice. A larger one is cut into fragments, and lost when one of them is.
const DATAGRAM: usize = 1432;

/// How often it is told that datagrams were lost. A minute: a statsd that is not there is no news each second.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Statsd {
    socket: Socket,
    address: StatsdAddress,
    prefix: String,
    datagram: String,
    counts: Arc<Counts>,
    /// Log lines that were told of, by level.
    counted: [u64; LEVELS.len()],
    lost: u64,
    told: Option<Instant>,
    gauged: Option<Instant>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    /// Named with each datagram: the statsd behind a path may be started again.
    Unix(UnixDatagram, PathBuf),
}

impl Statsd {
    /// Opens the socket. An error names the option. Whether anybody listens is not known with datagrams.
    pub fn open(config: &config::Statsd, counts: Arc<Counts>) -> io::Result<Self> {
        let address = config.address.clone();
        let socket = Socket::open(&address).map_err(|cause| {
            io::Error::new(cause.kind(), format!("--statsd {address}: cannot be sent to: {cause}"))
        })?;
        let prefix = config.prefix.as_str().to_owned();
        let datagram = String::with_capacity(DATAGRAM);
        let counted = Default::default();
        Ok(Self { socket, address, prefix, datagram, counts, counted, lost: 0, told: None, gauged: None })
    }

    /// Tells of requests, and of the log lines since the last time. A time each; what can be summed is.
    pub(super) fn push(&mut self, lines: &[Line], roster: Option<&Roster>) {
        self.requests(lines);
        self.log_lines();
        if let Some(roster) = roster
            && self.gauged.is_none_or(|gauged| gauged.elapsed() >= TICK)
        {
            self.gauged = Some(Instant::now());
            let census = roster.snapshot();
            self.add(format_args!("workers:{}|g", census.count(Stage::Serving)));
            self.add(format_args!("queue:{}|g", census.queue.waiting));
        }
        self.send();
    }

    fn requests(&mut self, lines: &[Line]) {
        let mut statuses = BTreeMap::<u16, u64>::new();
        for line in lines {
            *statuses.entry(line.told_status()).or_default() += 1;
            self.time("request.duration", line.duration);
            if let Some(service) = &line.service {
                self.time("request.queue", service.queued);
            }
        }
        if !lines.is_empty() {
            self.add(format_args!("requests:{}|c", lines.len()));
        }
        for (status, count) in statuses {
            self.add(format_args!("request.status.{status}:{count}|c"));
        }
    }

    fn log_lines(&mut self) {
        for (place, level) in LEVELS.iter().enumerate() {
            let now = self.counts.of(place);
            let new = now - self.counted[place];
            if new > 0 {
                self.counted[place] = now;
                self.add(format_args!("log.{level}:{new}|c"));
            }
        }
    }

    /// In milliseconds, as statsd wants them.
    fn time(&mut self, name: &str, time: Duration) {
        self.add(format_args!("{name}:{:.3}|ms", time.as_secs_f64() * 1e3));
    }

    fn add(&mut self, metric: std::fmt::Arguments<'_>) {
        let before = self.datagram.len();
        // Writing to a String cannot fail.
        let _ = write!(self.datagram, "{}{}{metric}", if before > 0 { "\n" } else { "" }, self.prefix);
        if self.datagram.len() > DATAGRAM && before > 0 {
            let last = self.datagram.split_off(before);
            self.send();
            self.datagram.push_str(last.trim_start_matches('\n'));
        }
    }

    fn send(&mut self) {
        if self.datagram.is_empty() {
            return;
        }
        if let Err(why) = self.socket.send(self.datagram.as_bytes()) {
            self.lost += 1;
            if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                tracing::warn!("statsd {}: {} datagrams were lost: {why}", self.address, self.lost);
                self.told = Some(Instant::now());
                self.lost = 0;
            }
        }
        self.datagram.clear();
    }
}

impl Socket {
    fn open(address: &StatsdAddress) -> io::Result<Self> {
        match address {
            StatsdAddress::Udp(host, port) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), *port))? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
                        Ok(socket) => {
                            socket.set_nonblocking(true)?;
                            return Ok(Self::Udp(socket));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            StatsdAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket, path.clone()))
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let sent = match self {
            // An error of ICMP is of an earlier datagram: this one is sent by asking again.
            Self::Udp(socket) => socket.send(datagram).or_else(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => socket.send(datagram).and(Err(error)),
                _ => Err(error),
            }),
            Self::Unix(socket, path) => socket.send_to(datagram, path),
        };
        sent.map(drop)
    }
}
