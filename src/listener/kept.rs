//! Listening sockets that outlive an exec of this process: `--reload` where the process begins anew.
//!
//! Owns the variable that names them, which `cli` reads. Nobody connects in vain meanwhile: the kernel queues.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};

use super::Listener;

/// Environment variable: the process, then a descriptor for each address, in order; `-` for one to be opened again.
pub const KEPT: &str = "CHAUSSETTE_KEPT";

/// Descriptors of the listeners, in the order of their addresses. None of a unix socket that we made: its file goes
/// with its listener, and is made anew.
#[derive(Debug)]
pub struct Kept(Vec<Option<OwnedFd>>);

impl Kept {
    pub fn of(listeners: &[Listener]) -> std::io::Result<Self> {
        let keep = |listener: &Listener| match listener._file {
            None => listener.socket.as_fd().try_clone_to_owned().map(Some),
            Some(_) => Ok(None),
        };
        listeners.iter().map(keep).collect::<Result<_, _>>().map(Self)
    }

    /// Lets them outlive an exec; returns the variable that tells of them, by name and value.
    pub fn pass_on(self) -> std::io::Result<(&'static str, String)> {
        let mut value = std::process::id().to_string();
        for socket in self.0 {
            value.push(',');
            match socket {
                Some(socket) => {
                    fcntl_setfd(&socket, FdFlags::empty())?;
                    value.push_str(&socket.as_raw_fd().to_string());
                    // From here on it belongs to the process that exec makes of this one.
                    std::mem::forget(socket);
                }
                None => value.push('-'),
            }
        }
        Ok((KEPT, value))
    }
}
