//! How soon a load that failed is tried again, and when it is given up.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::Loading;

/// After the first failure; doubled after each further one. 1 s: what takes longer to come back is no hiccup.
const FIRST: Duration = Duration::from_secs(1);

/// At most. 30 s: an application that can be loaded again serves again within that.
const LONGEST: Duration = Duration::from_secs(30);

/// Failures in a row after which nothing is left to hope for, if nothing serves. 5: a quarter of a minute.
const ENOUGH: u32 = 5;

/// Loads that failed since the last one that did not.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    last: Option<Instant>,
    again: Option<Instant>,
}

impl BackOff {
    /// One failed that had begun at `began`. Returns how long to wait, or nothing if it began before the last
    /// failure: those that fail together are one failure.
    pub(super) fn fail(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        if self.last.is_some_and(|last| began < last) {
            return None;
        }
        self.last = Some(now);
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        // Between half of it and all of it: what fails with others is not tried again with them.
        let wait = doubled.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.again = Some(now + wait);
        Some(wait)
    }

    /// One was loaded, or it is known why the next one may do better.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn loading(&self, now: Instant) -> Loading {
        match self.again {
            None => Loading::Freely,
            Some(again) if now < again => Loading::NotYet,
            Some(_) => Loading::OneByOne,
        }
    }

    /// When `loading` changes by itself.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.again.filter(|again| now < *again)
    }

    pub(super) fn is_enough(&self) -> bool {
        self.failures >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_up_to_a_limit() {
        let (mut back_off, start) = (BackOff::default(), Instant::now());
        let mut now = start;
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let wait = back_off.fail(now, now).expect("a wait");
            assert!(wait >= longest / 4 && wait <= LONGEST, "{wait:?} after {longest:?}");
            assert_eq!(back_off.loading(now), Loading::NotYet);
            longest = longest.max(wait);
            now += wait;
            assert_eq!(back_off.loading(now), Loading::OneByOne);
        }
        assert!(back_off.is_enough() && longest >= LONGEST / 2);
    }

    #[test]
    fn those_that_fail_together_are_one_failure() {
        let (mut back_off, began) = (BackOff::default(), Instant::now());
        let now = began + Duration::from_secs(1);
        assert!(back_off.fail(began, now).is_some());
        for _ in 0..10 {
            assert_eq!(back_off.fail(began, now), None);
        }
        assert!(!back_off.is_enough());
        back_off.reset();
        assert_eq!(back_off.loading(now), Loading::Freely);
    }
}
