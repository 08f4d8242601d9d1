//! Log lines in Chaussette 1.3's format, on standard error or in a file.
//!
//! Owns the format and the descriptor that lines go to. Everyone else says `tracing::info!` and its
//! like, from any thread. Rule: a log that cannot take a line (reader gone, disk full, pipe full)
//! costs that line and never the server: nothing here fails, panics or waits for long.

mod forward;

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

pub use self::forward::forward;
use crate::config::{LogLevel, LogOutput};

/// Target of the events that Python calls CRITICAL, a level that `tracing` lacks.
const CRITICAL: &str = "critical";

/// How long a line waits for a full pipe. Long enough for a reader that is merely busy; short
/// enough that the reactor, which logs too, is not missed. Once a line was lost the next ones wait
/// not at all until one gets through.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes that a pipe found writable takes without blocking (PIPE_BUF, pipe(7)): 4,096 on Linux,
/// 512 on the BSDs. Longer lines, tracebacks mostly, go in pieces of this size.
const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Names of the levels whose lines are counted.
pub const LEVELS: [&str; 3] = ["critical", "error", "warning"];

/// How many lines of each of [`LEVELS`] there were.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; LEVELS.len()]);

impl Counts {
    /// Of the level at that place of [`LEVELS`].
    pub fn of(&self, place: usize) -> u64 {
        self.0[place].load(Ordering::Relaxed)
    }

    fn count(&self, name: &str) {
        for (level, count) in LEVELS.iter().zip(&self.0) {
            if level.eq_ignore_ascii_case(name) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The log of this process, once it has one.
static FILE: OnceLock<Arc<LogFile>> = OnceLock::new();

/// Sends the log events of all threads to `output` from now on, those below `level` left out. Once a process: a
/// program that has had a server before keeps that one's log.
pub fn init(level: LogLevel, output: &LogOutput) -> io::Result<Arc<LogFile>> {
    LazyLock::force(&ZONE);
    if let Some(file) = FILE.get() {
        return Ok(Arc::clone(file));
    }
    let sink = Arc::new(Mutex::new(Sink::open(output)?));
    let file = Arc::new(LogFile { sink, output: output.clone(), counts: Arc::default() });
    tracing::subscriber::set_global_default(subscriber(level, &file)).map_err(io::Error::other)?;
    Ok(Arc::clone(FILE.get_or_init(|| file)))
}

/// What lines are written to.
#[derive(Debug)]
pub struct LogFile {
    sink: Arc<Mutex<Sink>>,
    output: LogOutput,
    counts: Arc<Counts>,
}

impl LogFile {
    /// How many lines there were.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Opens the file of that name again: it was renamed. Standard error stays. An error names the option, and
    /// leaves the old one.
    pub fn reopen(&self) -> io::Result<()> {
        if self.output != LogOutput::Stderr {
            // Opened first: the lines of others wait for no disk.
            let sink = Sink::open(&self.output)?;
            *self.sink.lock() = sink;
        }
        Ok(())
    }
}

/// The local time of the process that was started.
pub fn zone() -> TimeZone {
    ZONE.clone()
}

/// Logs why the process ends. Written at every level.
pub fn critical(message: impl fmt::Display) {
    tracing::error!(target: CRITICAL, "{message}");
}

fn subscriber(level: LogLevel, file: &LogFile) -> impl Subscriber + Send + Sync + use<> {
    let lines = tracing_subscriber::fmt()
        // Else a write that fails would be reported by `eprintln!`, which panics if standard error
        // is what failed. `Output` never fails; this is for the day it does.
        .log_internal_errors(false)
        .with_max_level(Level::TRACE)
        .event_format(Lines(Arc::clone(&file.counts)))
        .with_writer(Output(Arc::clone(&file.sink)))
        .finish();
    lines.with(filter_fn(move |event| is_written(event, level)))
}

fn is_written(event: &Metadata<'_>, level: LogLevel) -> bool {
    let least = match level {
        LogLevel::Critical => return event.target() == CRITICAL,
        LogLevel::Error => Level::ERROR,
        LogLevel::Warning => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    *event.level() <= least
}

/// An event's level, as Python has it.
fn level_of(event: &Metadata<'_>) -> LogLevel {
    match *event.level() {
        Level::ERROR if event.target() == CRITICAL => LogLevel::Critical,
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warning,
        Level::INFO => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

/// Its name there.
fn level_name(event: &Metadata<'_>) -> &'static str {
    match level_of(event) {
        LogLevel::Critical => "CRITICAL",
        LogLevel::Error => "ERROR",
        LogLevel::Warning => "WARNING",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
    }
}

/// The local time of the process that was started. Applications change TZ for their own sake (Django's TIME_ZONE), and
/// with it that of the whole process: the log keeps its own.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// `2026-11-23 15:47:51 [3010] [INFO] `, in local time. 1.3:
/// `%(asctime)s [%(process)d] [%(levelname)s] %(message)s`.
fn write_prefix(out: &mut impl fmt::Write, level: &str) -> fmt::Result {
    let now = jiff::Timestamp::now().to_zoned_datetime(ZONE.clone());
    write!(out, "{} [{}] [{level}] ", now.strftime("%Y-%m-%d %H:%M:%S"), std::process::id())
}

/// The format of one event, and the count of them.
struct Lines(Arc<Counts>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = level_name(event.metadata());
        self.0.count(level);
        write_prefix(&mut out, level)?;
        let mut text = Text::default();
        event.record(&mut text);
        writeln!(out, "{}{}", text.message, text.fields)
    }
}

/// An event's message, kept as it is (tracebacks have many lines), and its fields after it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Where the lines of all threads meet: one at a time, so that they never interleave.
struct Output(Arc<Mutex<Sink>>);

impl<'a> MakeWriter<'a> for Output {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl io::Write for &Output {
    /// Called once an event, with the whole of it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.lock().put(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A descriptor that lines go to, and what it did not take.
#[derive(Debug)]
struct Sink {
    target: Target,
    /// Bytes given to one write(2).
    piece: usize,
    lost: Option<Lost>,
}

#[derive(Debug)]
enum Target {
    Stderr(io::Stderr),
    File(File),
}

/// Lines that the descriptor did not take.
#[derive(Debug)]
struct Lost {
    lines: u64,
    why: io::Error,
    /// The first of them is there in part: its end is missing.
    torn: bool,
}

impl Sink {
    fn open(output: &LogOutput) -> io::Result<Self> {
        let target = match output {
            LogOutput::Stderr => Target::Stderr(io::stderr()),
            // Opened close-on-exec by the standard library. Append: several processes may share
            // it, and each line goes to the end.
            LogOutput::File(path) => {
                Target::File(OpenOptions::new().append(true).create(true).open(path).map_err(|cause| {
                    let text = format!("--log-output {}: cannot open for appending: {cause}", path.display());
                    io::Error::new(cause.kind(), text)
                })?)
            }
        };
        let is_file = fstat(target.as_fd())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Ok(Self { piece: if is_file { usize::MAX } else { PIECE }, target, lost: None })
    }

    /// Writes an event, or counts it as lost.
    fn put(&mut self, event: &[u8]) {
        let patience = match self.report_lost() {
            Ok(()) => PATIENCE,
            Err(_) => return self.lose_one(),
        };
        if let Err((why, torn)) = self.write(event, patience) {
            self.lost = Some(Lost { lines: 1, why, torn });
        }
    }

    fn lose_one(&mut self) {
        if let Some(lost) = &mut self.lost {
            lost.lines += 1;
        }
    }

    /// Says how many lines are missing, if any are. No waiting: the descriptor failed last time.
    fn report_lost(&mut self) -> Result<(), ()> {
        let Some(lost) = &self.lost else { return Ok(()) };
        let mut line = String::from(if lost.torn { "\n" } else { "" });
        // Writing to a String cannot fail.
        let _ = write_prefix(&mut line, "WARNING");
        let _ = writeln!(line, "{} log lines were lost: {}", lost.lines, lost.why);
        self.write(line.as_bytes(), Duration::ZERO).map_err(|_| ())?;
        self.lost = None;
        Ok(())
    }

    /// Writes all bytes, as a rule by one write(2). The error tells whether some were written.
    fn write(&self, bytes: &[u8], patience: Duration) -> Result<(), (io::Error, bool)> {
        let deadline = Instant::now() + patience;
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = self.write_piece(&rest[..rest.len().min(self.piece)], deadline);
            rest = match sent {
                Ok(sent) => &rest[sent..],
                Err(why) => return Err((why, rest.len() < bytes.len())),
            };
        }
        Ok(())
    }

    /// Writes as much as goes into one write(2), waiting for room until the deadline. The
    /// descriptor is shared with strangers, so it may block or not: both are met by asking first.
    fn write_piece(&self, piece: &[u8], deadline: Instant) -> io::Result<usize> {
        use rustix::io::Errno;
        loop {
            if self.piece < usize::MAX {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                let mut asked = [PollFd::from_borrowed_fd(self.target.as_fd(), PollFlags::OUT)];
                match poll(&mut asked, Some(&left)) {
                    Ok(0) => return Err(Errno::WOULDBLOCK.into()),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match rustix::io::write(self.target.as_fd(), piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                // Another process was quicker to fill the pipe: ask again, until the deadline.
                Err(Errno::AGAIN) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stderr(stderr) => stderr.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;

    use super::*;

    fn opened(level: LogLevel, output: &LogOutput) -> impl Subscriber + Send + Sync + use<> {
        let sink = Arc::new(Mutex::new(Sink::open(output).unwrap()));
        subscriber(level, &LogFile { sink, output: output.clone(), counts: Arc::default() })
    }

    /// What is written to a file while `work` runs.
    fn written(level: LogLevel, work: impl FnOnce()) -> String {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = LogOutput::File(PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd())));
        let subscriber = opened(level, &output);
        drop(writer);
        tracing::subscriber::with_default(subscriber, work);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_line_has_the_form_of_1_3() {
        let line = written(LogLevel::Info, || tracing::info!("Serving on localhost:8080"));
        let (time, rest) = line.split_at("2026-11-23 15:47:51".len());
        assert!(jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", time).is_ok(), "{line}");
        assert_eq!(rest, format!(" [{}] [INFO] Serving on localhost:8080\n", std::process::id()));
    }

    #[test]
    fn levels_have_pythons_names() {
        let text = written(LogLevel::Debug, || {
            critical("a");
            tracing::error!("b");
            tracing::warn!("c");
            tracing::debug!("d");
        });
        let levels: Vec<_> = text.lines().map(|line| line.rsplit('[').next().unwrap()).collect();
        assert_eq!(levels, ["CRITICAL] a", "ERROR] b", "WARNING] c", "DEBUG] d"]);
    }

    #[test]
    fn levels_below_the_wanted_one_are_left_out() {
        let all = || {
            critical("a");
            tracing::error!("b");
            tracing::warn!("c");
            tracing::info!("d");
            tracing::debug!("e");
        };
        let lines = |level| written(level, all).lines().count();
        let levels =
            [LogLevel::Critical, LogLevel::Error, LogLevel::Warning, LogLevel::Info, LogLevel::Debug];
        assert_eq!(levels.map(lines), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn fields_follow_the_message_and_its_lines_are_kept() {
        let text = written(LogLevel::Info, || {
            tracing::error!(worker = 3, path = "/a b", "application raised\nTraceback:\n  x");
        });
        assert!(text.ends_with("] application raised\nTraceback:\n  x worker=3 path=/a b\n"), "{text}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_costs_the_line_only() {
        let subscriber = opened(LogLevel::Info, &LogOutput::File("/dev/full".into()));
        tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
    }

    #[test]
    fn a_reader_that_left_costs_the_line_only() {
        let (reader, writer) = io::pipe().unwrap();
        let output = LogOutput::File(PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd())));
        let subscriber = opened(LogLevel::Info, &output);
        drop(reader);
        tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
    }

    #[test]
    fn a_full_pipe_delays_one_line_and_the_loss_is_told_once_there_is_room() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = LogOutput::File(PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd())));
        let subscriber = opened(LogLevel::Info, &output);
        drop(writer);
        tracing::subscriber::with_default(subscriber, || {
            let line = "x".repeat(1000);
            let started = Instant::now();
            // More than any pipe holds: the rest is lost, in far less time than PATIENCE each.
            for _ in 0..2000 {
                tracing::info!("{line}");
            }
            assert!(started.elapsed() < PATIENCE * 20, "{:?}", started.elapsed());
            let mut drained = vec![0; 1 << 20];
            let count = reader.read(&mut drained).unwrap();
            assert!(count > 1000);
            tracing::info!("next");
            tracing::info!("last");
        });
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let warnings = rest.lines().filter(|line| line.contains("] [WARNING] ")).collect::<Vec<_>>();
        assert!(matches!(warnings[..], [line] if line.contains(" log lines were lost: ")), "{warnings:?}");
        assert!(rest.ends_with("[INFO] last\n"));
    }

    #[test]
    fn a_log_file_is_appended_to_and_closed_on_exec() {
        let folder = std::env::temp_dir().join(format!("chaussette-log-{}", std::process::id()));
        std::fs::write(&folder, "before\n").unwrap();
        let sink = Sink::open(&LogOutput::File(folder.clone())).unwrap();
        let flags = rustix::io::fcntl_getfd(sink.target.as_fd()).unwrap();
        sink.write(b"after\n", PATIENCE).unwrap();
        let text = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(text, "before\nafter\n");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let error = Sink::open(&LogOutput::File("/nonexistent/log".into())).err().unwrap();
        assert!(error.to_string().starts_with("--log-output /nonexistent/log: cannot open"), "{error}");
    }
}
