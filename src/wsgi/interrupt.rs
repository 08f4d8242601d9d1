//! A request that takes too long: where its thread is, and RequestTimeout in it.

use crate::census::Overdue;
use crate::interp::{Attached, PythonError};

/// Looks, from a thread of its own, at the thread that serves `overdue`, and interrupts it.
pub(super) fn interrupt<'a>(at: Attached<'a>, overdue: &Overdue) -> Result<(), PythonError<'a>> {
    if !overdue.is_in_hand() {
        return Ok(());
    }
    let support = at.import(c"chaussette._interpreter")?;
    let thread = at.int(isize::try_from(overdue.thread()).unwrap_or(isize::MAX))?;
    let stack = at.call(&at.attribute(&support, c"stack")?, &[&thread])?;
    overdue.found(at.text(&stack)?);
    let class = at.attribute(&support, c"RequestTimeout")?;
    overdue.interrupt(|| {
        at.raise_in(overdue.thread(), &class);
    });
    Ok(())
}
