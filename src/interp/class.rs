//! Python types made in Rust, and the one trampoline from C into Rust.
//!
//! A [`Type`] is a heap type of one interpreter. Its instances hold a Rust payload and no Python
//! references, so they need no garbage collection and may be freed by any thread of the interpreter.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::attach::Attached;
use super::exception::{ExceptionKind, PythonError};
use super::ffi;
use super::object::{Kept, Object, Pointer};

/// What a Rust payload offers Python. `Send + Sync`: an application may use an instance from any of its
/// threads, and free-threaded builds do so at once.
pub trait Class: Send + Sync + Sized + 'static {
    /// `module.Name`.
    const NAME: &'static CStr;
    /// Methods with positional arguments, four at most; their index goes to [`Class::method`].
    const METHODS: &'static [&'static CStr] = &[];
    const PROTOCOL: Protocol;

    /// `self.METHODS[index](*arguments)`.
    fn method<'a>(&self, at: Attached<'a>, index: usize, arguments: &Arguments<'a>) -> Outcome<'a> {
        let _ = (index, arguments);
        Err(PythonError::new(at, ExceptionKind::TypeError, "no such method"))
    }

    /// `self(*arguments)`.
    fn call<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Outcome<'a> {
        let _ = arguments;
        Err(PythonError::new(at, ExceptionKind::TypeError, "not callable"))
    }

    /// `next(self)`; `None` at the end.
    fn next<'a>(&self, at: Attached<'a>) -> Result<Option<Object<'a>>, PythonError<'a>> {
        Err(PythonError::new(at, ExceptionKind::TypeError, "not an iterator"))
    }
}

/// Which of Python's protocols a class takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Callable,
    Iterator,
}

pub type Outcome<'a> = Result<Object<'a>, PythonError<'a>>;

/// Methods of one class at most: one C function each, made below.
const MOST_METHODS: usize = 4;

/// Arguments of a call from Python, borrowed for its length.
#[derive(Debug)]
pub struct Arguments<'a> {
    at: Attached<'a>,
    this: NonNull<ffi::PyObject>,
    given: Given,
}

#[derive(Debug)]
enum Given {
    Array(*const *mut ffi::PyObject, usize),
    Tuple(NonNull<ffi::PyObject>, usize, Option<NonNull<ffi::PyObject>>),
}

impl<'a> Arguments<'a> {
    pub fn len(&self) -> usize {
        match self.given {
            Given::Array(_, count) | Given::Tuple(_, count, _) => count,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object that is called, `self` in Python.
    pub fn this(&self) -> Object<'a> {
        Object::from_borrowed(self.at, self.this)
    }

    /// The value of one keyword argument.
    pub fn keyword(&self, name: &CStr) -> Option<Object<'a>> {
        let Given::Tuple(_, _, Some(keywords)) = self.given else {
            return None;
        };
        // SAFETY: attached: `self.at`. live: C lends the dict for the length of the call. Result: borrowed.
        let found = unsafe { ffi::PyDict_GetItemString(keywords.as_ptr(), name.as_ptr()) };
        NonNull::new(found).map(|found| Object::from_borrowed(self.at, found))
    }

    /// How many keyword arguments there are.
    pub fn keywords(&self) -> usize {
        let Given::Tuple(_, _, Some(keywords)) = self.given else {
            return 0;
        };
        // SAFETY: attached: `self.at`. live: C lends the dict for the length of the call.
        usize::try_from(unsafe { ffi::PyDict_Size(keywords.as_ptr()) }).unwrap_or(0)
    }

    pub fn get(&self, index: usize) -> Option<Object<'a>> {
        if index >= self.len() {
            return None;
        }
        let raw = match self.given {
            Given::Array(array, count) => {
                // SAFETY: live: C lends the array, with its length, for the length of the call.
                let array = unsafe { std::slice::from_raw_parts(array, count) };
                *array.get(index)?
            }
            Given::Tuple(tuple, ..) => {
                let index = ffi::Py_ssize_t::try_from(index).ok()?;
                // SAFETY: attached: `self.at`. live: C lends the tuple. In range: above. Result: borrowed.
                unsafe { ffi::PyTuple_GetItem(tuple.as_ptr(), index) }
            }
        };
        NonNull::new(raw).map(|raw| Object::from_borrowed(self.at, raw))
    }
}

#[repr(C)]
struct Instance<C> {
    head: ffi::PyObject,
    payload: C,
}

/// A class in one interpreter.
#[derive(Debug)]
pub struct Type<C> {
    class: Kept,
    payload: PhantomData<fn(C)>,
}

impl<C: Class> Type<C> {
    /// Makes the heap type in the interpreter that is attached.
    pub fn new(at: Attached<'_>) -> Result<Self, PythonError<'_>> {
        // CPython keeps pointing at the method table of a type for ever: one small leak per interpreter.
        let methods: &'static mut [ffi::PyMethodDef] = Vec::leak(methods::<C>());
        let mut slots = vec![
            slot(ffi::Py_tp_dealloc, dealloc::<C> as *mut c_void),
            slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        ];
        match C::PROTOCOL {
            Protocol::Callable => slots.push(slot(ffi::Py_tp_call, call::<C> as *mut c_void)),
            Protocol::Iterator => {
                slots.push(slot(ffi::Py_tp_iter, iter as *mut c_void));
                slots.push(slot(ffi::Py_tp_iternext, next::<C> as *mut c_void));
            }
        }
        slots.push(slot(0, std::ptr::null_mut()));
        let mut spec = ffi::PyType_Spec {
            name: C::NAME.as_ptr(),
            basicsize: c_int::try_from(size_of::<Instance<C>>()).unwrap_or(c_int::MAX),
            itemsize: 0,
            flags: flags(),
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: attached: `at`. live: `spec` and `slots` for the call, names and methods for ever.
        let class = Object::from_new(at, unsafe { ffi::PyType_FromSpec(&raw mut spec) })?;
        Ok(Self { class: class.keep(), payload: PhantomData })
    }

    /// A new instance around `payload`.
    pub fn instance<'a>(&self, at: Attached<'a>, payload: C) -> Result<Object<'a>, PythonError<'a>> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: attached: `at`. live: the type, kept by `self`. Result: new reference, its memory zeroed.
        let object = Object::from_new(at, unsafe { ffi::PyType_GenericAlloc(class, 0) })?;
        let instance = object.as_ptr().cast::<Instance<C>>();
        // SAFETY: in bounds: the type's basicsize is that of Instance<C>.
        let place = unsafe { &raw mut (*instance).payload };
        // SAFETY: nobody else knows the object yet, and what is overwritten are zeroes. CPython allocates with
        // 16-byte alignment, checked for C at compile time below.
        unsafe { place.write(payload) };
        const { assert!(align_of::<Instance<C>>() <= 16) };
        Ok(object)
    }

    /// Lends the payload of `object`, if it is of this type.
    pub fn payload<'o>(&self, at: Attached<'_>, object: &'o Object<'_>) -> Option<&'o C> {
        if !at.is_exactly(object, &self.class) {
            return None;
        }
        // SAFETY: live: borrowed for 'o; an instance of this type, whose payload was written at birth.
        Some(unsafe { &(*object.as_ptr().cast::<Instance<C>>()).payload })
    }

    pub fn release(self, at: Attached<'_>) {
        self.class.release(at);
    }
}

fn slot(slot: c_int, function: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc: function }
}

#[allow(clippy::cast_possible_truncation, reason = "all type flags in use are below bit 32")]
fn flags() -> c_uint {
    (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_IMMUTABLETYPE | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        as c_uint
}

fn methods<C: Class>() -> Vec<ffi::PyMethodDef> {
    const { assert!(C::METHODS.len() <= MOST_METHODS) };
    let functions = [method::<C, 0>, method::<C, 1>, method::<C, 2>, method::<C, 3>];
    let define = |name: &CStr, function| ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: function },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: std::ptr::null(),
    };
    let mut methods: Vec<_> =
        C::METHODS.iter().zip(functions).map(|(name, function)| define(name, function)).collect();
    methods.push(ffi::PyMethodDef::zeroed());
    methods
}

/// The one way from C into Rust: catches panics, turns each failure into a raised exception.
fn enter(
    work: impl for<'a> FnOnce(Attached<'a>) -> Result<*mut ffi::PyObject, PythonError<'a>>,
) -> *mut ffi::PyObject {
    // SAFETY: attached: CPython calls type slots and methods attached, and stays so until they return.
    let at = unsafe { Attached::assume() };
    // AssertUnwindSafe: payloads guard their own state by mutexes that cannot be poisoned.
    match catch_unwind(AssertUnwindSafe(|| work(at))) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            error.raise();
            std::ptr::null_mut()
        }
        Err(_) => {
            PythonError::new(at, ExceptionKind::RuntimeError, "the server panicked; see its log").raise();
            std::ptr::null_mut()
        }
    }
}

/// An object that C lends for the length of its call.
fn lent(raw: *mut ffi::PyObject) -> NonNull<ffi::PyObject> {
    // SAFETY: CPython passes neither a method nor tp_call a NULL object or argument tuple.
    unsafe { NonNull::new_unchecked(raw) }
}

/// # Safety
/// `this` is a live instance of `Type<C>`, borrowed by C for the length of its call.
unsafe fn payload<'c, C: Class>(this: *mut ffi::PyObject) -> &'c C {
    // SAFETY: see above; payloads are written at birth and dropped in `dealloc` only.
    unsafe { &(*this.cast::<Instance<C>>()).payload }
}

unsafe extern "C" fn method<C: Class, const INDEX: usize>(
    this: *mut ffi::PyObject,
    array: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    enter(|at| {
        // SAFETY: the method belongs to Type<C>: C checked `this`.
        let payload = unsafe { payload::<C>(this) };
        let count = usize::try_from(count).unwrap_or(0);
        let arguments = Arguments { at, this: lent(this), given: Given::Array(array, count) };
        payload.method(at, INDEX, &arguments).map(Object::into_ptr)
    })
}

unsafe extern "C" fn call<C: Class>(
    this: *mut ffi::PyObject,
    tuple: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    enter(|at| {
        // SAFETY: the slot belongs to Type<C>.
        let payload = unsafe { payload::<C>(this) };
        let tuple = lent(tuple);
        // SAFETY: attached: `at`. live: C lends a tuple.
        let count = usize::try_from(unsafe { ffi::PyTuple_Size(tuple.as_ptr()) }).unwrap_or(0);
        let arguments =
            Arguments { at, this: lent(this), given: Given::Tuple(tuple, count, NonNull::new(keywords)) };
        payload.call(at, &arguments).map(Object::into_ptr)
    })
}

unsafe extern "C" fn iter(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: attached and live: C lends `this`; the result is a new reference to it.
    unsafe { ffi::Py_INCREF(this) };
    this
}

unsafe extern "C" fn next<C: Class>(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    enter(|at| {
        // SAFETY: the slot belongs to Type<C>.
        let payload = unsafe { payload::<C>(this) };
        // NULL without an exception is the end of an iterator.
        Ok(payload.next(at)?.map_or(std::ptr::null_mut(), Object::into_ptr))
    })
}

unsafe extern "C" fn dealloc<C: Class>(this: *mut ffi::PyObject) {
    let instance = this.cast::<Instance<C>>();
    // SAFETY: in bounds: `this` is an instance of Type<C>, whose payload was written at birth.
    let payload = unsafe { &raw mut (*instance).payload };
    // A panic in the payload's drop must not reach C; what it leaves undone is not ours to mend.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the last reference is gone: nobody else sees the payload, and it is dropped once.
        unsafe { std::ptr::drop_in_place(payload) };
    }));
    // SAFETY: attached: C calls dealloc attached. live: `this` until it is freed below.
    let class = unsafe { ffi::Py_TYPE(this) };
    // SAFETY: allocated by PyType_GenericAlloc for a type without GC; freed once.
    unsafe { ffi::PyObject_Free(this.cast()) };
    // SAFETY: owned: each instance of a heap type owns a reference to it, given back here.
    unsafe { ffi::Py_DECREF(class.cast()) };
}
