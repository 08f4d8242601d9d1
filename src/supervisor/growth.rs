//! How much memory the process has taken since it was ready: `--max-growth`.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

use crate::census::resident;

/// How often it is looked at while nothing happens. 1 min: memory is lost by the replacement, each of which is
/// looked at by itself; what the application gathers grows slowly.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Growth {
    most: Option<NonZeroU64>,
    /// Bytes at readiness.
    base: u64,
    look: Option<Instant>,
}

impl Growth {
    /// From now on.
    pub(super) fn since_now(most: Option<NonZeroU64>) -> Self {
        let nothing = Self { most: None, base: 0, look: None };
        let Some(most) = most else { return nothing };
        match resident() {
            Some(base) => Self { most: Some(most), base, look: Some(Instant::now() + LOOK) },
            None => {
                tracing::warn!("--max-growth has no effect: the system does not tell this process's memory");
                nothing
            }
        }
    }

    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look
    }

    /// Looks at the next turn.
    pub(super) fn look_soon(&mut self) {
        if self.most.is_some() {
            self.look = Some(Instant::now());
        }
    }

    /// How many bytes too many, if it is time to look and it has grown too much.
    pub(super) fn excess(&mut self, now: Instant) -> Option<u64> {
        let most = self.most?.get();
        self.look.filter(|look| *look <= now)?;
        self.look = Some(now + LOOK);
        let grown = resident()?.saturating_sub(self.base);
        (grown > most).then_some(grown)
    }
}
