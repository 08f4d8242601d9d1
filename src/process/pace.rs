//! How quickly a worker's thread serves: by that, how many requests it may be sent ahead.

use std::time::Duration;

use super::ahead::MOST;
use crate::application::Appetite;

/// What requests ahead may take in all. 1 ms: for so long one of them may have to wait while another worker is free,
/// and the server takes them back when it takes longer.
const IN_ALL: Duration = Duration::from_millis(1);

/// What may be taken though others would share it: 100 µs. To wake another worker costs as much as to serve that.
const ALONE: Duration = Duration::from_micros(100);

/// The weight of the last request: one in so many. 8: a slow one forbids for some dozen what quick ones have earned.
const WEIGHT: u32 = 8;

/// The time that its last requests have taken, on average.
#[derive(Debug)]
pub(super) struct Pace {
    each: Duration,
}

impl Pace {
    /// Of one of which nothing is known: none is sent ahead.
    pub(super) fn unknown() -> Self {
        Self { each: IN_ALL * 2 }
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.each = (self.each * (WEIGHT - 1) + time) / WEIGHT;
    }

    /// Requests that may be sent ahead of the one in hand.
    pub(super) fn appetite(&self) -> Appetite {
        let within = |time: Duration| {
            let count = time.as_nanos() / self.each.as_nanos().max(1);
            usize::try_from(count).unwrap_or(MOST).min(MOST)
        };
        Appetite { most: within(IN_ALL), alone: within(ALONE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_quick_one_is_sent_requests_ahead() {
        let mut pace = Pace::unknown();
        assert_eq!(pace.appetite(), Appetite { most: 0, alone: 0 });
        for _ in 0..200 {
            pace.took(Duration::from_micros(90));
        }
        assert_eq!(pace.appetite(), Appetite { most: 11, alone: 1 });
        for _ in 0..200 {
            pace.took(Duration::from_micros(1));
        }
        assert_eq!(pace.appetite(), Appetite { most: MOST, alone: MOST });
        pace.took(Duration::from_millis(20));
        assert_eq!(pace.appetite(), Appetite { most: 0, alone: 0 });
    }
}
