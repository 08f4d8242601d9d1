//! Calling Python.

use super::attach::Attached;
use super::exception::PythonError;
use super::ffi;
use super::object::{AsPython, Object, Pointer};

/// Positional arguments of one call at most: what this server ever passes.
const MOST: usize = 4;

impl<'a> Attached<'a> {
    /// Calls `callable` with positional arguments, four at most.
    pub fn call(
        self,
        callable: &impl AsPython,
        arguments: &[&dyn PointerRef],
    ) -> Result<Object<'a>, PythonError<'a>> {
        let mut raw = [std::ptr::null_mut::<ffi::PyObject>(); MOST];
        let count = arguments.len().min(MOST);
        debug_assert_eq!(count, arguments.len());
        for (place, argument) in raw.iter_mut().zip(arguments) {
            *place = argument.pointer();
        }
        // SAFETY: attached: `self`. live: the callable and the first `count` arguments. Result: new reference.
        let result =
            unsafe { ffi::PyObject_Vectorcall(callable.as_ptr(), raw.as_ptr(), count, std::ptr::null_mut()) };
        Object::from_new(self, result)
    }

    pub fn iterate(self, object: &impl AsPython) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. live: `object`. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyObject_GetIter(object.as_ptr()) })
    }

    /// The iterator's next item, `None` at its end.
    pub fn next(self, iterator: &impl AsPython) -> Result<Option<Object<'a>>, PythonError<'a>> {
        // SAFETY: attached: `self`. live: an iterator, from `iterate`. Result: new reference or NULL.
        let raw = unsafe { ffi::PyIter_Next(iterator.as_ptr()) };
        if !raw.is_null() {
            return Object::from_new(self, raw).map(Some);
        }
        // SAFETY: attached: `self`. Result: borrowed, compared with NULL only.
        if unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Ok(None);
        }
        Err(PythonError::fetch(self))
    }
}

/// An argument of any of the reference types.
pub trait PointerRef: sealed::Argument {}
impl<T: AsPython> PointerRef for T {}

mod sealed {
    use super::{Pointer, ffi};

    pub trait Argument {
        fn pointer(&self) -> *mut ffi::PyObject;
    }
    impl<T: Pointer> Argument for T {
        fn pointer(&self) -> *mut ffi::PyObject {
            self.as_ptr()
        }
    }
}
