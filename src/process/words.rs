//! What is said over a cord: orders to a process, and its words. Plain data.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::application::LoadError;
use crate::census::Identity;
use crate::config::LogLevel;
use crate::reload::{Made, Sources};

/// From the server to a zygote or a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To a zygote, once: what its workers are to load, as whoever loads it reads it.
    Begin { settings: String },
    /// To a zygote: a worker. Its cord is the descriptor.
    Fork { ticket: u64, birth: Birth },
    /// To a zygote: end this child of yours at once.
    Kill { pid: i32 },
    /// To a worker: one more thread serves, the first time the one that has loaded. The descriptors are its lane, and
    /// what it has of requests that are sent ahead: the tokens and the bell.
    Serve { lane: u64 },
    /// To a worker: raise an exception in the thread at `lane`, while it has the request of this number.
    Interrupt { lane: u64, serial: u64, ticket: u64 },
    /// To a worker: nobody reads the reply to this request.
    Lose { lane: u64, serial: u64, why: Loss },
}

/// Which worker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    pub number: u64,
    pub place: usize,
    pub generation: u64,
}

impl From<Identity> for Birth {
    fn from(Identity { number, place, generation }: Identity) -> Self {
        Self { number, place, generation }
    }
}

impl From<Birth> for Identity {
    fn from(Birth { number, place, generation }: Birth) -> Self {
        Self { number, place, generation }
    }
}

/// Why nobody reads a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    Discarded,
    Gone,
    Revoked,
}

/// From a zygote or a worker to the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Word {
    /// A line for the log.
    Said {
        level: Level,
        text: String,
    },
    /// What the application is made of.
    Made {
        since: SystemTime,
        files: Vec<PathBuf>,
        folders: Vec<PathBuf>,
    },
    /// A zygote has loaded what there is to load before a fork; a worker its application, of this name.
    Ready {
        name: String,
    },
    Failed {
        error: LoadError,
    },
    Forked {
        ticket: u64,
        pid: i32,
    },
    NotForked {
        ticket: u64,
        why: String,
    },
    /// A child of a zygote has ended.
    Died {
        pid: i32,
        how: String,
    },
    /// An interruption is over, and this is the stack where it found the thread, unless it came too late.
    Found {
        ticket: u64,
        stack: Option<String>,
    },
    /// It ends, with so much to say about it.
    Leaves {
        left: Option<String>,
    },
}

impl Word {
    /// Hears what any process says, a line or a file; gives back what only one kind of them does.
    pub(super) fn overheard(self, sources: Option<&Sources>) -> Option<Self> {
        match self {
            Self::Said { level, text } => level.log(&text),
            Self::Made { since, files, folders } => {
                if let Some(sources) = sources {
                    sources.made(Made { since, files, folders });
                }
            }
            other => return Some(other),
        }
        None
    }
}

/// [`LogLevel`], as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    Critical,
    Error,
    Warning,
    Info,
    Debug,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Critical => Self::Critical,
            LogLevel::Error => Self::Error,
            LogLevel::Warning => Self::Warning,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Critical => Self::Critical,
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}

impl Level {
    /// Writes a line of another process to the log of this one.
    pub(super) fn log(self, text: &str) {
        match self {
            Self::Critical => crate::logging::critical(text),
            Self::Error => tracing::error!("{text}"),
            Self::Warning => tracing::warn!("{text}"),
            Self::Info => tracing::info!("{text}"),
            Self::Debug => tracing::debug!("{text}"),
        }
    }
}
