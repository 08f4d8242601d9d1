//! Whether a loaded interpreter may take requests: its threads wait here until the supervisor says so.

use parking_lot::{Condvar, Mutex};

/// One per interpreter.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pass: Mutex<Pass>,
    changed: Condvar,
}

/// What the supervisor has said. It only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Pass {
    #[default]
    Wait,
    Serve,
    Leave,
}

impl Gate {
    pub(super) fn say(&self, pass: Pass) {
        let mut now = self.pass.lock();
        *now = pass.max(*now);
        self.changed.notify_all();
    }

    /// Waits for the word to serve or to leave. Ends with the supervisor's life: it dismisses whom it does not
    /// admit.
    pub(super) fn wait(&self) -> Pass {
        let mut now = self.pass.lock();
        while *now == Pass::Wait {
            self.changed.wait(&mut now);
        }
        *now
    }
}
