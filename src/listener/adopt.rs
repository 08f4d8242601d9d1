//! Makes an inherited descriptor ours, if it is a listening stream socket.
//!
//! Trusts nothing: whether the number is open, a socket, of which family and kind, and listening,
//! is read off the descriptor. Changes nothing that other processes see: FD_CLOEXEC belongs to the
//! descriptor, not to the socket.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::net::sockopt::socket_type;
use rustix::net::{AddressFamily, SocketType, getpeername, getsockname};
use socket2::SockRef;

/// The lowest descriptor that is not a standard stream.
const FIRST_FREE_FD: RawFd = 3;

/// Why a descriptor cannot be adopted, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// EBADF.
    #[error(
        "it is not open: with Circus the watcher needs use_sockets = True and \
         --fd $(circus.sockets.NAME) in its cmd"
    )]
    NotOpen,
    /// ENOTSOCK.
    #[error(
        "it is open but not a socket: with Circus write --fd $(circus.sockets.NAME), \
         since the number differs from start to start"
    )]
    NotASocket,
    /// A datagram socket, say.
    #[error("it is not a stream socket: set type = SOCK_STREAM (Circus) or ListenStream= (systemd)")]
    NotAStream,
    /// Neither TCP nor unix.
    #[error("its address family is {0}: only AF_INET, AF_INET6 and AF_UNIX are served")]
    Family(u16),
    /// Somebody accepted it already.
    #[error(
        "it is a connection, not a listening socket: set Accept=no (systemd) or let one process \
         serve all connections (inetd: wait)"
    )]
    Connected,
    /// What Circus hands over in its so_reuseport trap.
    #[error(
        "it is neither bound nor listening: a Circus socket with so_reuseport is opened only for a \
         $(circus.sockets.NAME) in cmd, so move it there from args"
    )]
    Unbound,
    /// The last step was forgotten.
    #[error("it is bound but not listening: whoever opened it must call listen() before it starts us")]
    NotListening,
    /// A system call failed that has no reason to.
    #[error("{0}")]
    System(io::Error),
}

impl From<Errno> for AdoptError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// Takes `fd` over, close-on-exec from now on.
pub(super) fn adopt(fd: RawFd) -> Result<OwnedFd, AdoptError> {
    if fd < 0 {
        return Err(AdoptError::NotOpen);
    }
    // SAFETY: live: the number comes from outside and may name nothing, in which case each use
    // below is a system call that answers EBADF. If it names something, that stays open while
    // borrowed: an inherited descriptor has no owner in this process that could close it, and one
    // that was opened here is served by the caller, who keeps it.
    let given = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl_getfd(given).map_err(|_| AdoptError::NotOpen)?;
    check(given)?;
    if flags.contains(FdFlags::CLOEXEC) {
        // exec would have closed it, so it is not inherited: somebody in this process opened it
        // (or adopted it before) and will close it. We take a descriptor of our own.
        return Ok(fcntl_dupfd_cloexec(given, FIRST_FREE_FD)?);
    }
    if fd < FIRST_FREE_FD {
        let ours = fcntl_dupfd_cloexec(given, FIRST_FREE_FD)?;
        put_null_on(fd).map_err(AdoptError::System)?;
        return Ok(ours);
    }
    fcntl_setfd(given, flags | FdFlags::CLOEXEC)?;
    // SAFETY: owned: it was open and inherited, so nobody in this process owned it until here; and
    // nobody will a second time, since FD_CLOEXEC, just set, sends a second adoption to the branch
    // that duplicates.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts /dev/null where the listening socket was handed over as a standard stream (`stdin_socket`
/// of Circus, Supervisor's `[fcgi-program]`). Children inherit the standard streams whatever their
/// FD_CLOEXEC, so they would keep the port open after our end; and a read of `sys.stdin` would fail
/// with ENOTCONN where every other start under Circus reads an end of file.
fn put_null_on(fd: RawFd) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    Ok(match fd {
        0 => rustix::stdio::dup2_stdin(&null),
        1 => rustix::stdio::dup2_stdout(&null),
        _ => rustix::stdio::dup2_stderr(&null),
    }?)
}

/// Says what the descriptor is if not a listening stream socket that we serve.
fn check(given: BorrowedFd<'_>) -> Result<(), AdoptError> {
    match socket_type(given) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err(AdoptError::NotAStream),
        Err(Errno::NOTSOCK) => return Err(AdoptError::NotASocket),
        Err(error) => return Err(error.into()),
    }
    let family = getsockname(given)?.address_family();
    if ![AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX].contains(&family) {
        return Err(AdoptError::Family(family.as_raw()));
    }
    if is_listening(given).map_err(AdoptError::System)? {
        return Ok(());
    }
    Err(match getpeername(given) {
        Ok(_) => AdoptError::Connected,
        Err(_) if is_bound(given).map_err(AdoptError::System)? => AdoptError::NotListening,
        Err(_) => AdoptError::Unbound,
    })
}

#[cfg(not(target_vendor = "apple"))]
fn is_listening(given: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(given)?)
}

/// macOS does not tell SO_ACCEPTCONN. What has a name and no peer is taken to be listening; if it
/// is not, the first accept says EINVAL.
#[cfg(target_vendor = "apple")]
fn is_listening(given: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(getpeername(given).is_err() && is_bound(given)?)
}

/// Whether the socket has an address of its own.
fn is_bound(given: BorrowedFd<'_>) -> io::Result<bool> {
    let name = SockRef::from(&given).local_addr()?;
    Ok(match name.as_socket() {
        Some(inet) => inet.port() != 0,
        None => !name.is_unnamed(),
    })
}
