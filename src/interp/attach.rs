//! Being attached: a thread's own state in one interpreter, and the proof that it is current.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::ffi;

/// Proof that this thread is attached to an interpreter. `Copy`, but neither `Send` nor `Sync`, and it
/// cannot outlive the attachment: every function that touches a Python object asks for one.
///
/// ```compile_fail
/// fn sent<T: Send>() {}
/// sent::<chaussette::interp::Attached<'static>>();
/// ```
/// ```compile_fail
/// # fn f(state: &mut chaussette::interp::ThreadState) {
/// let kept = state.attach(|at| at); // may not leave the closure
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attached<'a> {
    // Invariant in 'a: two attachments are two types, and none can be stretched.
    attachment: PhantomData<fn(&'a ()) -> &'a ()>,
    here: PhantomData<*mut ()>,
}

impl<'a> Attached<'a> {
    /// # Safety
    /// *attached*: this thread has a current thread state, which stays current for all of `'a`.
    pub(super) unsafe fn assume() -> Self {
        Self { attachment: PhantomData, here: PhantomData }
    }

    /// Runs `work` detached, so that other threads of this interpreter go on meanwhile. `work` is `Send`:
    /// neither objects nor this proof can slip in.
    pub fn detach<R>(self, work: impl FnOnce() -> R + Send) -> R {
        /// Attaches again also when `work` panics.
        struct Again(*mut ffi::PyThreadState);
        impl Drop for Again {
            fn drop(&mut self) {
                // SAFETY: home: the state was current on this thread when `detach` began, and nothing else
                // runs on this thread meanwhile.
                unsafe { ffi::PyEval_AcquireThread(self.0) };
            }
        }
        // SAFETY: attached: `self`.
        let again = Again(unsafe { ffi::PyEval_SaveThread() });
        let result = work();
        drop(again);
        result
    }
}

/// What CPython numbers a live state by.
pub(super) fn identifier(state: *mut ffi::PyThreadState) -> u64 {
    // SAFETY: live: the caller's. A field is read that never changes.
    unsafe { ffi::PyThreadState_GetID(state) }.cast_unsigned()
}

/// This thread's own state in one interpreter, detached between uses. One is kept for the thread's life:
/// attaching costs 0.1 µs, and a state made on another thread would leak about 1 KB per attachment.
///
/// Ended on the thread that made it: it is not `Send`.
/// ```compile_fail
/// fn sent<T: Send>() {}
/// sent::<chaussette::interp::ThreadState>();
/// ```
#[derive(Debug)]
pub struct ThreadState {
    raw: NonNull<ffi::PyThreadState>,
    here: PhantomData<*mut ()>,
}

impl ThreadState {
    /// # Safety
    /// *home*: `raw` belongs to this thread, is detached, and nobody else will use or delete it.
    pub(super) unsafe fn from_raw(raw: NonNull<ffi::PyThreadState>) -> Self {
        Self { raw, here: PhantomData }
    }

    /// Attaches, runs `work`, detaches; also when `work` panics. Waits for the interpreter's GIL.
    pub fn attach<R>(&mut self, work: impl for<'a> FnOnce(Attached<'a>) -> R) -> R {
        struct Detach(*mut ffi::PyThreadState);
        impl Drop for Detach {
            fn drop(&mut self) {
                // SAFETY: attached: acquired below, and every `detach` within has attached again.
                unsafe { ffi::PyEval_ReleaseThread(self.0) };
            }
        }
        // SAFETY: home: `self` is not Send and is borrowed mutably, so it is detached and on its thread.
        unsafe { ffi::PyEval_AcquireThread(self.raw.as_ptr()) };
        let detach = Detach(self.raw.as_ptr());
        // SAFETY: attached: just acquired; the closure's lifetime ends before `detach` is dropped.
        let result = work(unsafe { Attached::assume() });
        drop(detach);
        result
    }

    /// Identifies it among the states of its interpreter, for as long as that lives.
    pub fn identifier(&self) -> u64 {
        identifier(self.raw.as_ptr())
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::PyThreadState {
        self.raw.as_ptr()
    }

    /// Gives up this thread's state in an interpreter that lives on.
    pub(super) fn delete(self) {
        // SAFETY: home: not Send, consumed here.
        unsafe { ffi::PyEval_AcquireThread(self.raw.as_ptr()) };
        // SAFETY: attached: the line above.
        unsafe { ffi::PyThreadState_Clear(self.raw.as_ptr()) };
        // SAFETY: attached and cleared; afterwards no state is current and `self` is gone.
        unsafe { ffi::PyThreadState_DeleteCurrent() };
    }
}
