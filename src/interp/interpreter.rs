//! Birth and end of interpreters.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::NonNull;

use parking_lot::Mutex;

use super::attach::{Attached, ThreadState};
use super::ffi;
use super::value::Truth;
use super::version;

/// One interpreter is made at a time: site and the import system of a new one read process-wide state
/// (environment, path configuration) that CPython does not lock.
static BIRTH: Mutex<()> = Mutex::new(());

/// An interpreter, on the thread where it was born and will end. Requirements kept by its type:
/// not `Send`; its thread state was made on this thread; [`Interpreter::end`] consumes it.
///
/// ```compile_fail
/// fn sent<T: Send>() {}
/// sent::<chaussette::interp::Interpreter>();
/// ```
#[derive(Debug)]
pub struct Interpreter {
    home: ThreadState,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A sub-interpreter with its own GIL, ended by us.
    OwnGil,
    /// The main interpreter, ended by whoever began it.
    Main,
    /// The same, on the thread that it began on, which is ours for a while: see [`adopt`].
    Adopted,
}

/// Why no interpreter was born.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    #[error("CPython made no sub-interpreter: {0}")]
    Refused(String),
    #[error("CPython is not initialised in this process")]
    NotInitialised,
    #[error("CPython made no thread state: out of memory")]
    NoThreadState,
}

/// How an interpreter was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Ended, or, for the main one, this thread's state given up.
    Ended,
    /// This many thread states of others were alive: ending it would have aborted the process.
    Abandoned { threads: usize },
}

/// Where an interpreter lives: lets other threads make a state of their own in it.
#[derive(Debug, Clone, Copy)]
pub struct Residence(NonNull<ffi::PyInterpreterState>);

// SAFETY: an address, dereferenced by CPython only; PyThreadState_New locks the interpreter's list. That
// the interpreter outlives its guests is kept by the worker that ends it: it joins them first (*order*).
unsafe impl Send for Residence {}

impl Interpreter {
    /// Makes a sub-interpreter with its own GIL on this thread. 10–30 ms.
    ///
    /// The main interpreter must have imported `datetime` before (3.13 crashes otherwise, gh-136421).
    pub fn own_gil() -> Result<Self, BirthError> {
        initialised()?;
        let config = ffi::PyInterpreterConfig {
            // An own GIL with the main allocator is a data race: CPython accepts it and crashes.
            use_main_obmalloc: 0,
            // A child forked from a sub-interpreter dies in CPython (gh-139759). subprocess still works.
            allow_fork: 0,
            allow_exec: 0,
            allow_threads: 1,
            // Agents such as Sentry and OpenTelemetry start daemon threads at import.
            allow_daemon_threads: 1,
            // Extensions that do not declare support refuse to load instead of corrupting memory.
            check_multi_interp_extensions: 1,
            gil: ffi::PyInterpreterConfig_OWN_GIL,
        };
        let mut raw = std::ptr::null_mut();
        let birth = BIRTH.lock();
        // SAFETY: order: birth lock held, main initialised (above). No state is current on this thread: it
        // is ours and detached between uses. `raw` receives the new state, current on this thread.
        let status = unsafe { ffi::Py_NewInterpreterFromConfig(&raw mut raw, &raw const config) };
        // SAFETY: a value from the call above.
        if unsafe { ffi::PyStatus_Exception(status) } != 0 {
            return Err(BirthError::Refused(message(status.err_msg)));
        }
        // SAFETY: attached: the new state is current. Detaches it; the result is that state.
        let raw = unsafe { ffi::PyEval_SaveThread() };
        drop(birth);
        let raw = NonNull::new(raw).ok_or(BirthError::NoThreadState)?;
        // SAFETY: home: made on this thread by the call above, detached, known to us alone.
        let home = unsafe { ThreadState::from_raw(raw) };
        Ok(Self { home, kind: Kind::OwnGil })
    }

    /// This thread's place in the main interpreter.
    pub fn main() -> Result<Self, BirthError> {
        initialised()?;
        // SAFETY: initialised (above); the main interpreter lives until the process ends.
        let main = unsafe { ffi::PyInterpreterState_Main() };
        let main = Residence(NonNull::new(main).ok_or(BirthError::NotInitialised)?);
        Ok(Self { home: main.enter()?, kind: Kind::Main })
    }

    /// This thread's own first place in the main interpreter, while [`adopt`] lends it and nobody has it.
    pub fn adopted() -> Result<Self, BirthError> {
        let raw = ADOPTED.take().ok_or(BirthError::NotInitialised)?;
        // SAFETY: home: of this thread, detached by `adopt`, which attaches it again only after it is back.
        Ok(Self { home: unsafe { ThreadState::from_raw(raw) }, kind: Kind::Adopted })
    }

    /// Gives back what [`Interpreter::adopted`] gave.
    pub fn hand_back(self) {
        if self.kind == Kind::Adopted {
            ADOPTED.set(NonNull::new(self.home.as_ptr()));
        }
    }

    pub fn residence(&self) -> Result<Residence, BirthError> {
        // SAFETY: live: the thread state belongs to `self`. Result: borrowed, never NULL for a live state.
        let raw = unsafe { ffi::PyThreadState_GetInterpreter(self.home.as_ptr()) };
        NonNull::new(raw).map(Residence).ok_or(BirthError::NotInitialised)
    }

    /// Whether it is a sub-interpreter, ended by us.
    pub fn is_own(&self) -> bool {
        self.kind == Kind::OwnGil
    }

    /// Whether our end of it is the application's end.
    pub fn is_the_last(&self) -> bool {
        self.kind != Kind::Main
    }

    /// Identifies this thread's state among those of its interpreter.
    pub fn state(&self) -> u64 {
        self.home.identifier()
    }

    /// Attaches this thread. See [`ThreadState::attach`].
    pub fn attach<R>(&mut self, work: impl for<'a> FnOnce(Attached<'a>) -> R) -> R {
        self.home.attach(work)
    }

    /// Ends it only if none of its own threads is left to wait for.
    pub fn end_if_alone(mut self) -> Departure {
        let raw = self.home.as_ptr();
        match self.home.attach(|at| other_threads(at, raw)) {
            others if others > 0 && self.is_own() => Departure::Abandoned { threads: others },
            _ => self.end(Truth::False),
        }
    }

    /// Ends it: joins its threads, runs its exit handlers, frees it. Its guests must have left. The caller
    /// has run `threading._shutdown()` and the exit handlers already, so that what is left to wait for
    /// here is nothing, or `left` is true: it would be waited for without end.
    pub fn end(mut self, left: Truth) -> Departure {
        match self.kind {
            Kind::Main => {
                self.home.delete();
                return Departure::Ended;
            }
            Kind::Adopted => {
                self.hand_back();
                return Departure::Ended;
            }
            Kind::OwnGil => {}
        }
        let raw = self.home.as_ptr();
        let others = self.home.attach(|at| other_threads(at, raw));
        if others > 0 && (left == Truth::True || !version::ends_beside_threads()) {
            return Departure::Abandoned { threads: others };
        }
        // SAFETY: home: made on this thread. Before 3.14 the last state (counted above: with none but ours,
        // no other thread can start one).
        unsafe { ffi::PyEval_AcquireThread(raw) };
        // SAFETY: attached: the line above. order: last state, or a version that bears others.
        unsafe { ffi::Py_EndInterpreter(raw) };
        Departure::Ended
    }
}

thread_local! {
    /// The state that [`adopt`] has detached, while nobody uses it.
    static ADOPTED: Cell<Option<NonNull<ffi::PyThreadState>>> = const { Cell::new(None) };
}

/// Lends `life` the attachment that this thread has: it finds it as [`Interpreter::adopted`], and is detached else.
/// For a thread that Python code has called from: a second state of it would not be the one that `PyGILState_*` of
/// C extensions finds.
pub fn adopt<R>(life: impl FnOnce() -> R) -> Result<R, BirthError> {
    /// Attaches again also when `life` panics.
    struct Again(NonNull<ffi::PyThreadState>);
    impl Drop for Again {
        fn drop(&mut self) {
            ADOPTED.set(None);
            // SAFETY: home: current on this thread when `adopt` began, and detached since: what had it is gone.
            unsafe { ffi::PyEval_AcquireThread(self.0.as_ptr()) };
        }
    }
    // SAFETY: may be called at any time, from any thread: NULL where it is not attached.
    if unsafe { ffi::PyThreadState_GetUnchecked() }.is_null() {
        return Err(BirthError::NotInitialised);
    }
    // SAFETY: attached: checked above.
    let raw = NonNull::new(unsafe { ffi::PyEval_SaveThread() }).ok_or(BirthError::NoThreadState)?;
    let _again = Again(raw);
    ADOPTED.set(Some(raw));
    Ok(life())
}

impl Residence {
    /// Makes this thread's own state in the interpreter.
    pub fn enter(self) -> Result<ThreadState, BirthError> {
        // SAFETY: live: the interpreter outlives its guests (*order*, see the type).
        let raw = unsafe { ffi::PyThreadState_New(self.0.as_ptr()) };
        let raw = NonNull::new(raw).ok_or(BirthError::NoThreadState)?;
        // SAFETY: home: made on this thread just now, detached, known to us alone.
        Ok(unsafe { ThreadState::from_raw(raw) })
    }
}

impl ThreadState {
    /// A guest leaves: its state is cleared and deleted on its own thread.
    pub fn leave(self) {
        self.delete();
    }
}

/// The first of the thread states of the current interpreter.
pub(super) fn first_state(_attached: Attached<'_>) -> *mut ffi::PyThreadState {
    // SAFETY: attached: so there is a current state. Result: borrowed, never NULL.
    let ours = unsafe { ffi::PyThreadState_Get() };
    // SAFETY: live: our own state. Result: borrowed.
    let interpreter = unsafe { ffi::PyThreadState_GetInterpreter(ours) };
    // SAFETY: live: the current interpreter; CPython locks its list.
    unsafe { ffi::PyInterpreterState_ThreadHead(interpreter) }
}

/// Counts the live thread states of the current interpreter other than `ours`.
fn other_threads(at: Attached<'_>, ours: *mut ffi::PyThreadState) -> usize {
    let mut state = first_state(at);
    let mut others = 0;
    while !state.is_null() {
        if state != ours {
            others += 1;
        }
        // SAFETY: live: attached, so no Python thread of this interpreter ends meanwhile (own GIL).
        state = unsafe { ffi::PyThreadState_Next(state) };
    }
    others
}

fn initialised() -> Result<(), BirthError> {
    // SAFETY: may be called at any time, from any thread.
    if unsafe { ffi::Py_IsInitialized() } == 0 { Err(BirthError::NotInitialised) } else { Ok(()) }
}

fn message(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: checked: not NULL; a C string with static lifetime in PyStatus.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A descriptor of ours for the file that Python has open as `descriptor`, close-on-exec.
pub fn duplicate(descriptor: i32) -> std::io::Result<std::os::fd::OwnedFd> {
    // SAFETY: live: the caller's Python file object holds it open for the length of the call; should it be
    // closed all the same, dup fails with EBADF or copies a stranger's descriptor, never memory.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned()
}

/// The calling thread, as CPython's thread states name it.
pub fn this_thread() -> u64 {
    // SAFETY: may be called at any time, from any thread: it reads what the system knows of the thread.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// Leaves the process without ending any interpreter: some could not be ended, or still run.
pub fn leave_at_once(status: i32) -> ! {
    // SAFETY: never returns and runs no code of ours or of Python's.
    unsafe { libc::_exit(status) }
}

/// Leaves the process with `status` after `patience`, unless it has ended by itself until then.
pub fn leave_after(status: i32, patience: std::time::Duration) -> std::io::Result<()> {
    std::thread::Builder::new().name("last-watch".to_owned()).spawn(move || {
        let deadline = std::time::Instant::now() + patience;
        while let Some(left) = deadline.checked_duration_since(std::time::Instant::now()) {
            std::thread::park_timeout(left);
        }
        leave_at_once(status)
    })?;
    Ok(())
}
