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
use super::object::{Kept, Object, Pointer};
use super::{ffi, version};

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
    /// The positional ones, and behind them the values of the keyword arguments.
    array: *const *mut ffi::PyObject,
    count: usize,
    /// The names of the keyword arguments, a tuple.
    names: Option<NonNull<ffi::PyObject>>,
}

impl<'a> Arguments<'a> {
    /// How many positional arguments there are.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object that is called, `self` in Python.
    pub fn this(&self) -> Object<'a> {
        Object::from_borrowed(self.at, self.this)
    }

    /// `self`'s method of this name, bound to it.
    pub fn method(&self, name: &CStr) -> Outcome<'a> {
        // SAFETY: attached: `self.at`. live: lent by C. Result: borrowed, and a heap type of ours.
        let class = unsafe { ffi::Py_TYPE(self.this.as_ptr()) };
        // SAFETY: a heap type; the slot holds what it was made from, which lives for ever.
        let mut define = unsafe { ffi::PyType_GetSlot(class, ffi::Py_tp_methods) }.cast::<ffi::PyMethodDef>();
        while let Some(known) = NonNull::new(define) {
            // SAFETY: live: within the table, whose last entry has no name and ends the loop.
            let known = unsafe { known.as_ref() };
            if known.ml_name.is_null() {
                break;
            }
            // SAFETY: live: the name is one of `Class::METHODS`, a C string for ever.
            if unsafe { CStr::from_ptr(known.ml_name) } == name {
                // SAFETY: attached: `self.at`. live: the definition for ever, `this` lent by C. Result: new
                // reference, which has one of its own to `this`.
                let bound =
                    unsafe { ffi::PyCFunction_NewEx(define, self.this.as_ptr(), std::ptr::null_mut()) };
                return Object::from_new(self.at, bound);
            }
            // SAFETY: in bounds: this entry was not the last.
            define = unsafe { define.add(1) };
        }
        Err(PythonError::new(self.at, ExceptionKind::TypeError, "no such method"))
    }

    /// The value of one keyword argument.
    pub fn keyword(&self, name: &CStr) -> Option<Object<'a>> {
        let names = self.names?;
        let place = (0..self.keywords()).find(|place| {
            let place = ffi::Py_ssize_t::try_from(*place).unwrap_or(ffi::Py_ssize_t::MAX);
            // SAFETY: attached: `self.at`. live: C lends the tuple. In range. Result: borrowed, a str.
            let known = unsafe { ffi::PyTuple_GetItem(names.as_ptr(), place) };
            // SAFETY: attached: `self.at`. live: a str, and a C string in ASCII.
            unsafe { ffi::PyUnicode_CompareWithASCIIString(known, name.as_ptr()) == 0 }
        })?;
        self.lent(self.count + place)
    }

    /// How many keyword arguments there are.
    pub fn keywords(&self) -> usize {
        let Some(names) = self.names else { return 0 };
        // SAFETY: attached: `self.at`. live: C lends the tuple for the length of the call.
        usize::try_from(unsafe { ffi::PyTuple_Size(names.as_ptr()) }).unwrap_or(0)
    }

    pub fn get(&self, index: usize) -> Option<Object<'a>> {
        if index < self.count { self.lent(index) } else { None }
    }

    /// Of all that was passed, what is at `index`, which is in range.
    fn lent(&self, index: usize) -> Option<Object<'a>> {
        // SAFETY: in bounds: the callers have compared with the number of arguments.
        let place = unsafe { self.array.add(index) };
        // SAFETY: live: C lends the array and what it holds for the length of the call.
        NonNull::new(unsafe { *place }).map(|raw| Object::from_borrowed(self.at, raw))
    }
}

#[repr(C)]
struct Layout<C> {
    head: ffi::PyObject,
    /// Where CPython finds the function behind `self(...)`, without a tuple to be made: PEP 590.
    call: Option<ffi::vectorcallfunc>,
    payload: C,
}

/// An instance and its payload.
#[derive(Debug)]
pub struct Instance<'a, C> {
    object: Object<'a>,
    payload: PhantomData<C>,
}

/// An instance between attachments, as [`Kept`].
#[derive(Debug)]
pub struct KeptInstance<C> {
    object: Kept,
    payload: PhantomData<fn(C)>,
}

impl<C> KeptInstance<C> {
    /// The reference itself, for this attachment.
    pub fn take(self, at: Attached<'_>) -> Instance<'_, C> {
        Instance { object: self.object.take(at), payload: PhantomData }
    }
}

impl<C> Instance<'_, C> {
    /// Keeps the reference beyond this attachment.
    pub fn keep(self) -> KeptInstance<C> {
        KeptInstance { object: self.object.keep(), payload: PhantomData }
    }

    /// Whether there are no references but this one and `others` that the caller knows of, so that nobody else can
    /// come by one. Without a GIL that cannot be told.
    pub fn is_known_to(&self, others: usize) -> bool {
        // SAFETY: attached: `self.object`. live: it.
        let references = unsafe { ffi::Py_REFCNT(self.object.as_ptr()) };
        version::COUNTS_ONCE && usize::try_from(references) == Ok(1 + others)
    }
}

impl<C> std::ops::Deref for Instance<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        // SAFETY: live: `self.object`; an instance of Type<C>, whose payload was written at birth.
        unsafe { &(*self.object.as_ptr().cast::<Layout<C>>()).payload }
    }
}

impl<C> Pointer for Instance<'_, C> {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.object.as_ptr()
    }
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
            Protocol::Callable => {
                slots.push(slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void));
                slots.push(slot(ffi::Py_tp_members, vectorcall_offset::<C>().cast()));
            }
            Protocol::Iterator => {
                slots.push(slot(ffi::Py_tp_iter, iter as *mut c_void));
                slots.push(slot(ffi::Py_tp_iternext, next::<C> as *mut c_void));
            }
        }
        slots.push(slot(0, std::ptr::null_mut()));
        let mut spec = ffi::PyType_Spec {
            name: C::NAME.as_ptr(),
            basicsize: c_int::try_from(size_of::<Layout<C>>()).unwrap_or(c_int::MAX),
            itemsize: 0,
            flags: flags(C::PROTOCOL),
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: attached: `at`. live: `spec` and `slots` for the call, names and methods for ever.
        let class = Object::from_new(at, unsafe { ffi::PyType_FromSpec(&raw mut spec) })?;
        Ok(Self { class: class.keep(), payload: PhantomData })
    }

    /// A new instance around `payload`.
    pub fn instance<'a>(&self, at: Attached<'a>, payload: C) -> Result<Instance<'a, C>, PythonError<'a>> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: attached: `at`. live: the type, kept by `self`. Result: new reference, its memory zeroed.
        let object = Object::from_new(at, unsafe { ffi::PyType_GenericAlloc(class, 0) })?;
        let instance = object.as_ptr().cast::<Layout<C>>();
        if C::PROTOCOL == Protocol::Callable {
            // SAFETY: in bounds: the type's basicsize is that of Layout<C>.
            let place = unsafe { &raw mut (*instance).call };
            // SAFETY: nobody else knows the object yet.
            unsafe { place.write(Some(call::<C>)) };
        }
        // SAFETY: in bounds: as above.
        let place = unsafe { &raw mut (*instance).payload };
        // SAFETY: nobody else knows the object yet, and what is overwritten are zeroes. CPython allocates with
        // 16-byte alignment, checked for C at compile time below.
        unsafe { place.write(payload) };
        const { assert!(align_of::<Layout<C>>() <= 16) };
        Ok(Instance { object, payload: PhantomData })
    }

    pub fn release(self, at: Attached<'_>) {
        self.class.release(at);
    }
}

fn slot(slot: c_int, function: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc: function }
}

#[allow(clippy::cast_possible_truncation, reason = "all type flags in use are below bit 32")]
fn flags(protocol: Protocol) -> c_uint {
    let common =
        ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_IMMUTABLETYPE | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    (match protocol {
        Protocol::Callable => common | ffi::Py_TPFLAGS_HAVE_VECTORCALL,
        Protocol::Iterator => common,
    }) as c_uint
}

/// Says where in an instance [`Layout::call`] is. CPython reads it while it makes the type: one small leak more.
fn vectorcall_offset<C>() -> *mut ffi::PyMemberDef {
    let offset = ffi::Py_ssize_t::try_from(std::mem::offset_of!(Layout<C>, call));
    let member = ffi::PyMemberDef {
        name: c"__vectorcalloffset__".as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset.unwrap_or(ffi::Py_ssize_t::MAX),
        flags: ffi::Py_READONLY,
        ..ffi::PyMemberDef::default()
    };
    Box::leak(Box::new([member, ffi::PyMemberDef::default()])).as_mut_ptr()
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
    // SAFETY: CPython never passes a NULL `self`.
    unsafe { NonNull::new_unchecked(raw) }
}

/// # Safety
/// `this` is a live instance of `Type<C>`, borrowed by C for the length of its call.
unsafe fn payload<'c, C: Class>(this: *mut ffi::PyObject) -> &'c C {
    // SAFETY: see above; payloads are written at birth and dropped in `dealloc` only.
    unsafe { &(*this.cast::<Layout<C>>()).payload }
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
        let arguments = Arguments { at, this: lent(this), array, count, names: None };
        payload.method(at, INDEX, &arguments).map(Object::into_ptr)
    })
}

unsafe extern "C" fn call<C: Class>(
    this: *mut ffi::PyObject,
    array: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    enter(|at| {
        // SAFETY: the function is in instances of Type<C> only.
        let payload = unsafe { payload::<C>(this) };
        // SAFETY: a function of its argument alone: the count without PEP 590's flag beside it.
        let count = usize::try_from(unsafe { ffi::PyVectorcall_NARGS(count) }).unwrap_or(0);
        let arguments = Arguments { at, this: lent(this), array, count, names: NonNull::new(names) };
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
    let instance = this.cast::<Layout<C>>();
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
