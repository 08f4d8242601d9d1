//! `--check`: the application is loaded in processes that are thrown away, and nothing is served.

use std::time::Duration;

/// Seconds for each of these processes. Twice what the slowest applications take to be imported on a machine that is
/// busy: beyond it, something waits that does not answer.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be checked and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub report: Report,
    /// For each process that loads the application.
    pub timeout: Duration,
    /// The options that the command line named: the command that is recommended repeats them.
    pub given: Vec<Given>,
}

/// An option as the command line named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Without its dashes.
    pub name: String,
    /// None for one that takes no value; several for one that was repeated.
    pub values: Vec<String>,
}

/// Who reads what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    Text,
    Json,
}
