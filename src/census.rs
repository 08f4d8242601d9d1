//! What is known of each interpreter and of the queue, readable by anybody without a GIL.
//!
//! Owns the records of the living, the counts of those that have ended, and the way to ask for a change of
//! either. Knows neither HTTP nor Python. Rules: to read it waits for nobody who runs Python; what is written for
//! each request is written by one thread, to a desk of its own.

mod commands;
mod desk;
pub mod metrics;
mod overdue;
mod record;
mod resident;
mod roster;
pub mod status;
pub mod table;
mod view;

pub use commands::{Commands, Order, Orders};
pub use desk::{Closed, Desk, Entry, Thread};
pub use overdue::{Access, Overdue};
pub use record::{Identity, Record, Visit};
pub use resident::resident;
pub use roster::{Counters, ReloadState, Roster, Whole};
pub use view::{Census, Current, Interpreter, Kind, Part, Pool, Queue, Reason, Reload, Stage, Totals};

/// What can be asked of the supervisor while it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Replace every interpreter, in every pool, by one that imports the application afresh.
    Reload,
    /// So many in this pool, within its limits.
    Scale(Pool, usize),
    /// One more, or one fewer, in the pool of the interpreters.
    More,
    Fewer,
    /// Accept no more, answer what is in flight, end.
    Stop,
}

/// What became of a [`Command`], for who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way.
    Accepted(String),
    /// It changes nothing: already so, or queued behind the same.
    Unchanged(String),
    /// It cannot be done here: why, and what can.
    Refused(String),
}
