//! The sockets that connections are accepted on: adopted, or bound by us.
//!
//! Owns the listening descriptors and, where we made it, the unix socket's file. Knows no reactor:
//! `http/` puts a [`Listener`] into tokio's `AsyncFd` and calls [`Listener::accept`] when it is
//! readable. An adopted socket is one open file description shared with whoever opened it and with
//! its other users (Circus, systemd, siblings), so here nothing ever calls `listen()` or
//! `shutdown(2)` on it, sets an option of it, or unlinks its path.
//!
//! The unsafe door is `adopt`: there a number from outside becomes a descriptor.

#[allow(unsafe_code, reason = "the door of this half: obligations in docs/unsafe.md")]
mod adopt;
mod bind;
mod kept;

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, SocketAddrAny};

pub use self::adopt::AdoptError;
use self::bind::Access;
pub use self::bind::BindError;
pub use self::kept::{KEPT, Kept};
use crate::config::Address;

/// A listening socket of ours: dropped, it accepts no more.
#[derive(Debug)]
pub struct Listener {
    /// First, so that it is dropped first: while the socket is open the file's inode number cannot
    /// be given to another file, so "still the same inode" is "still our file".
    _file: Option<bind::SocketFile>,
    socket: OwnedFd,
    /// As asked for, with the port that the kernel chose if 0 was asked.
    address: Address,
    local: Local,
    /// A stranger has cleared O_NONBLOCK since we set it.
    meddled: AtomicBool,
}

/// A socket of our own, and its file if it has one.
type Made = (Option<bind::SocketFile>, OwnedFd);

/// Where a listening socket is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    Inet(SocketAddr),
    Unix,
}

/// What a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP, over IPv4 or IPv6.
    Tcp,
    /// Unix stream.
    Unix,
}

/// An accepted connection, non-blocking and closed on exec.
#[derive(Debug)]
pub enum Stream {
    /// TCP, over IPv4 or IPv6.
    Tcp(TcpStream),
    /// Unix stream.
    Unix(UnixStream),
}

/// Who connected: REMOTE_ADDR and REMOTE_PORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client that came over IPv4 has an IPv4 address here, on a dual-stack socket too.
    Inet(SocketAddr),
    /// Clients of a unix socket have no address.
    Unix,
}

/// Why there is no listener: one whole line, its cause included, with the cure.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `--fd N` or `fd://N`.
    #[error("cannot adopt --fd {fd}: {why}")]
    Named {
        /// The descriptor.
        fd: RawFd,
        /// What is wrong with it.
        why: AdoptError,
    },
    /// A descriptor of `LISTEN_FDS`.
    #[error("cannot adopt descriptor {fd} of LISTEN_FDS: {why}")]
    Inherited {
        /// The descriptor.
        fd: RawFd,
        /// What is wrong with it.
        why: AdoptError,
    },
    /// A TCP address or a unix path.
    #[error("cannot bind {address}: {why}")]
    Bind {
        /// The address.
        address: Address,
        /// What prevents it.
        why: BindError,
    },
}

impl Listener {
    /// Adopts or binds. `backlog` is for a socket that we bind; an adopted one keeps its own,
    /// since `listen()` would change it for all its users.
    pub fn open(address: &Address, backlog: u32) -> Result<Self, OpenError> {
        match *address {
            Address::Fd(fd) => {
                Self::adopted(address, adopt::adopt(fd)).map_err(|why| OpenError::Named { fd, why })
            }
            Address::Inherited(fd) => {
                Self::adopted(address, adopt::adopt(fd)).map_err(|why| OpenError::Inherited { fd, why })
            }
            Address::Tcp { ref host, port, family } => {
                Self::bound(address, bind::tcp((host, port), family, backlog).map(|socket| (None, socket)))
            }
            Address::Unix(ref path) => Self::bound(address, Self::unix(path, Access::Umask, backlog)),
        }
    }

    /// Takes over the socket that this process had for `address` before it began anew.
    pub fn resume(address: &Address, fd: RawFd) -> Result<Self, OpenError> {
        let resumed = || {
            let socket = adopt::adopt(fd)?;
            let local = local(&socket).map_err(AdoptError::System)?;
            let mut address = address.clone();
            if let (Address::Tcp { port, .. }, Local::Inet(actual)) = (&mut address, local) {
                *port = actual.port();
            }
            Self::adopted(&address, Ok(socket))
        };
        resumed().map_err(|why| OpenError::Named { fd, why })
    }

    /// As [`Listener::open`]; a unix socket is from its first moment for the user that the process runs as only.
    pub fn open_private(address: &Address, backlog: u32) -> Result<Self, OpenError> {
        match address {
            Address::Unix(path) => Self::bound(address, Self::unix(path, Access::Owner, backlog)),
            _ => Self::open(address, backlog),
        }
    }

    fn unix(path: &Path, access: Access, backlog: u32) -> Result<Made, BindError> {
        bind::unix(path, access, backlog).map(|(file, socket)| (Some(file), socket))
    }

    fn adopted(address: &Address, socket: Result<OwnedFd, AdoptError>) -> Result<Self, AdoptError> {
        let socket = socket?;
        let local = local(&socket).map_err(AdoptError::System)?;
        stay_nonblocking(socket.as_fd()).map_err(AdoptError::System)?;
        Ok(Self { _file: None, socket, address: address.clone(), local, meddled: AtomicBool::new(false) })
    }

    fn bound(address: &Address, made: Result<Made, BindError>) -> Result<Self, OpenError> {
        let open = || {
            let (file, socket) = made?;
            let local = local(&socket).map_err(BindError::System)?;
            let mut address = address.clone();
            if let (Address::Tcp { port, .. }, Local::Inet(actual)) = (&mut address, local) {
                *port = actual.port();
            }
            stay_nonblocking(socket.as_fd()).map_err(BindError::System)?;
            Ok(Self { _file: file, socket, address, local, meddled: AtomicBool::new(false) })
        };
        open().map_err(|why| OpenError::Bind { address: address.clone(), why })
    }

    /// Accepts one connection, or fails with `WouldBlock` when none waits.
    ///
    /// `ConnectionAborted` and the network errors of accept(2) are the client's and pass; EMFILE,
    /// ENFILE and ENOMEM stay until something is closed.
    pub fn accept(&self) -> io::Result<(Stream, Peer)> {
        // O_NONBLOCK lives on the open file description, which is shared: a sibling that calls
        // setblocking(True) on an adopted socket (Chaussette 1.3 does, at its start) clears it for
        // us too, and the accept of an empty queue would then hold the reactor until somebody
        // connects. So it is looked at before every accept, for 0.1 µs. Where it was found cleared,
        // it may be again between the look and the accept: `is_meddled_with` says so, and the caller
        // accepts where waiting does no harm.
        if stay_nonblocking(self.socket.as_fd())? == Before::Blocking {
            self.meddled.store(true, Ordering::Relaxed);
        }
        let (socket, from) = accept_nonblocking(self.socket.as_fd())?;
        Ok(match self.local {
            Local::Unix => (Stream::Unix(socket.into()), Peer::Unix),
            Local::Inet(_) => {
                // No address: the client left before it was accepted (macOS says it this way).
                let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                let from = from.ok_or(io::ErrorKind::ConnectionAborted)?;
                (Stream::Tcp(socket.into()), Peer::Inet(canonical(from)))
            }
        })
    }

    /// Whether somebody who shares the socket makes it blocking: [`Listener::accept`] may then wait.
    #[must_use]
    pub fn is_meddled_with(&self) -> bool {
        self.meddled.load(Ordering::Relaxed)
    }

    /// What stands after `Serving on` in the log: the address as asked for, with the actual port.
    #[must_use]
    pub fn describe(&self) -> String {
        self.address.to_string()
    }

    /// TCP or unix.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.local {
            Local::Inet(_) => Kind::Tcp,
            Local::Unix => Kind::Unix,
        }
    }

    /// The address that the socket is bound to; `None` for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self.local {
            Local::Inet(address) => Some(address),
            Local::Unix => None,
        }
    }

    /// SERVER_NAME and SERVER_PORT for a request that does not tell (PEP 3333: never empty). The
    /// host as asked for; of an adopted socket its address, or `localhost` where it is bound to
    /// every interface, and `localhost`, `80` for a unix socket: PEP 3333 makes an URL of them.
    #[must_use]
    pub fn server_name_port(&self) -> (String, String) {
        let Local::Inet(local) = self.local else {
            return ("localhost".to_owned(), "80".to_owned());
        };
        let name = match &self.address {
            Address::Tcp { host, .. } if host.contains(':') => format!("[{host}]"),
            Address::Tcp { host, .. } => host.clone(),
            _ if local.ip().is_unspecified() => "localhost".to_owned(),
            // RFC 3875 §4.1.14: an IPv6 address stands in brackets.
            _ if local.is_ipv6() => format!("[{}]", local.ip()),
            _ => local.ip().to_string(),
        };
        (name, local.port().to_string())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// How a socket was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    NonBlocking,
    Blocking,
}

/// Sets O_NONBLOCK unless it is set.
fn stay_nonblocking(socket: BorrowedFd<'_>) -> io::Result<Before> {
    let flags = fcntl_getfl(socket)?;
    if flags.contains(OFlags::NONBLOCK) {
        return Ok(Before::NonBlocking);
    }
    fcntl_setfl(socket, flags | OFlags::NONBLOCK)?;
    Ok(Before::Blocking)
}

/// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC.
#[cfg(not(target_vendor = "apple"))]
fn accept_nonblocking(socket: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    Ok(rustix::net::acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
}

/// macOS has no accept4(2): a child spawned between two of these calls inherits the connection.
#[cfg(target_vendor = "apple")]
fn accept_nonblocking(socket: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (accepted, from) = rustix::net::acceptfrom(socket)?;
    rustix::io::fcntl_setfd(&accepted, rustix::io::FdFlags::CLOEXEC)?;
    stay_nonblocking(accepted.as_fd())?;
    Ok((accepted, from))
}

/// Where the socket is bound. Its family is read off the socket, never guessed.
fn local(socket: &OwnedFd) -> io::Result<Local> {
    let name = rustix::net::getsockname(socket)?;
    Ok(if name.address_family() == AddressFamily::UNIX {
        Local::Unix
    } else {
        Local::Inet(SocketAddr::try_from(name)?)
    })
}

/// `::ffff:192.0.2.1`, which a dual-stack socket gives for a client on IPv4, as that client's own
/// address: REMOTE_ADDR must not depend on how the listening socket was opened.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}
