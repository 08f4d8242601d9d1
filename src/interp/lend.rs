//! Bytes of Python's that other threads read while none is attached: a large body leaves without a copy.
//!
//! Owns the references that come back. Whoever drops a loan, on whatever thread, leaves the reference in [`Returns`];
//! the thread that lent it gives it up when it is attached next. What is still lent when that thread leaves its
//! interpreter is given up for lost: the reference is never released, so nobody ever frees what is being read.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::attach::Attached;
use super::ffi;
use super::object::{AsPython, Object};

/// Bytes of one object from which it is lent. 8 KiB: below, a copy costs less than the way back of the reference.
const LEAST: usize = 8 * 1024;

// What is given up for lost may be read after its interpreter has ended, whose own allocator frees what it has: objects
// above 512 bytes are not in it, but in C's heap (CPython, Objects/obmalloc.c).
const _: () = assert!(LEAST > 512);

/// Bytes lent by one thread at once. 8 MiB: what is written within one turn of the reactor; they come back for release
/// with the thread's next request only, and an idle interpreter holds them until then.
const MOST: usize = 8 * 1024 * 1024;

/// How long a thread that leaves waits for what it lent. 2 s: a client that reads at all has it by then. What is lost
/// keeps CPython from giving back the memory of an ended interpreter.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thread's loans.
#[derive(Debug, Default)]
pub struct Lender {
    returns: Arc<Returns>,
}

#[derive(Debug, Default)]
struct Returns {
    /// There is something to be released: asked with each request, so apart from the rest.
    has_any: AtomicBool,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In bytes, with what is in `back`.
    lent: usize,
    loans: usize,
    back: Vec<Reference>,
    is_closed: bool,
}

/// A reference on its way home.
#[derive(Debug)]
struct Reference {
    object: NonNull<ffi::PyObject>,
    length: usize,
}

// SAFETY: home: away from home it is a number that is neither read through nor released.
unsafe impl Send for Reference {}

/// The contents of a bytes object, and the reference that keeps them.
#[derive(Debug)]
struct Loan {
    contents: &'static [u8],
    object: NonNull<ffi::PyObject>,
    returns: Arc<Returns>,
}

// SAFETY: live: contents that are immutable and kept by a reference; the object itself is not touched before its
// reference is back home.
unsafe impl Send for Loan {}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        self.contents
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut state = self.returns.state.lock();
        state.loans -= 1;
        if state.is_closed {
            return;
        }
        state.back.push(Reference { object: self.object, length: self.contents.len() });
        self.returns.has_any.store(true, Ordering::Relaxed);
        if state.loans == 0 {
            self.returns.returned.notify_all();
        }
    }
}

impl Lender {
    /// The contents of a bytes object, without a copy. `None`: it is something else or small, or too much is lent.
    pub fn lend(&self, at: Attached<'_>, object: &impl AsPython) -> Option<Bytes> {
        // A subclass might run code when it is released.
        // SAFETY: attached: `at`. live: `object`.
        if unsafe { ffi::PyBytes_CheckExact(object.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: attached: `at`. live: a bytes object (checked above).
        let length = usize::try_from(unsafe { ffi::PyBytes_Size(object.as_ptr()) }).unwrap_or(0);
        if length < LEAST {
            return None;
        }
        {
            let mut state = self.returns.state.lock();
            if state.lent + length > MOST {
                return None;
            }
            state.lent += length;
            state.loans += 1;
        }
        // SAFETY: attached: `at`. live: a bytes object (checked above).
        let data = unsafe { ffi::PyBytes_AsString(object.as_ptr()) };
        // SAFETY: live: for as long as the reference below is not released, and that is after the loan's end; bytes
        // are immutable. Pointer and length are CPython's.
        let contents = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
        let raw = NonNull::new(object.as_ptr())?;
        // owned: by the loan, until it is back home.
        let object = NonNull::new(Object::from_borrowed(at, raw).into_ptr())?;
        Some(Bytes::from_owner(Loan { contents, object, returns: Arc::clone(&self.returns) }))
    }

    /// Releases what has come back.
    pub fn take_back(&self, at: Attached<'_>) {
        if !self.returns.has_any.load(Ordering::Relaxed) {
            return;
        }
        let back = {
            let mut state = self.returns.state.lock();
            self.returns.has_any.store(false, Ordering::Relaxed);
            let back = std::mem::take(&mut state.back);
            state.lent -= back.iter().map(|reference| reference.length).sum::<usize>();
            back
        };
        for Reference { object, .. } in back {
            // owned: the loan's reference, taken over here.
            drop(Object::from_new(at, object.as_ptr()));
        }
    }

    /// Waits until all is back, or for as long as it is worth. Blocks: never call it attached.
    pub fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.returns.state.lock();
        while state.loans > 0 && !self.returns.returned.wait_until(&mut state, deadline).timed_out() {}
    }

    /// Releases what has come back, and gives up the rest: so many bytes.
    pub fn close(self, at: Attached<'_>) -> usize {
        self.returns.state.lock().is_closed = true;
        // Nothing comes back from here on.
        self.take_back(at);
        self.returns.state.lock().lent
    }
}
