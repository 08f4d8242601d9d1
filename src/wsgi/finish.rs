//! What Python runs at the end of an interpreter: its threads are joined, its exit handlers called.

use std::time::Duration;

use crate::interp::{Attached, Kept, Truth};
use crate::wsgi::failure::report;

/// Runs it; returns whether a plain thread was left after `patience`.
pub(super) fn finish(
    at: Attached<'_>,
    (support, number): (&Kept, u64),
    ends: Truth,
    patience: Duration,
) -> Truth {
    let finished = at.attribute(support, c"finish").and_then(|finish| {
        let patience = at.int(isize::try_from(patience.as_millis()).unwrap_or(isize::MAX))?;
        let left = at.call(&finish, &[&at.boolean(ends), &patience])?;
        at.is_true(&left)
    });
    finished.unwrap_or_else(|error| {
        let report = report(at, support, &error);
        tracing::error!("interpreter {number}: exit handlers failed: {report}");
        // What has been waited for is unknown: CPython must not be made to wait.
        Truth::True
    })
}
