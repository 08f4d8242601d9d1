//! CPython behind one door. Alone names `pyo3_ffi`; with `listener` alone holds `unsafe`.
//!
//! Owns interpreters, thread states and references. Knows nothing of ours: neither requests nor workers.
//! Three types are the proof that the rules of the C API are kept:
//! - [`Interpreter`]: born and ended on one thread, never sent elsewhere.
//! - [`ThreadState`]: this thread's own state in one interpreter, kept for the thread's life.
//! - [`Attached`]: exists only while that state is attached; whoever lacks it cannot touch an object.
//!
//! The obligations that `SAFETY:` comments cite are listed in `docs/unsafe.md`: *attached, home, live,
//! owned, checked, no-unwind, order*.
#![allow(unsafe_code, reason = "the one door to CPython's C API; obligations in docs/unsafe.md")]

mod attach;
mod call;
mod class;
pub mod embed;
mod exception;
mod ffi;
mod fork;
mod heap;
mod interpreter;
mod interrupt;
mod lend;
mod object;
mod value;
mod version;

pub use attach::{Attached, ThreadState};
pub use class::{Arguments, Class, Instance, KeptInstance, Outcome, Protocol, Type};
pub use exception::{ExceptionKind, PythonError};
pub use fork::{is_forked, watch_forks};
pub use heap::trim_heap;
pub use interpreter::{
    BirthError, Departure, Interpreter, Residence, adopt, duplicate, leave_after, leave_at_once, this_thread,
};
pub use lend::Lender;
pub use object::{AsPython, Kept, Object};
pub use value::Truth;
