//! C's heap, in which are all of Rust, and Python's objects above 512 bytes.

/// Gives free pages from the middle of it back to the system, where the C library can: glibc. Takes milliseconds.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no obligation: it may be called at any time on any thread (malloc_trim(3): MT-Safe), and moves nothing.
    unsafe {
        libc::malloc_trim(0);
    }
}
