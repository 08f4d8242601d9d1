//! The child of a fork that comes back to the server: it has the parent's request in hand, and no server behind it.

use crate::interp::{is_forked, leave_at_once};

/// The exit status of such a child: a failure that its parent, the application, can see.
const STATUS: i32 = 1;

/// Ends the process if it is a child that the application forked and let return from its own code. Its thread is
/// the only one left: the reply would reach nobody, and the next request never come.
pub(super) fn only_the_parent(number: u64) {
    if is_forked() {
        let line = format!(
            "interpreter {number}: process {} was forked by the application and came back to the server: it ends \
             here. Cure: os._exit() at its end, or subprocess\n",
            std::process::id()
        );
        // The log's lock may have been held by a thread that this process does not have. Should the line be lost,
        // the status tells.
        let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
        leave_at_once(STATUS);
    }
}
