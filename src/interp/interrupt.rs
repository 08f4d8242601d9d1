//! Raising an exception in another thread of an interpreter.
//!
//! What CPython offers is `PyThreadState_SetAsyncExc`: the other thread finds the exception when it runs Python
//! code next. A thread that waits in C (a lock, a sleep, a socket) does not notice until it comes back.

use std::ffi::c_long;

use super::attach::Attached;
use super::ffi;
use super::interpreter::{first_state, this_thread};
use super::object::{AsPython, Object};

impl<'a> Attached<'a> {
    /// Where another thread of this interpreter is: the frame that it runs, none if it runs no Python code.
    ///
    /// Not for a free-threaded build with its GIL off: the thread would run on meanwhile.
    ///
    /// `sys._current_frames()` is no way to it: CPython 3.13 makes the frames of *all* interpreters there, in the
    /// memory of the one that asks, and crashes when the others end them.
    pub fn frame_of(self, state: u64) -> Option<Object<'a>> {
        let mut found = first_state(self);
        while !found.is_null() && super::attach::identifier(found) != state {
            // SAFETY: live: attached, so that no thread of this interpreter gives its state up meanwhile.
            found = unsafe { ffi::PyThreadState_Next(found) };
        }
        if found.is_null() {
            return None;
        }
        // SAFETY: attached: `self`. live: as above, and its thread runs no Python code meanwhile. Result: new
        // reference, or NULL.
        let frame = unsafe { ffi::PyThreadState_GetFrame(found) };
        Object::from_new(self, frame.cast()).ok()
    }

    /// Raises `class()` in the thread of this interpreter that [`this_thread`] gave as `thread`. False: it has none.
    ///
    /// The caller sees to it that the thread does not leave the interpreter meanwhile.
    pub fn raise_in(self, thread: u64, class: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `class`, of which the thread state takes a reference of its own.
        unsafe { ffi::PyThreadState_SetAsyncExc(identifier(thread), class.as_ptr()) > 0 }
    }

    /// Forgets what [`Attached::raise_in`] has raised in this thread and what has not arrived yet.
    pub fn forget_raised(self) {
        // SAFETY: attached: `self`. NULL is allowed: nothing is raised, and what was is given back.
        unsafe { ffi::PyThreadState_SetAsyncExc(identifier(this_thread()), std::ptr::null_mut()) };
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "C's unsigned long, of the same size, which pyo3-ffi declares as signed"
)]
fn identifier(thread: u64) -> c_long {
    thread as c_long
}
