//! Python exceptions as Rust values.

use std::ffi::CString;

use super::attach::Attached;
use super::ffi;
use super::object::{AsPython, Object, Pointer};

/// One of CPython's static exception types.
macro_rules! exception {
    ($name:ident) => {
        // SAFETY: set before any interpreter exists, never changed or freed; the pointer is only read.
        unsafe { ffi::$name }
    };
}

/// An exception that was raised and fetched: the error indicator is clear.
#[derive(Debug)]
pub struct PythonError<'a>(Object<'a>);

/// The built-in exceptions that we raise or tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceptionKind {
    AssertionError,
    TypeError,
    ValueError,
    RuntimeError,
    OSError,
    MemoryError,
    RecursionError,
    SystemExit,
    KeyboardInterrupt,
    Exception,
    BaseException,
}

impl ExceptionKind {
    fn as_ptr(self) -> *mut ffi::PyObject {
        match self {
            Self::AssertionError => exception!(PyExc_AssertionError),
            Self::TypeError => exception!(PyExc_TypeError),
            Self::ValueError => exception!(PyExc_ValueError),
            Self::RuntimeError => exception!(PyExc_RuntimeError),
            Self::OSError => exception!(PyExc_OSError),
            Self::MemoryError => exception!(PyExc_MemoryError),
            Self::RecursionError => exception!(PyExc_RecursionError),
            Self::SystemExit => exception!(PyExc_SystemExit),
            Self::KeyboardInterrupt => exception!(PyExc_KeyboardInterrupt),
            Self::Exception => exception!(PyExc_Exception),
            Self::BaseException => exception!(PyExc_BaseException),
        }
    }
}

impl<'a> PythonError<'a> {
    /// Fetches the exception that the last call of the C API raised.
    pub(super) fn fetch(at: Attached<'a>) -> Self {
        // SAFETY: attached: `at`. Result: new reference, or NULL when nothing was raised.
        let raised = unsafe { ffi::PyErr_GetRaisedException() };
        match std::ptr::NonNull::new(raised) {
            // from_new cannot fail on a pointer that is not NULL.
            Some(raised) => match Object::from_new(at, raised.as_ptr()) {
                Ok(object) => Self(object),
                Err(error) => error,
            },
            None => Self::new(at, ExceptionKind::RuntimeError, "a C call failed without an exception"),
        }
    }

    /// A new exception of ours.
    pub fn new(at: Attached<'a>, kind: ExceptionKind, message: &str) -> Self {
        let text = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        // SAFETY: attached: `at`. live: a static type and a C string that outlives the call.
        unsafe { ffi::PyErr_SetString(kind.as_ptr(), text.as_ptr()) };
        // The indicator is set now, so this does not come back here.
        Self::fetch(at)
    }

    /// Takes an exception instance, as the second member of `exc_info` is.
    pub fn from_instance(at: Attached<'a>, instance: Object<'a>) -> Self {
        let base = ExceptionKind::BaseException.as_ptr();
        // SAFETY: attached: `at`. live: `instance`, and a static type.
        if unsafe { ffi::PyErr_GivenExceptionMatches(instance.as_ptr(), base) } == 0 {
            return Self::new(at, ExceptionKind::TypeError, "exc_info[1] is not an exception");
        }
        Self(instance)
    }

    /// Raises it again, for C to find: the trampoline returns NULL next.
    pub(super) fn raise(self) {
        // SAFETY: attached: `self.0.at`. owned: the call steals the reference.
        unsafe { ffi::PyErr_SetRaisedException(self.0.into_ptr()) };
    }

    pub fn is(&self, kind: ExceptionKind) -> bool {
        // SAFETY: attached: `self.0.at`. live: `self.0` and a static type.
        unsafe { ffi::PyErr_GivenExceptionMatches(self.0.as_ptr(), kind.as_ptr()) != 0 }
    }

    /// Whether it is an instance of an exception class.
    pub fn matches(&self, class: &impl AsPython) -> bool {
        // SAFETY: attached: `self.0.at`. live: both.
        unsafe { ffi::PyErr_GivenExceptionMatches(self.0.as_ptr(), class.as_ptr()) != 0 }
    }

    /// The exception instance.
    pub fn instance(&self) -> &Object<'a> {
        &self.0
    }

    /// `str(exception)`, for when nothing better can be had.
    pub fn message(&self) -> String {
        self.0.display()
    }
}

impl Object<'_> {
    /// `str(self)`, or a note that it failed.
    pub fn display(&self) -> String {
        // SAFETY: attached: `self.at`. live: `self`. Result: new reference or NULL.
        let text = unsafe { ffi::PyObject_Str(self.as_ptr()) };
        match Object::from_new(self.at, text) {
            Ok(text) => self.at.text(&text).unwrap_or_else(|_| "(str() is not text)".to_owned()),
            Err(_) => "(str() failed)".to_owned(),
        }
    }

    /// `ascii(self)`, or a note that it failed.
    pub fn in_ascii(&self) -> String {
        // SAFETY: attached: `self.at`. live: `self`. Result: new reference or NULL.
        let text = unsafe { ffi::PyObject_ASCII(self.as_ptr()) };
        match Object::from_new(self.at, text) {
            Ok(text) => self.at.text(&text).unwrap_or_else(|_| "(repr() is not text)".to_owned()),
            Err(_) => "(repr() failed)".to_owned(),
        }
    }
}

impl Attached<'_> {
    /// Whether `object` is None.
    pub fn is_none(self, object: &impl AsPython) -> bool {
        // SAFETY: a static of CPython, compared only.
        object.as_ptr() == unsafe { ffi::Py_None() }
    }
}
