//! A request that takes too long: where its thread is, and RequestTimeout in it.

use crate::census::{Overdue, Thread};
use crate::interp::{Attached, Object, PythonError, Truth};

/// Looks, from a thread of its own, at the thread that serves `overdue`, and interrupts it.
pub(super) fn interrupt<'a>(at: Attached<'a>, overdue: &Overdue) -> Result<(), PythonError<'a>> {
    if !overdue.is_in_hand() {
        return Ok(());
    }
    let support = at.import(c"chaussette._interpreter")?;
    let thread = overdue.thread();
    overdue.found(stack(at, &support, thread)?);
    let class = at.attribute(&support, c"RequestTimeout")?;
    overdue.interrupt(|| {
        at.raise_in(thread.identifier, &class);
    });
    Ok(())
}

/// The stack of another thread, as text. Empty where it cannot be looked at safely: on a free-threaded build the
/// thread runs on meanwhile; and where `traceback` cannot be had.
fn stack<'a>(at: Attached<'a>, support: &Object<'a>, thread: Thread) -> Result<String, PythonError<'a>> {
    let free = at.call(&at.attribute(support, c"gil_is_off")?, &[])?;
    if at.is_true(&free)? == Truth::True {
        return Ok(String::new());
    }
    // Before the frame is taken: the first import of it reads files, and the thread runs on meanwhile.
    if at.import(c"traceback").is_err() {
        return Ok(String::new());
    }
    let Some(frame) = at.frame_of(thread.state) else { return Ok(String::new()) };
    at.text(&at.call(&at.attribute(support, c"stack")?, &[&frame])?)
}
