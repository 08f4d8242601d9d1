//! The words of the command line as values: one function a kind of value.
//!
//! Each error says what the word is not and what to write instead; `cli` puts the option and the
//! word before it.

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::RawFd;
use std::str::FromStr as _;
use std::time::Duration;

use clap::builder::{MapValueParser, PossibleValuesParser, TypedValueParser as _};
use http::Uri;

use crate::config::{AccessOutput, Address, Family, Isolation, LogLevel, LogOutput};

/// Interpreters, or threads of one. More than any machine has CPUs; a number above is a slip, and
/// would only end in want of memory minutes later.
const MOST_WORKERS: usize = 1024;

/// Requests that may wait. At some KiB each this is about as much as a process can hold.
const MOST_QUEUED: usize = 1_000_000;

/// Bytes. RFC 9112 §3 wants request lines of 8,000 octets at least, and hyper works with no less.
const LEAST_HEADER_SIZE: usize = 8 * 1024;

/// Bytes, 16 MiB. Each connection may hold as much.
const MOST_HEADER_SIZE: usize = 16 << 20;

/// Header fields. `http::HeaderMap` panics above 24,576.
const MOST_HEADERS: usize = 10_000;

/// MiB of growth: a pebibyte. No machine has more.
const MOST_MEBIBYTES: usize = 1 << 30;

/// Bytes per second, 1 MiB: above it, ordinary clients on slow lines would be cut off.
const MOST_RATE: usize = 1 << 20;

/// Seconds, a year: far above any sense, far below where adding it to an instant overflows.
const MOST_SECONDS: u32 = 365 * 24 * 3600;

/// Requests at once, each in a greenlet: far above what the descriptors of a process allow.
const MOST_SPAWNED: usize = 10_000_000;

/// Connections. listen(2) takes a C int; the kernel cuts it to net.core.somaxconn anyway.
const MOST_BACKLOG: usize = 65_535;

/// `--fd`. 1.3 had -1 for none, and start scripts say so.
#[derive(Debug, Clone, Copy)]
pub(super) enum Descriptor {
    None,
    Inherited(RawFd),
}

/// `--address-family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressFamily {
    Inet(Family),
    Unix,
}

/// `--socket-type`.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamOnly;

/// `--interpreters`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interpreters {
    Auto,
    Count(NonZeroUsize),
}

/// A duration as it stands on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0.as_secs_f64())
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    whole(text, 0, 65_535, "a TCP port").map_err(|cure| format!("{cure}, 0 for any free one"))
}

pub(super) fn descriptor(text: &str) -> Result<Descriptor, String> {
    if let Some(unreplaced) = unreplaced(text) {
        return Err(unreplaced);
    }
    match text.parse() {
        Ok(-1) => Ok(Descriptor::None),
        Ok(fd) if fd >= 0 => Ok(Descriptor::Inherited(fd)),
        // A shell runs $(circus.sockets.NAME) as a command, which gives nothing.
        _ if text.is_empty() => {
            Err("no number: with Circus write $(circus.sockets.NAME), and leave out shell = True".to_owned())
        }
        _ => Err("not a descriptor: use the number of an inherited listening socket".to_owned()),
    }
}

pub(super) fn address(text: &str) -> Result<Address, String> {
    match unreplaced(text) {
        Some(unreplaced) => Err(unreplaced),
        None => Address::from_str(text).map_err(|error| error.to_string()),
    }
}

pub(super) fn backlog(text: &str) -> Result<u32, String> {
    whole(text, 1, MOST_BACKLOG, "a number of connections")
}

pub(super) fn interpreters(text: &str) -> Result<Interpreters, String> {
    if text == "auto" {
        return Ok(Interpreters::Auto);
    }
    whole(text, 1, MOST_WORKERS, "a number of interpreters")
        .map(Interpreters::Count)
        .map_err(|cure| format!("{cure}, or auto"))
}

pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    whole(text, 1, MOST_WORKERS, "a number of threads")
}

pub(super) fn processes(text: &str) -> Result<NonZeroUsize, String> {
    whole(text, 1, MOST_WORKERS, "a number of processes")
}

pub(super) fn queue(text: &str) -> Result<usize, String> {
    whole(text, 1, MOST_QUEUED, "a number of waiting requests")
}

pub(super) fn requests(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a number of requests: use digits only, 0 for never".to_owned())
}

pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    whole(text, 0, MOST_MEBIBYTES, "a number of MiB")
}

pub(super) fn warmup(text: &str) -> Result<Uri, String> {
    let wrong = || "not a path or an http URL: use /health, or http://example.org/health".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let is_path = uri.authority().is_none() && text.starts_with('/');
    let is_url = uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
    if is_path || is_url { Ok(uri) } else { Err(wrong()) }
}

pub(super) fn max_body(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a number of bytes: use digits only, 0 for no limit".to_owned())
}

pub(super) fn min_rate(text: &str) -> Result<u32, String> {
    whole(text, 0, MOST_RATE, "a number of bytes per second")
}

pub(super) fn header_size(text: &str) -> Result<usize, String> {
    whole(text, LEAST_HEADER_SIZE, MOST_HEADER_SIZE, "a number of bytes")
}

pub(super) fn headers(text: &str) -> Result<usize, String> {
    whole(text, 1, MOST_HEADERS, "a number of header fields")
}

/// A whole number in the range, or what is wrong.
fn whole<T: TryFrom<usize>>(text: &str, least: usize, most: usize, what: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("not {what}: use {least} to {most}"))
}

pub(super) fn seconds(text: &str) -> Result<Seconds, String> {
    let number = text.parse().ok().filter(|number| (0.0..=f64::from(MOST_SECONDS)).contains(number));
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.map(Seconds).ok_or_else(|| "not a number of seconds: use 25 or 0.5, say".to_owned())
}

pub(super) fn some_seconds(text: &str) -> Result<Seconds, String> {
    match seconds(text)? {
        Seconds(Duration::ZERO) => Err("would end every request: use more than 0 seconds".to_owned()),
        seconds => Ok(seconds),
    }
}

pub(super) fn named(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("empty: name a Python object, pkg.mod:attr".to_owned());
    }
    Ok(text.to_owned())
}

/// A name of `chaussette.backend`; case does not matter, as nobody has two that differ in it.
pub(super) fn backend(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("empty: name a backend, interpreters or wsgiref, say".to_owned()),
        name => Ok(name.to_lowercase()),
    }
}

pub(super) fn spawn(text: &str) -> Result<u32, String> {
    whole(text, 1, MOST_SPAWNED, "a number of requests")
}

pub(super) fn log_output(text: &str) -> Result<LogOutput, String> {
    match text {
        "-" => Ok(LogOutput::Stderr),
        "" => Err("empty: name a file, or - for standard error".to_owned()),
        path => Ok(LogOutput::File(path.into())),
    }
}

pub(super) fn access_log(text: &str) -> Result<AccessOutput, String> {
    match text {
        "-" => Ok(AccessOutput::Stdout),
        "" => Err("empty: name a file, or - for standard output".to_owned()),
        path => Ok(AccessOutput::File(path.into())),
    }
}

pub(super) fn socket_type(text: &str) -> Result<StreamOnly, String> {
    match text {
        "SOCK_STREAM" => Ok(StreamOnly),
        _ => Err("HTTP needs a byte stream: use SOCK_STREAM, or leave the option out".to_owned()),
    }
}

pub(super) type Choice<T> = MapValueParser<PossibleValuesParser, fn(String) -> T>;

pub(super) fn family() -> Choice<AddressFamily> {
    PossibleValuesParser::new(["AF_INET", "AF_INET6", "AF_UNIX"]).map(|name| match name.as_str() {
        "AF_INET" => AddressFamily::Inet(Family::V4),
        "AF_INET6" => AddressFamily::Inet(Family::V6),
        _ => AddressFamily::Unix,
    })
}

pub(super) fn isolation() -> Choice<Isolation> {
    let names = ["auto", "own-gil", "free-threaded", "process", "main"];
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "own-gil" => Isolation::OwnGil,
        "free-threaded" => Isolation::FreeThreaded,
        "process" => Isolation::Process,
        "main" => Isolation::Main,
        _ => Isolation::Auto,
    })
}

pub(super) fn log_level() -> Choice<LogLevel> {
    let names = ["critical", "error", "warning", "info", "debug"];
    PossibleValuesParser::new(names).map(|name| match name.to_lowercase().as_str() {
        "critical" => LogLevel::Critical,
        "error" => LogLevel::Error,
        "warning" => LogLevel::Warning,
        "debug" => LogLevel::Debug,
        _ => LogLevel::Info,
    })
}

/// What to say of a value in which Circus left its placeholder.
pub(super) fn unreplaced(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let start =
        ["$(circus.", "((circus."].iter().find_map(|start| lower.find(start).map(|at| at + start.len()))?;
    let name = lower[start..].strip_prefix("sockets.")?;
    let name = name.split(')').next().unwrap_or(name);
    Some(format!(
        "Circus did not replace it: the watcher needs use_sockets = True, and there must be a [socket:{name}]"
    ))
}
