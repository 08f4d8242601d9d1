//! Starting CPython in a process that is not `python`: for tests that link libpython.

use super::attach::Attached;
use super::ffi;

/// Starts CPython as `python` would, without its signal handlers, and detaches this thread for good.
/// Returns `sys.path`. May be called once a process.
pub fn start() -> Vec<String> {
    // SAFETY: may be called at any time from one thread; does nothing in a process that has CPython already.
    unsafe { ffi::Py_InitializeEx(0) };
    // SAFETY: attached: the call above leaves this thread so; nothing below detaches it before the end.
    let at = unsafe { Attached::assume() };
    let path = main_path(at);
    // SAFETY: attached. The thread state is not needed again: the main interpreter lives as long as the process.
    unsafe { ffi::PyEval_SaveThread() };
    path
}

fn main_path(at: Attached<'_>) -> Vec<String> {
    // First in the main interpreter, as the server does (gh-136421).
    let datetime = at.import(c"datetime").map(drop);
    let path = datetime.and_then(|()| at.import(c"sys")).and_then(|sys| at.attribute(&sys, c"path"));
    let Ok(path) = path else { return Vec::new() };
    let entries = 0..at.sequence_length(&path).unwrap_or(0);
    entries.filter_map(|place| at.text(&at.sequence_item(&path, place).ok()?).ok()).collect()
}
