//! Moments that another process understands: the clock behind [`Instant`] is the machine's.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// One moment by both names, which tells all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    moment: Instant,
    nanoseconds: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let (seconds, rest) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        let nanoseconds = seconds.unwrap_or(0) * 1_000_000_000 + rest.unwrap_or(0);
        Self { moment: Instant::now(), nanoseconds }
    }

    /// What another process is told of a moment, not before this was made.
    pub(super) fn told(self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.moment).as_nanos();
        self.nanoseconds.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The moment that it told of.
    pub(super) fn heard(self, nanoseconds: u64) -> Option<Instant> {
        let since = nanoseconds.saturating_sub(self.nanoseconds);
        self.moment.checked_add(Duration::from_nanos(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood_by_another() {
        let (one, other) = (Clock::new(), Clock::new());
        let moment = other.moment + Duration::from_secs(3);
        let heard = one.heard(other.told(moment)).unwrap();
        let error = heard.max(moment) - heard.min(moment);
        // What a thread may be put off between its two looks at the clock.
        assert!(error < Duration::from_secs(1), "{error:?}");
    }
}
