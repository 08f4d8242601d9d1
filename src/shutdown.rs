//! How the process learns what is asked of it by signals, and how its parts learn that it ends.
//!
//! Owns the signal handlers and the drain token. Turns each signal into an [`Ask`] for `server`,
//! which alone decides, and spreads the decision as a [`Drain`]. Knows neither HTTP nor Python.

use std::io;

use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::census::Command;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Accept no more, answer what is in flight, end: the first TERM or INT.
    Graceful,
    /// End now: QUIT, or TERM or INT once more.
    Quick,
    /// Another crew: HUP, TTIN, TTOU.
    Change(Command),
    /// A signal, by name, that has no meaning yet but would end the process if nobody listened.
    Ignored(&'static str),
}

/// Whoever may ask this server to end: the signals of the process, or the program that it is a part of.
#[derive(Debug)]
pub enum Signals {
    /// From [`Signals::install`] on.
    Process(ProcessSignals),
    /// The signals are the program's own.
    Program(mpsc::UnboundedReceiver<Ask>),
}

impl Signals {
    /// Takes the signals of the process over: see [`ProcessSignals::install`].
    pub fn install() -> io::Result<Self> {
        ProcessSignals::install().map(Self::Process)
    }

    /// Waits for the next ask. Cancel-safe: one that is not returned is returned by the next call.
    pub async fn next(&mut self) -> Ask {
        match self {
            Self::Process(signals) => signals.next().await,
            // A program that has dropped its end can ask no more.
            Self::Program(asks) => match asks.recv().await {
                Some(ask) => ask,
                None => std::future::pending().await,
            },
        }
    }
}

/// The signals of this process.
#[derive(Debug)]
pub struct ProcessSignals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    ttin: Signal,
    ttou: Signal,
    asked: Asked,
}

/// Whether a TERM or INT has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Never,
    Once,
}

impl ProcessSignals {
    /// Takes the signals over, those of CPython too (its SIGINT would raise KeyboardInterrupt in
    /// the main interpreter). Needs a tokio runtime with its I/O on. Signals that come before the
    /// first [`ProcessSignals::next`] are kept.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            ttin: signal(SignalKind::from_raw(rustix::process::Signal::TTIN.as_raw()))?,
            ttou: signal(SignalKind::from_raw(rustix::process::Signal::TTOU.as_raw()))?,
            asked: Asked::Never,
        })
    }

    /// Waits for the next signal. Cancel-safe: a signal not returned is returned by the next call.
    pub async fn next(&mut self) -> Ask {
        select! {
            // QUIT first: when both are there, the quicker end is meant.
            biased;
            _ = self.quit.recv() => Ask::Quick,
            _ = self.term.recv() => self.stop(),
            _ = self.int.recv() => self.stop(),
            _ = self.hup.recv() => Ask::Change(Command::Reload),
            _ = self.usr1.recv() => Ask::Ignored("SIGUSR1"),
            _ = self.usr2.recv() => Ask::Ignored("SIGUSR2"),
            _ = self.ttin.recv() => Ask::Change(Command::More),
            _ = self.ttou.recv() => Ask::Change(Command::Fewer),
        }
    }

    /// The meaning of a TERM or INT: each but the first is impatience.
    fn stop(&mut self) -> Ask {
        match std::mem::replace(&mut self.asked, Asked::Once) {
            Asked::Never => Ask::Graceful,
            Asked::Once => Ask::Quick,
        }
    }
}

/// How far the end has come. It only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Quick,
}

/// A new drain token, in the state Serving, and what moves it on.
#[must_use]
pub fn drain() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Drainer(sender), Drain(receiver))
}

/// Moves the drain token on. Dropped, it counts as Quick: whoever would have ended the wait is gone.
#[derive(Debug)]
pub struct Drainer(watch::Sender<Phase>);

impl Drainer {
    /// Accept no more, answer what is in flight.
    pub fn drain(&self) {
        self.reach(Phase::Draining);
    }

    /// Leave what is in flight.
    pub fn quick(&self) {
        self.reach(Phase::Quick);
    }

    fn reach(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }
}

/// Tells its holder that the end is asked for. Each clone waits by itself.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

impl Drain {
    /// Waits until no more shall be accepted; at once if that is already so.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until what is in flight shall be left too.
    pub async fn quick(&self) {
        self.reached(Phase::Quick).await;
    }

    /// Whether no more shall be accepted.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        // `has_changed` is an error exactly when the `Drainer` is gone.
        *self.0.borrow() >= Phase::Draining || self.0.has_changed().is_err()
    }

    async fn reached(&self, phase: Phase) {
        // A clone, so that waiting needs no exclusive access. The error says that the `Drainer`
        // is gone, which counts as Quick.
        let _ = self.0.clone().wait_for(|now| *now >= phase).await;
    }
}
