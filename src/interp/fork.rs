//! Whether this process is the child of a fork that the application made.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);
static WATCH: Once = Once::new();

/// From here on a forked child of this process is told apart by [`is_forked`].
pub fn watch_forks() {
    extern "C" fn in_the_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: no-unwind: a store cannot panic. It may run in any child: it touches nothing but one atomic. The
        // module is never unloaded. Should it fail for want of memory, such a child is not noticed.
        unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
    });
}

/// Whether this is such a child. Only the thread that forked exists in it.
pub fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}
