//! How long a request may take, and what is done about one that takes longer.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Seconds that a request may wait for a free worker. 60: nginx, HAProxy and browsers' patience end there, so what
/// has waited as long is mostly for nobody; a client that would wait longer had better come again.
pub const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Seconds in which an interrupted request must be done. 5: enough to roll a transaction back.
pub const DEFAULT_TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// Deadlines of requests. `None`: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From when the application gets a request until it has done with it, without the time in which it waits for
    /// the client. None by default: an application may answer slowly, stream or poll for as long as it likes, as
    /// it could with 1.3, and only who runs it knows what is too long.
    pub request: Option<Duration>,
    /// From the request's timeout until the thread is given up.
    pub grace: Duration,
    /// For a free worker.
    pub queue: Option<Duration>,
    /// Threads that are given up at the same time before the process ends. `None`: half of the interpreters, or of
    /// the threads where there is one interpreter for all; at least one.
    pub most_stuck: Option<NonZeroUsize>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: None,
            grace: DEFAULT_TIMEOUT_GRACE,
            queue: Some(DEFAULT_QUEUE_TIMEOUT),
            most_stuck: None,
        }
    }
}
