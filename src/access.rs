//! The access log: a line for each request, written by a thread of its own; the same thread tells a statsd.
//!
//! Owns the lines that wait, and what becomes of them. Whoever answers requests holds an [`Entry`] meanwhile;
//! dropping it is the line. Rule: nobody who serves ever waits for a disk or a reader. What cannot be kept is
//! counted, and the log says how much that was.

mod line;
mod output;
mod statsd;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use parking_lot::{Condvar, Mutex};

pub use self::line::{Asked, Line};
use self::output::Output;
pub use self::statsd::Statsd;
use crate::census::Roster;
use crate::config::{Access, AccessFormat};
use crate::logging;

/// Lines that wait at most. 16,384: a second and more of what two cores serve; some 10 MiB if all have long targets.
const WAITING: usize = 16 * 1024;

/// Lines that wake the writer before [`GATHER`] is over: one write(2) of some KiB.
const BATCH: usize = 256;

/// How long the writer gathers lines after the first one, so that it wakes ten times a second and not for each.
const GATHER: Duration = Duration::from_millis(100);

/// How often lost lines are told of.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often a statsd is told gauges, and log lines while no request comes. 1 s: a tenth of what statsd gathers for.
const TICK: Duration = Duration::from_secs(1);

/// What the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);

/// The log while it is open. Dropped, it writes what waits, and closes.
#[derive(Debug)]
pub struct AccessLog {
    lines: Lines,
    ended: Receiver<()>,
}

/// Where lines are left. Each clone leaves them in the same log.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    called: Condvar,
    /// Header fields that are kept of a request, and of its answer.
    kept: [Vec<HeaderName>; 2],
    /// The writer gives up on an output that takes nothing.
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Line>,
    lost: u64,
    reopen: bool,
    /// What gauges are read off, once it is there.
    roster: Option<Roster>,
    /// The writer sleeps until there is something.
    asleep: bool,
}

/// A request whose answer is under way. Dropped before [`Entry::complete`], it is a line that says so.
#[derive(Debug)]
pub struct Entry {
    /// Taken by the drop only.
    line: Option<Box<Line>>,
    began: Instant,
    lines: Lines,
}

impl AccessLog {
    /// Opens the log's output, and begins. An error names the option.
    pub fn open(log: Option<&Access>, statsd: Option<Statsd>) -> io::Result<Self> {
        let format = log.map(|access| access.format.clone());
        let kept = format.as_ref().map(|format| [format.request.clone(), format.response.clone()]);
        let shared = Shared {
            state: Mutex::default(),
            called: Condvar::new(),
            kept: kept.unwrap_or_default(),
            closing: AtomicBool::new(false),
        };
        let lines = Lines(Arc::new(shared));
        let (say_ended, ended) = channel();
        let output = log.map(|access| Output::open(&access.output)).transpose()?;
        let writer = Writer {
            lines: lines.clone(),
            log: output.zip(format),
            statsd,
            zone: logging::zone(),
            lost: 0,
            told: None,
        };
        let write = move || {
            writer.run();
            // Nobody listens when the end was not waited for.
            let _ = say_ended.send(());
        };
        std::thread::Builder::new().name("chaussette-access".to_owned()).spawn(write)?;
        Ok(Self { lines, ended })
    }

    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines.0.closing.store(true, Ordering::Relaxed);
        self.lines.call();
        if self.ended.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
            let left = self.lines.0.state.lock().waiting.len();
            tracing::warn!("access log: it takes nothing: at least {left} lines were lost at the end");
        }
    }
}

impl Lines {
    /// Opens the output again by its name, once the lines that wait now are written: it was renamed.
    pub fn reopen(&self) {
        self.0.state.lock().reopen = true;
        self.call();
    }

    /// Tells the statsd, if there is one, how the whole is from now on.
    pub fn observe(&self, roster: Roster) {
        self.0.state.lock().roster = Some(roster);
    }

    fn call(&self) {
        drop(self.0.state.lock());
        self.0.called.notify_one();
    }

    fn leave(&self, line: Line) {
        let mut state = self.0.state.lock();
        if state.waiting.len() >= WAITING {
            state.lost += 1;
            return;
        }
        state.waiting.push(line);
        let calls = std::mem::take(&mut state.asleep) || state.waiting.len() == BATCH;
        drop(state);
        if calls {
            self.0.called.notify_one();
        }
    }

    /// A request that begins now, with these header fields.
    #[must_use]
    pub fn entry(&self, mut line: Line, headers: &HeaderMap) -> Entry {
        line.request = self.keep(0, headers);
        Entry { line: Some(Box::new(line)), began: Instant::now(), lines: self.clone() }
    }
}

impl Lines {
    fn keep(&self, side: usize, headers: &HeaderMap) -> Box<[Option<HeaderValue>]> {
        self.0.kept[side].iter().map(|name| joined(headers, name)).collect()
    }
}

/// Several fields of a name are one list (RFC 9110 §5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut rest = values.peekable();
    if rest.peek().is_none() {
        return Some(first.clone());
    }
    let all = rest.fold(first.as_bytes().to_vec(), |all, next| [&all, &b", "[..], next.as_bytes()].concat());
    HeaderValue::from_bytes(&all).ok()
}

impl Entry {
    /// The answer begins, with these header fields, and a Content-Length of `whole` where they have none and it is
    /// not 0.
    pub fn answered(&mut self, headers: &HeaderMap, whole: u64) {
        let Some(line) = &mut self.line else { return };
        line.response = self.lines.keep(1, headers);
        for (name, kept) in self.lines.0.kept[1].iter().zip(&mut line.response) {
            if *name == CONTENT_LENGTH && whole > 0 {
                kept.get_or_insert_with(|| HeaderValue::from(whole));
            }
        }
    }

    /// Notes what has become known.
    pub fn note(&mut self, note: impl FnOnce(&mut Line)) {
        if let Some(line) = &mut self.line {
            note(line);
        }
    }

    /// The client has the whole answer.
    pub fn complete(mut self) {
        self.note(|line| line.complete = true);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.duration = self.began.elapsed();
            self.lines.leave(*line);
        }
    }
}

/// The thread that writes.
struct Writer {
    lines: Lines,
    log: Option<(Output, AccessFormat)>,
    statsd: Option<Statsd>,
    zone: TimeZone,
    /// Lines that were lost and not told of yet.
    lost: u64,
    told: Option<Instant>,
}

/// What is to be done in one turn.
struct Turn {
    lines: Vec<Line>,
    lost: u64,
    reopen: bool,
    roster: Option<Roster>,
    last: bool,
}

impl Writer {
    fn run(mut self) {
        let mut text = Vec::new();
        loop {
            let turn = self.wait();
            self.lost += turn.lost;
            if let Some(statsd) = &mut self.statsd {
                statsd.push(&turn.lines, turn.roster.as_ref());
            }
            let mut written = Ok(());
            if let Some((output, format)) = &mut self.log {
                text.clear();
                for line in &turn.lines {
                    line.write(format, &self.zone, &mut text);
                }
                written = output.write(&text, &self.lines.0.closing);
                if turn.reopen
                    && let Err(error) = output.reopen()
                {
                    tracing::error!("{error}; the old one is written on");
                }
            }
            self.tell(written);
            if turn.last {
                return;
            }
        }
    }

    /// Waits for lines, and some time for more of them.
    fn wait(&self) -> Turn {
        let shared = &self.lines.0;
        let closing = || shared.closing.load(Ordering::Relaxed);
        let mut state = shared.state.lock();
        while state.waiting.is_empty() && !state.reopen && !closing() {
            state.asleep = true;
            if self.statsd.is_none() {
                shared.called.wait(&mut state);
            } else if shared.called.wait_for(&mut state, TICK).timed_out() {
                break;
            }
        }
        state.asleep = false;
        let until = Instant::now() + GATHER;
        while !state.waiting.is_empty() && state.waiting.len() < BATCH && !state.reopen && !closing() {
            if shared.called.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        Turn {
            // Asked before the lines are taken: whoever closes has left its last line.
            last: closing(),
            lines: std::mem::take(&mut state.waiting),
            lost: std::mem::take(&mut state.lost),
            reopen: std::mem::take(&mut state.reopen),
            roster: self.statsd.as_ref().and_then(|_| state.roster.clone()),
        }
    }

    /// Says now and then, and at the end, what was lost.
    fn tell(&mut self, written: Result<(), output::Lost>) {
        let closing = self.lines.0.closing.load(Ordering::Relaxed);
        let why = match written {
            Ok(()) => "they came faster than they can be written".to_owned(),
            Err(output::Lost { lines, why }) => {
                self.lost += lines;
                why.to_string()
            }
        };
        let due = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if self.lost > 0 && (due || closing) {
            tracing::warn!("access log: {} lines were lost: {why}", self.lost);
            self.told = Some(Instant::now());
            self.lost = 0;
        }
    }
}
