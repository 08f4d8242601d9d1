//! One rolling reload, from the word to the last interpreter of the older code.

use std::time::Duration;

use tokio::time::Instant;

use crate::census::ReloadState;

/// A reload under way.
#[derive(Debug)]
pub(super) struct Reload {
    /// What its interpreters carry.
    pub(super) generation: u64,
    /// What is aimed at again, should it fail.
    pub(super) before: u64,
    pub(super) began: Instant,
    pub(super) proof: Proof,
    /// Since when another one waits.
    pub(super) queued: Option<Instant>,
}

/// Whether the new code is known to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    None,
    Loaded,
}

impl Reload {
    pub(super) fn new(generation: u64, before: u64) -> Self {
        Self { generation, before, began: Instant::now(), proof: Proof::None, queued: None }
    }

    /// When a load that does not end is given up for the reload that waits. Without one it may take for ever: the
    /// older code serves.
    pub(super) fn patience_ends(&self, patience: Duration) -> Option<Instant> {
        self.queued.filter(|_| self.proof == Proof::None).map(|since| since + patience)
    }

    pub(super) fn state(&self) -> ReloadState {
        ReloadState::Running { since: self.began.into_std(), queued: self.queued.is_some() }
    }

    pub(super) fn done(&self) -> ReloadState {
        ReloadState::Done { at: std::time::Instant::now(), took: self.began.elapsed() }
    }
}

pub(super) fn failed(why: &str) -> ReloadState {
    // The census has room for a line: of a traceback the last one says the most.
    let why = why.lines().next_back().unwrap_or_default().trim().to_owned();
    ReloadState::Failed { at: std::time::Instant::now(), why }
}
