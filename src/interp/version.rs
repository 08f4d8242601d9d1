//! What depends on the version of the CPython that we run in. Alone asks for it; its counterpart in Python is
//! `chaussette/_cpython.py`.
//!
//! Owns one question a difference, named after what differs. What 3.13 needs and later versions bear is done on
//! all of them, and is no question: the early import of `datetime`, threads' stacks, the thread states that
//! are kept.

use super::ffi;

/// 3.14, as `PY_VERSION_HEX` has it: any of its releases, the candidates included.
const V3_14: u32 = 0x030E_0000;

/// Whether `Py_EndInterpreter` survives other live thread states. Before 3.14 it aborts the process ("not the
/// last thread", gh-128639).
pub(super) fn ends_beside_threads() -> bool {
    version() >= V3_14
}

/// Whether references are counted in one place and by one thread at a time: where the GIL is. A build without one has
/// two counts in the head of each object.
pub(super) const COUNTS_ONCE: bool = size_of::<ffi::PyObject>() == 2 * size_of::<usize>();

/// The version of the CPython that we run in, as `PY_VERSION_HEX`: not that of the headers at compile time.
fn version() -> u32 {
    // SAFETY: a constant of libpython.
    u32::try_from(unsafe { ffi::Py_Version }).unwrap_or(u32::MAX)
}
