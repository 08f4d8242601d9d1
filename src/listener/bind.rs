//! Makes a listening socket of our own: TCP, or unix with its file.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Family;

/// Bytes of a unix socket's path: `sun_path` less its closing NUL (unix(7): 108 on Linux, 104 on
/// macOS).
const MAX_PATH_BYTES: usize = if cfg!(target_vendor = "apple") { 103 } else { 107 };

/// Read and write for the owner: what connect(2) asks for.
const OWNER: u32 = 0o600;

/// What anybody else may.
const OTHERS: u32 = 0o077;

/// Why an address cannot be bound, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// getaddrinfo(3) failed.
    #[error("the host is not known: {0}")]
    UnknownHost(io::Error),
    /// It has addresses, but none of the family asked for.
    #[error("the host has no {0} address: change --address-family or the host")]
    NoFamily(&'static str),
    /// The address belongs to another machine, or its family is switched off here.
    #[error("this machine has no such address: {0}")]
    NotHere(io::Error),
    /// EADDRINUSE on TCP.
    #[error("the port is in use: stop the process that listens there, or choose another port")]
    PortInUse,
    /// EACCES on TCP.
    #[error(
        "permission denied: a port below 1024 needs CAP_NET_BIND_SERVICE, \
         or let Circus or systemd open it and pass it with --fd"
    )]
    PortDenied,
    /// Longer than `sun_path`.
    #[error("the path has {bytes} bytes, a unix socket's at most {MAX_PATH_BYTES}: choose a shorter one")]
    PathTooLong {
        /// Of the path as given.
        bytes: usize,
    },
    /// Not ours to replace.
    #[error("{0} is there and no socket: remove it or choose another path")]
    OtherFile(&'static str),
    /// A server accepts on it, or some process holds it.
    #[error("another process listens there: stop it or choose another path")]
    PathInUse,
    /// The folder does not exist.
    #[error("its folder {} does not exist: make it", .0.display())]
    NoFolder(PathBuf),
    /// A socket's file is there and we may not ask whether it is alive.
    #[error("a socket is there that cannot be asked whether it is in use: {0}")]
    Unclear(io::Error),
    /// Anything else that the system refuses.
    #[error("{0}")]
    System(io::Error),
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Binds the first of the host's addresses that this machine has, and listens.
pub(super) fn tcp(host: (&str, u16), family: Family, backlog: u32) -> Result<OwnedFd, BindError> {
    let mut missing = None;
    for address in resolve(host, family)? {
        match tcp_at(address, backlog) {
            Ok(socket) => return Ok(socket),
            // Without IPv6, say, the next address may do. Not so where the address is taken: with
            // 127.0.0.1:8080 in use, falling back to [::1]:8080 would serve, and log as
            // `localhost:8080`, where most clients reach the other process.
            Err(error) if is_missing(&error) => missing = Some(error),
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::AddrInUse => BindError::PortInUse,
                    io::ErrorKind::PermissionDenied => BindError::PortDenied,
                    _ => BindError::System(error),
                });
            }
        }
    }
    Err(BindError::NotHere(missing.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

/// The host's addresses of the family, IPv4 first. At least one.
fn resolve(host: (&str, u16), family: Family) -> Result<Vec<SocketAddr>, BindError> {
    let mut found: Vec<SocketAddr> = host.to_socket_addrs().map_err(BindError::UnknownHost)?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let name = match family {
        Family::Any => "IP",
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    found.retain(|address| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    });
    if found.is_empty() { Err(BindError::NoFamily(name)) } else { Ok(found) }
}

fn tcp_at(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of our predecessor in TIME_WAIT must not keep the port from us.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` means IPv6 and not IPv4 too, whatever net.ipv6.bindv6only says: who wants both
        // says --bind twice.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    listen(socket, backlog)
}

fn is_missing(error: &io::Error) -> bool {
    [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT]
        .iter()
        .any(|missing| error.raw_os_error() == Some(missing.raw_os_error()))
}

fn listen(socket: Socket, backlog: u32) -> io::Result<OwnedFd> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    // `Socket::new` set FD_CLOEXEC.
    Ok(socket.into())
}

/// The file of a unix socket that we made. Dropped, it is removed, if it is still that file.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Absolute: an application may change the working folder.
    path: PathBuf,
    /// Device and inode number.
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have replaced it: that one is not ours to remove.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| inode(&file) == self.inode) {
            // There is nobody to tell, and the successor replaces a stale file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Who may connect to a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever the umask lets.
    Umask,
    /// The user that made it.
    Owner,
}

/// Makes a unix socket at the path, in place of one that nobody listens on, and listens.
pub(super) fn unix(path: &Path, access: Access, backlog: u32) -> Result<(SocketFile, OwnedFd), BindError> {
    let too_long = |_| BindError::PathTooLong { bytes: path.as_os_str().as_bytes().len() };
    let address = SockAddr::unix(path).map_err(too_long)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if access == Access::Owner {
        // Linux makes the file with the socket's own mode. Elsewhere this fails, and it is done below.
        let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
    }
    socket.bind(&address).map_err(|error| match (error.kind(), path.parent()) {
        // Two servers started at once: the other one was quicker.
        (io::ErrorKind::AddrInUse, _) => BindError::PathInUse,
        (io::ErrorKind::NotFound, Some(folder)) => BindError::NoFolder(folder.to_owned()),
        _ => BindError::System(error),
    })?;
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile { inode: inode(&made), path: std::path::absolute(path)? };
    if access == Access::Owner && made.permissions().mode() & OTHERS != 0 {
        // Before listen(2), so that nobody has connected yet.
        fs::set_permissions(path, Permissions::from_mode(OWNER))?;
    }
    Ok((file, listen(socket, backlog)?))
}

/// Removes the socket's file that a server left behind when it was killed. A live one and any other
/// kind of file are an error: a mistyped path must not cost a file.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), BindError> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !there.is_socket() {
        return Err(BindError::OtherFile(if there.is_dir() {
            "a folder"
        } else if there.is_symlink() {
            "a symbolic link"
        } else {
            "a file"
        }));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A live server whose backlog is full would hold a blocking connect.
    probe.set_nonblocking(true)?;
    match probe.connect(address).map_err(|error| (Errno::from_io_error(&error), error)) {
        Err((Some(Errno::CONNREFUSED), _)) => Ok(fs::remove_file(path)?),
        Err((Some(Errno::NOENT), _)) => Ok(()),
        // Full backlog; a socket of another type.
        Ok(()) | Err((Some(Errno::AGAIN | Errno::PROTOTYPE), _)) => Err(BindError::PathInUse),
        Err((_, error)) => Err(BindError::Unclear(error)),
    }
}
