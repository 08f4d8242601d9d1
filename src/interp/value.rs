//! Values: Python's from ours, ours from Python's.

use std::ffi::CStr;
use std::ptr::NonNull;

use super::attach::Attached;
use super::exception::{ExceptionKind, PythonError};
use super::ffi;
use super::object::{AsPython, Object, Pointer};

/// Lengths of slices fit: Rust objects are at most `isize::MAX` bytes.
fn size(length: usize) -> ffi::Py_ssize_t {
    ffi::Py_ssize_t::try_from(length).unwrap_or(ffi::Py_ssize_t::MAX)
}

impl<'a> Attached<'a> {
    pub fn none(self) -> Object<'a> {
        // SAFETY: a static of CPython.
        self.singleton(unsafe { ffi::Py_None() })
    }

    pub fn boolean(self, value: Truth) -> Object<'a> {
        self.singleton(match value {
            // SAFETY: a static of CPython.
            Truth::True => unsafe { ffi::Py_True() },
            // SAFETY: a static of CPython.
            Truth::False => unsafe { ffi::Py_False() },
        })
    }

    fn singleton(self, raw: *mut ffi::PyObject) -> Object<'a> {
        // SAFETY: checked: the address of a static is not NULL.
        Object::from_borrowed(self, unsafe { NonNull::new_unchecked(raw) })
    }

    pub fn str(self, text: &str) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. The pointer and length are of a live str. Result: new reference.
        let raw = unsafe { ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), size(text.len())) };
        Object::from_new(self, raw)
    }

    /// A str that compares by identity as a dict key.
    pub fn interned(self, text: &str) -> Result<Object<'a>, PythonError<'a>> {
        let mut raw = self.str(text)?.into_ptr();
        // SAFETY: attached: `self`. owned: `raw`, replaced by an owned reference.
        unsafe { ffi::PyUnicode_InternInPlace(&raw mut raw) };
        Object::from_new(self, raw)
    }

    /// PEP 3333's "native string": each byte one character.
    pub fn latin1(self, bytes: &[u8]) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. The pointer and length are of a live slice. Result: new reference.
        let raw = unsafe {
            ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), size(bytes.len()), std::ptr::null())
        };
        Object::from_new(self, raw)
    }

    pub fn bytes(self, bytes: &[u8]) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. The pointer and length are of a live slice. Result: new reference.
        let raw = unsafe { ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), size(bytes.len())) };
        Object::from_new(self, raw)
    }

    /// A port as a str, without a detour over the heap or the formatter, which cost more than the str.
    pub fn decimal(self, value: u16) -> Result<Object<'a>, PythonError<'a>> {
        let digits =
            [10_000, 1_000, 100, 10, 1].map(|unit| b'0' + u8::try_from(value / unit % 10).unwrap_or(0));
        let zeros = digits.iter().take(digits.len() - 1).take_while(|digit| **digit == b'0').count();
        self.latin1(digits.get(zeros..).unwrap_or_default())
    }

    pub fn int(self, value: isize) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyLong_FromSsize_t(value) })
    }

    pub fn float(self, value: f64) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyFloat_FromDouble(value) })
    }

    /// A list of what `items` gives.
    pub fn list(self, items: Vec<Object<'a>>) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. Result: new reference; all places are filled below.
        let list = Object::from_new(self, unsafe { ffi::PyList_New(size(items.len())) })?;
        for (place, item) in items.into_iter().enumerate() {
            // SAFETY: attached: `self`. live: `list`. owned: the call steals the item, also on failure.
            let failed = unsafe { ffi::PyList_SetItem(list.as_ptr(), size(place), item.into_ptr()) };
            if failed != 0 {
                return Err(PythonError::fetch(self));
            }
        }
        Ok(list)
    }

    pub fn dict(self) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyDict_New() })
    }

    pub fn dict_copy(self, dict: &impl AsPython) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. live: `dict`. Result: new reference; an exception if it is no dict.
        Object::from_new(self, unsafe { ffi::PyDict_Copy(dict.as_ptr()) })
    }

    pub fn dict_set(
        self,
        dict: &impl AsPython,
        key: &impl AsPython,
        value: &impl AsPython,
    ) -> Result<(), PythonError<'a>> {
        // SAFETY: attached: `self`. live: all three; the dict takes references of its own.
        let failed = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
        if failed == 0 { Ok(()) } else { Err(PythonError::fetch(self)) }
    }

    pub fn import(self, module: &CStr) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. live: a C string. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyImport_ImportModule(module.as_ptr()) })
    }

    pub fn attribute(self, of: &impl AsPython, name: &CStr) -> Result<Object<'a>, PythonError<'a>> {
        // SAFETY: attached: `self`. live: both. Result: new reference.
        Object::from_new(self, unsafe { ffi::PyObject_GetAttrString(of.as_ptr(), name.as_ptr()) })
    }

    /// The attribute, or `None` when there is none.
    pub fn optional_attribute(
        self,
        of: &impl AsPython,
        name: &CStr,
    ) -> Result<Option<Object<'a>>, PythonError<'a>> {
        let mut found = std::ptr::null_mut();
        // SAFETY: attached: `self`. live: both; `found` receives a new reference or NULL.
        let outcome =
            unsafe { ffi::PyObject_GetOptionalAttrString(of.as_ptr(), name.as_ptr(), &raw mut found) };
        match outcome {
            0 => Ok(None),
            _ => Object::from_new(self, found).map(Some),
        }
    }

    pub fn set_attribute(
        self,
        of: &impl AsPython,
        name: &CStr,
        value: &impl AsPython,
    ) -> Result<(), PythonError<'a>> {
        // SAFETY: attached: `self`. live: all three.
        let failed = unsafe { ffi::PyObject_SetAttrString(of.as_ptr(), name.as_ptr(), value.as_ptr()) };
        if failed == 0 { Ok(()) } else { Err(PythonError::fetch(self)) }
    }

    /// The text of a str.
    pub fn text(self, object: &impl AsPython) -> Result<String, PythonError<'a>> {
        self.with_text(object, str::to_owned)
    }

    /// Lends the text of a str.
    pub fn with_text<R>(
        self,
        object: &impl AsPython,
        look: impl FnOnce(&str) -> R,
    ) -> Result<R, PythonError<'a>> {
        if !self.is_str(object) {
            return Err(PythonError::new(self, ExceptionKind::TypeError, "not a str"));
        }
        let mut length = 0;
        // SAFETY: attached: `self`. live: a str (checked above); the buffer lives as long as the str does.
        let data = unsafe { ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &raw mut length) };
        if data.is_null() {
            return Err(PythonError::fetch(self));
        }
        let length = usize::try_from(length).unwrap_or(0);
        // SAFETY: live: `object` is borrowed for the call of `look`; CPython returned pointer and length.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
        // SAFETY: CPython encodes strictly: what has no UTF-8, a surrogate, has failed above.
        Ok(look(unsafe { std::str::from_utf8_unchecked(bytes) }))
    }

    /// Lends the contents of a bytes object; `None` when it is something else.
    pub fn with_bytes<R>(self, object: &impl AsPython, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: attached: `self`. live: `object`.
        if unsafe { ffi::PyBytes_Check(object.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: attached; a bytes object (checked above), whose buffer is immutable and lives as long.
        let data = unsafe { ffi::PyBytes_AsString(object.as_ptr()) };
        // SAFETY: as above.
        let length = usize::try_from(unsafe { ffi::PyBytes_Size(object.as_ptr()) }).unwrap_or(0);
        // SAFETY: live: `object` is borrowed for the call of `look`; pointer and length are CPython's.
        Some(look(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) }))
    }

    /// The value of an int, or of what says it is one by `__index__`; the nearest that fits if it is huge.
    pub fn integer(self, object: &impl AsPython) -> Result<isize, PythonError<'a>> {
        // SAFETY: attached: `self`. live: `object`. −1 may be an error: the indicator tells.
        let value = unsafe { ffi::PyNumber_AsSsize_t(object.as_ptr(), std::ptr::null_mut()) };
        // SAFETY: attached: `self`. Result: borrowed, compared with NULL only.
        if value == -1 && !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Err(PythonError::fetch(self));
        }
        Ok(value)
    }

    pub fn is_true(self, object: &impl AsPython) -> Result<Truth, PythonError<'a>> {
        // SAFETY: attached: `self`. live: `object`.
        match unsafe { ffi::PyObject_IsTrue(object.as_ptr()) } {
            0 => Ok(Truth::False),
            1 => Ok(Truth::True),
            _ => Err(PythonError::fetch(self)),
        }
    }

    pub fn is_str(self, object: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `object`.
        unsafe { ffi::PyUnicode_Check(object.as_ptr()) != 0 }
    }

    pub fn is_list(self, object: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `object`.
        unsafe { ffi::PyList_Check(object.as_ptr()) != 0 }
    }

    pub fn is_tuple(self, object: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `object`.
        unsafe { ffi::PyTuple_Check(object.as_ptr()) != 0 }
    }

    pub fn is_callable(self, object: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `object`.
        unsafe { ffi::PyCallable_Check(object.as_ptr()) != 0 }
    }

    pub fn is_same(self, one: &impl AsPython, other: &impl AsPython) -> bool {
        one.as_ptr() == other.as_ptr()
    }

    /// Whether the object's type is exactly `class`.
    pub fn is_exactly(self, object: &impl AsPython, class: &impl AsPython) -> bool {
        // SAFETY: attached: `self`. live: `object`. Result: borrowed, compared only.
        unsafe { ffi::Py_TYPE(object.as_ptr()) }.cast::<ffi::PyObject>() == class.as_ptr()
    }

    /// Length of a list or tuple; `None` for anything else.
    pub fn sequence_length(self, object: &impl AsPython) -> Option<usize> {
        let length = if self.is_list(object) {
            // SAFETY: attached: `self`. live: a list (checked).
            unsafe { ffi::PyList_Size(object.as_ptr()) }
        } else if self.is_tuple(object) {
            // SAFETY: attached: `self`. live: a tuple (checked).
            unsafe { ffi::PyTuple_Size(object.as_ptr()) }
        } else {
            return None;
        };
        usize::try_from(length).ok()
    }

    /// Length of an exact list or tuple: a subclass may iterate over something else than it holds.
    pub fn plain_sequence_length(self, object: &impl AsPython) -> Option<usize> {
        // SAFETY: attached: `self`. live: `object`.
        let list = unsafe { ffi::PyList_CheckExact(object.as_ptr()) };
        // SAFETY: attached: `self`. live: `object`.
        let tuple = unsafe { ffi::PyTuple_CheckExact(object.as_ptr()) };
        if list == 0 && tuple == 0 { None } else { self.sequence_length(object) }
    }

    /// Item of a list or tuple.
    pub fn sequence_item(self, object: &impl AsPython, place: usize) -> Result<Object<'a>, PythonError<'a>> {
        if self.is_list(object) {
            // SAFETY: attached: `self`. live: a list (checked). Result: new reference, NULL out of range.
            return Object::from_new(self, unsafe { ffi::PyList_GetItemRef(object.as_ptr(), size(place)) });
        }
        // SAFETY: attached: `self`. live: `object`; not a tuple or out of range raises. Result: borrowed.
        let raw = unsafe { ffi::PyTuple_GetItem(object.as_ptr(), size(place)) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Object::from_borrowed(self, raw)),
            None => Err(PythonError::fetch(self)),
        }
    }
}

/// A bool as a named value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}
