//! Sockets that we bind ourselves: TCP, and unix with its file.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chaussette::config::{Address, Family};
use chaussette::listener::{Kind, Listener, OpenError, Peer, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_getfd};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(10);

const BACKLOG: u32 = 16;

fn tcp(host: &str, port: u16, family: Family) -> Result<Listener, OpenError> {
    Listener::open(&Address::Tcp { host: host.to_owned(), port, family }, BACKLOG)
}

fn unix(path: &Path) -> Result<Listener, OpenError> {
    Listener::open(&Address::Unix(path.to_owned()), BACKLOG)
}

fn private(path: &Path) -> Result<Listener, OpenError> {
    Listener::open_private(&Address::Unix(path.to_owned()), BACKLOG)
}

fn port(listener: &Listener) -> u16 {
    listener.local_address().unwrap().port()
}

/// Accepts the next connection, waiting for it.
fn accept(listener: &Listener) -> (Stream, Peer) {
    let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut waiting = [PollFd::new(listener, PollFlags::IN)];
    assert_eq!(poll(&mut waiting, Some(&deadline)).unwrap(), 1, "nobody connected");
    listener.accept().unwrap()
}

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaussette-bind-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn port_0_becomes_the_port_that_the_kernel_chose() {
    let listener = tcp("localhost", 0, Family::Any).unwrap();
    let port = port(&listener);
    assert_ne!(port, 0);
    assert_eq!(listener.describe(), format!("localhost:{port}"));
    assert_eq!(listener.server_name_port(), ("localhost".to_owned(), port.to_string()));
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(accept(&listener).1, Peer::Inet(client.local_addr().unwrap()));
}

#[test]
fn a_bound_socket_is_non_blocking_and_closed_on_exec() {
    let listener = tcp("127.0.0.1", 0, Family::Any).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn an_ipv6_address_is_described_as_by_1_3_and_named_in_brackets() {
    let listener = tcp("::1", 0, Family::Any).unwrap();
    let port = port(&listener);
    assert_eq!(listener.describe(), format!("::1:{port}"));
    assert_eq!(listener.server_name_port(), ("[::1]".to_owned(), port.to_string()));
    TcpStream::connect(("::1", port)).unwrap();
}

#[test]
fn every_ipv6_interface_is_not_every_ipv4_interface() {
    let listener = tcp("::", 0, Family::Any).unwrap();
    assert!(SockRef::from(&listener).only_v6().unwrap());
}

#[test]
fn a_host_is_bound_in_the_family_asked_for() {
    let error = tcp("127.0.0.1", 0, Family::V6).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot bind 127.0.0.1:0: the host has no IPv6 address: change --address-family or the host"
    );
    let error = tcp("::1", 0, Family::V4).unwrap_err().to_string();
    assert!(error.contains("the host has no IPv4 address"), "{error}");
    assert!(tcp("localhost", 0, Family::Any).unwrap().local_address().unwrap().is_ipv4());
}

#[test]
fn a_port_in_use_is_refused_and_not_replaced_by_the_hosts_next_address() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let error = tcp("localhost", port, Family::Any).unwrap_err().to_string();
    let expected = format!(
        "cannot bind localhost:{port}: the port is in use: stop the process that listens there, or choose another port"
    );
    assert_eq!(error, expected);
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    let error = tcp("192.0.2.1", 0, Family::Any).unwrap_err().to_string();
    assert!(error.starts_with("cannot bind 192.0.2.1:0: this machine has no such address: "), "{error}");
}

#[test]
fn an_unknown_host_is_refused() {
    // Longer than a host name can be, so that no name server is asked.
    let host = "a".repeat(300);
    let error = tcp(&host, 80, Family::Any).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot bind {host}:80: the host is not known: ")), "{error}");
}

#[test]
fn a_unix_socket_is_made_served_and_removed() {
    let folder = Folder::new("made");
    let path = folder.path("socket");
    let listener = unix(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (stream, peer) = accept(&listener);
    assert!(matches!(stream, Stream::Unix(_)));
    assert_eq!((peer, listener.kind(), listener.local_address()), (Peer::Unix, Kind::Unix, None));
    assert_eq!(listener.describe(), format!("unix:{}", path.display()));
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_nobody_listens_on_is_replaced() {
    let folder = Folder::new("stale");
    let path = folder.path("socket");
    // Its file stays, as after kill -9.
    drop(UnixListener::bind(&path).unwrap());
    let listener = unix(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    accept(&listener);
}

#[test]
fn a_unix_socket_that_somebody_listens_on_is_refused_and_stays() {
    let folder = Folder::new("live");
    let path = folder.path("socket");
    let _server = UnixListener::bind(&path).unwrap();
    let error = unix(&path).unwrap_err().to_string();
    let shown = path.display();
    assert_eq!(
        error,
        format!("cannot bind unix:{shown}: another process listens there: stop it or choose another path")
    );
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_server_whose_queue_is_full_counts_as_listening() {
    let folder = Folder::new("full");
    let path = folder.path("socket");
    let address = SockAddr::unix(&path).unwrap();
    let server = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    server.bind(&address).unwrap();
    server.listen(0).unwrap();
    let fill = || {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(&address).is_ok().then_some(client)
    };
    let clients: Vec<_> = std::iter::from_fn(fill).collect();
    assert!(!clients.is_empty());
    let error = unix(&path).unwrap_err().to_string();
    assert!(error.contains("another process listens there"), "{error}");
}

#[test]
fn a_socket_of_another_type_counts_as_in_use() {
    let folder = Folder::new("datagram");
    let path = folder.path("socket");
    let _other = UnixDatagram::bind(&path).unwrap();
    let error = unix(&path).unwrap_err().to_string();
    assert!(error.contains("another process listens there"), "{error}");
}

#[test]
fn any_other_file_is_refused_and_stays() {
    let folder = Folder::new("other");
    let (file, link, below) = (folder.path("file"), folder.path("link"), folder.path("folder"));
    fs::write(&file, "precious").unwrap();
    symlink(&file, &link).unwrap();
    fs::create_dir(&below).unwrap();
    for (path, kind) in [(&file, "a file"), (&link, "a symbolic link"), (&below, "a folder")] {
        let error = unix(path).unwrap_err().to_string();
        assert!(error.contains(&format!("{kind} is there and no socket: remove it")), "{error}");
    }
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
}

#[test]
fn the_file_of_a_successor_is_left() {
    let folder = Folder::new("successor");
    let path = folder.path("socket");
    let listener = unix(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_path_that_is_too_long_is_refused_with_the_limit() {
    let path = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
    let error = unix(&path).unwrap_err().to_string();
    let most = if cfg!(target_vendor = "apple") { 103 } else { 107 };
    let expected = format!("the path has 205 bytes, a unix socket's at most {most}: choose a shorter one");
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn a_path_of_the_longest_length_is_taken() {
    let most = if cfg!(target_vendor = "apple") { 103 } else { 107 };
    let folder = Folder::new("long");
    let start = folder.path("");
    let path = start.join("x".repeat(most - start.as_os_str().len()));
    assert_eq!(path.as_os_str().len(), most);
    assert!(unix(&path).is_ok());
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let error = unix(Path::new("/nonexistent/socket")).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot bind unix:/nonexistent/socket: its folder /nonexistent does not exist: make it"
    );
}

#[test]
fn a_private_unix_socket_is_its_owners_whatever_the_umask() {
    let folder = Folder::new("private");
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let (path, other) = (folder.path("s"), folder.path("o"));
    let listener = private(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let open = unix(&other).unwrap();
    assert_ne!(mode(&other), 0o600, "the umask here is such that this test shows nothing");
    UnixStream::connect(&path).unwrap();
    drop((listener, open));
    assert!(!path.exists());
}

#[test]
fn a_private_unix_socket_replaces_nothing_but_a_dead_one() {
    let folder = Folder::new("private-taken");
    let path = folder.path("s");
    drop(UnixListener::bind(&path).unwrap());
    let listener = private(&path).unwrap();
    let error = private(&path).unwrap_err().to_string();
    assert!(error.ends_with("another process listens there: stop it or choose another path"), "{error}");
    drop(listener);
    fs::write(&path, "precious").unwrap();
    private(&path).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}
