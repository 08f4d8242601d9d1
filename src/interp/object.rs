//! References to Python objects. Ownership is in the constructor's name.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::attach::Attached;
use super::exception::PythonError;
use super::ffi;

/// Lends the pointer of a live object to this module's calls.
pub trait AsPython: sealed::Pointer {}
impl<T: sealed::Pointer> AsPython for T {}

pub(super) mod sealed {
    pub trait Pointer {
        /// A live object of the interpreter that this thread serves.
        fn as_ptr(&self) -> *mut super::ffi::PyObject;
    }
}
pub(super) use sealed::Pointer;

/// An owned reference, alive while attached. Dropping it gives the reference back.
#[derive(Debug)]
pub struct Object<'a> {
    raw: NonNull<ffi::PyObject>,
    pub(super) at: Attached<'a>,
}

impl<'a> Object<'a> {
    /// Takes a new reference that the C API returned, or its error when it is NULL.
    pub(super) fn from_new(at: Attached<'a>, raw: *mut ffi::PyObject) -> Result<Self, PythonError<'a>> {
        NonNull::new(raw).map(|raw| Self { raw, at }).ok_or_else(|| PythonError::fetch(at))
    }

    /// Takes a reference of its own to a borrowed, live object.
    pub(super) fn from_borrowed(at: Attached<'a>, raw: NonNull<ffi::PyObject>) -> Self {
        // SAFETY: attached: `at`. live: the caller borrowed it.
        unsafe { ffi::Py_INCREF(raw.as_ptr()) };
        Self { raw, at }
    }

    /// Gives the reference to C, which steals it.
    pub(super) fn into_ptr(self) -> *mut ffi::PyObject {
        let raw = self.raw.as_ptr();
        std::mem::forget(self);
        raw
    }

    /// Keeps the reference beyond this attachment.
    pub fn keep(self) -> Kept {
        Kept { raw: std::mem::ManuallyDrop::new(self).raw, here: PhantomData }
    }
}

impl sealed::Pointer for Object<'_> {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.raw.as_ptr()
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        // SAFETY: attached: `self.at`. owned: `self` owns this reference.
        unsafe { ffi::Py_DECREF(self.raw.as_ptr()) };
    }
}

/// A reference kept between attachments, on the thread of its interpreter: it is not `Send`, and a thread
/// serves one interpreter only. [`Kept::release`] gives it back; merely dropped it leaks, since dropping
/// may happen detached.
#[derive(Debug)]
pub struct Kept {
    raw: NonNull<ffi::PyObject>,
    here: PhantomData<*mut ()>,
}

impl Kept {
    pub fn release(self, at: Attached<'_>) {
        drop(self.take(at));
    }

    /// The reference itself, for this attachment.
    pub fn take(self, at: Attached<'_>) -> Object<'_> {
        Object { raw: self.raw, at }
    }

    /// A further reference, for this attachment.
    pub fn get<'a>(&self, at: Attached<'a>) -> Object<'a> {
        Object::from_borrowed(at, self.raw)
    }
}

impl sealed::Pointer for Kept {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.raw.as_ptr()
    }
}
