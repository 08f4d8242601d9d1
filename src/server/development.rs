//! The server of who writes the application: `--reload`.
//!
//! A change of a file asks for a reload. An application that cannot be loaded at the start does not end the process:
//! its report is the answer until a file is saved. Where interpreters cannot be replaced, in the main one, the process
//! begins anew in its place, with its listening sockets.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::application::Home;
use crate::census::{Command, Commands, Outcome};
use crate::config::Reload;
use crate::listener::{Kept, Listener};
use crate::logging;
use crate::reload::{Caretaker, Changes, Sources, WatchError, watch};
use crate::server::Stopped;
use crate::server::queues::Queues;
use crate::shutdown::Drainer;

/// Changed files that a line names.
const NAMED: usize = 3;

/// How long a process that begins anew waits for requests in flight, which get a report for an answer. 2 s: they need
/// no Python.
const IN_FLIGHT: Duration = Duration::from_secs(2);

/// What there is with `--reload`, and nothing without.
#[derive(Debug)]
pub(super) struct Development {
    sources: Option<Sources>,
    changes: Option<Changes>,
    kept: Option<Kept>,
    /// The process shall begin anew.
    anew: Arc<AtomicBool>,
    /// Answers to the last, where the process begins anew.
    caretakers: Vec<Caretaker>,
}

/// A load at the start that failed, and how the process is to be left if there is no other.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) report: String,
    pub(super) home: Home,
    pub(super) stopped: Stopped,
}

/// Why there is no `--reload`.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReload {
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("--reload: cannot keep the listening sockets: {0}")]
    Sockets(#[from] io::Error),
}

impl Development {
    pub(super) fn begin(reload: Option<&Reload>, listeners: &[Listener]) -> Result<Self, NoReload> {
        let watched = reload.map(|reload| watch(&reload.include)).transpose()?;
        let (sources, changes) = watched.unzip();
        let kept = reload.map(|_| Kept::of(listeners)).transpose()?;
        Ok(Self { sources, changes, kept, anew: Arc::default(), caretakers: Vec::new() })
    }

    pub(super) fn is_on(&self) -> bool {
        self.sources.is_some()
    }

    /// Starts the workers; with `--reload` as often as it takes, and clients get the report meanwhile.
    pub(super) async fn start<T>(
        &mut self,
        mut start: impl AsyncFnMut(Option<Sources>) -> Result<T, Failed>,
        queues: &Queues,
    ) -> Result<T, Stopped> {
        loop {
            let Failed { report, home, stopped } = match start(self.sources.clone()).await {
                Ok(started) => return Ok(started),
                Err(failed) => failed,
            };
            let Some(changes) = &mut self.changes else {
                logging::critical(report);
                return Err(stopped);
            };
            tracing::error!("{report}");
            tracing::info!("--reload: this report is the answer to every request until a file is saved");
            let caretakers: io::Result<Vec<_>> =
                queues.iter().map(|one| Caretaker::new(&one.queue, &report)).collect();
            if let Err(error) = &caretakers {
                tracing::warn!("--reload: nobody answers meanwhile: cannot start a thread: {error}");
            }
            say(&changes.next().await);
            if home == Home::Main {
                // What it has imported before it failed would not be imported again.
                self.anew.store(true, Ordering::Relaxed);
                self.caretakers = caretakers.unwrap_or_default();
                return Err(stopped);
            }
        }
    }

    /// From here on a change asks for a reload; in the main interpreter for a stop, after which the process begins
    /// anew.
    pub(super) fn follow(&mut self, home: Home, commands: Commands) {
        let Some(mut changes) = self.changes.take() else { return };
        let anew = Arc::clone(&self.anew);
        // It ends with the reactor.
        tokio::spawn(async move {
            loop {
                say(&changes.next().await);
                let outcome = match home {
                    Home::OwnGil | Home::Process => commands.ask(Command::Reload).await,
                    Home::Main => {
                        anew.store(true, Ordering::Relaxed);
                        commands.ask(Command::Stop).await
                    }
                };
                match outcome {
                    Outcome::Accepted(_) | Outcome::Unchanged(_) => {}
                    Outcome::Refused(why) => tracing::warn!("--reload: {why}"),
                }
            }
        });
    }

    /// How the process is left if nothing was started: if it begins anew, after what is in flight.
    pub(super) async fn end_of_start(
        self,
        stopped: Stopped,
        serving: Pin<&mut impl Future<Output = io::Result<()>>>,
        drainer: &Drainer,
    ) -> Stopped {
        if self.anew.load(Ordering::Relaxed) {
            drainer.drain();
            // Who has not sent a request by then gets no answer.
            let _ = timeout(IN_FLIGHT, serving).await;
        }
        self.end(stopped)
    }

    /// How the process is left, which has ended as `stopped`.
    pub(super) fn end(self, stopped: Stopped) -> Stopped {
        let anew = self.kept.filter(|_| self.anew.load(Ordering::Relaxed));
        Stopped { anew, ..stopped }
    }
}

fn say(changed: &[PathBuf]) {
    let here = std::env::current_dir().unwrap_or_default();
    let names = changed.iter().take(NAMED).map(|path| path.strip_prefix(&here).unwrap_or(path).display());
    let names = names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    match changed.len().saturating_sub(NAMED) {
        0 => tracing::info!("--reload: {names} has changed"),
        more => tracing::info!("--reload: {names} and {more} more have changed"),
    }
}
