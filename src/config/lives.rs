//! How long interpreters live, and how many of them: the settings.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use http::Uri;

/// A tenth of a limit is what it varies by, unless told otherwise: enough that interpreters which began together
/// do not come to it together.
pub const DEFAULT_JITTER_SHARE: u32 = 10;

/// Twice `--interpreters` at most: what grows is memory, and half of it was planned for.
const DEFAULT_MOST_SHARE: usize = 2;

/// When interpreters are replaced, and what is demanded of those that replace them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lives {
    /// Requests after which one is replaced, and how many more at most, by chance.
    pub max_requests: Option<NonZeroU64>,
    pub max_requests_jitter: u64,
    /// Time after which one is replaced, and how much more at most, by chance.
    pub max_lifetime: Option<Duration>,
    pub max_lifetime_jitter: Duration,
    /// Interpreters kept loaded for the next replacement.
    pub spares: usize,
    /// What each must answer before it takes requests: a path or an URL.
    pub warmup: Option<Uri>,
    /// Bytes by which the process may grow before it asks to be started again.
    pub max_growth: Option<NonZeroU64>,
}

/// How many interpreters there may be. `least <= most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub least: NonZeroUsize,
    pub most: NonZeroUsize,
}

impl Bounds {
    /// What holds for a start with so many.
    #[must_use]
    pub fn around(interpreters: NonZeroUsize) -> Self {
        Self {
            least: NonZeroUsize::MIN,
            most: interpreters.saturating_mul(NonZeroUsize::MIN.saturating_add(DEFAULT_MOST_SHARE - 1)),
        }
    }

    /// `number`, or the nearest that is allowed.
    #[must_use]
    pub fn clamp(self, number: usize) -> usize {
        number.clamp(self.least.get(), self.most.get())
    }
}
