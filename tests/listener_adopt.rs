//! Adoption of descriptors: what is taken, what is refused with which cure, and that strangers
//! who share the socket notice nothing.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chaussette::config::Address;
use chaussette::listener::{Kind, Listener, Peer, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::{Domain, SockAddr, Socket, Type};

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// Not used by an adoption.
const BACKLOG: u32 = 2048;

/// Gives a socket the state in which it arrives from Circus or systemd: open, FD_CLOEXEC cleared,
/// and owned by nobody in this process.
fn hand_over(socket: impl Into<OwnedFd>) -> RawFd {
    let socket = socket.into();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    socket.into_raw_fd()
}

fn adopt(fd: RawFd) -> Listener {
    Listener::open(&Address::Fd(fd), BACKLOG).unwrap()
}

fn refusal(fd: RawFd) -> String {
    Listener::open(&Address::Fd(fd), BACKLOG).unwrap_err().to_string()
}

/// Accepts the next connection, waiting for it.
fn accept(listener: &Listener) -> (Stream, Peer) {
    let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut waiting = [PollFd::new(listener, PollFlags::IN)];
    assert_eq!(poll(&mut waiting, Some(&deadline)).unwrap(), 1, "nobody connected");
    listener.accept().unwrap()
}

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("chaussette-adopt-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn an_ipv4_socket_is_adopted_with_its_address() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let fd = hand_over(socket);
    let listener = adopt(fd);
    let client = TcpStream::connect(address).unwrap();
    let (stream, peer) = accept(&listener);
    assert!(matches!(stream, Stream::Tcp(_)));
    assert_eq!(peer, Peer::Inet(client.local_addr().unwrap()));
    assert_eq!((listener.kind(), listener.local_address()), (Kind::Tcp, Some(address)));
    assert_eq!(listener.as_raw_fd(), fd);
    assert_eq!(listener.describe(), format!("fd://{fd}"));
    assert_eq!(listener.server_name_port(), ("127.0.0.1".to_owned(), address.port().to_string()));
}

#[test]
fn an_ipv6_socket_is_adopted_without_being_told_its_family() {
    let socket = TcpListener::bind("[::1]:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = adopt(hand_over(socket));
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(accept(&listener).1, Peer::Inet(client.local_addr().unwrap()));
    assert_eq!(listener.server_name_port(), ("[::1]".to_owned(), address.port().to_string()));
}

#[test]
fn a_client_on_ipv4_has_its_own_address_on_a_dual_stack_socket() {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.listen(8).unwrap();
    let listener = adopt(hand_over(socket));
    let port = listener.local_address().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(accept(&listener).1, Peer::Inet(client.local_addr().unwrap()));
    assert_eq!(listener.server_name_port(), ("localhost".to_owned(), port.to_string()));
}

#[test]
fn a_unix_socket_is_adopted_and_its_file_stays() {
    let path = path("stays");
    let listener = adopt(hand_over(UnixListener::bind(&path).unwrap()));
    let _client = UnixStream::connect(&path).unwrap();
    let (stream, peer) = accept(&listener);
    assert!(matches!(stream, Stream::Unix(_)));
    assert_eq!((peer, listener.kind(), listener.local_address()), (Peer::Unix, Kind::Unix, None));
    assert_eq!(listener.server_name_port(), ("localhost".to_owned(), "80".to_owned()));
    drop(listener);
    assert!(path.exists());
    fs::remove_file(path).unwrap();
}

#[test]
fn an_adopted_descriptor_is_closed_on_exec_and_at_the_end() {
    let path = path("end");
    let listener = adopt(hand_over(UnixListener::bind(&path).unwrap()));
    assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
    UnixStream::connect(&path).unwrap();
    drop(listener);
    let after = UnixStream::connect(&path).unwrap_err().kind();
    fs::remove_file(path).unwrap();
    assert_eq!(after, ErrorKind::ConnectionRefused);
}

#[test]
fn an_accepted_connection_is_non_blocking_and_closed_on_exec() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = adopt(hand_over(socket));
    let _client = TcpStream::connect(address).unwrap();
    let Stream::Tcp(mut stream) = accept(&listener).0 else { panic!("not TCP") };
    assert!(fcntl_getfl(&stream).unwrap().contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(&stream).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn accept_does_not_block_when_a_stranger_made_the_socket_blocking() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = socket.try_clone().unwrap();
    let listener = adopt(hand_over(socket));
    let (told, result) = mpsc::channel();
    // A thread that is left behind if it blocks: the test then fails by its deadline.
    let accepting = thread::Builder::new().spawn(move || {
        for _ in 0..2 {
            stranger.set_nonblocking(false).unwrap();
            told.send(listener.accept().map(|_| ()).map_err(|error| error.kind())).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(result.recv_timeout(DEADLINE), Ok(Err(ErrorKind::WouldBlock)));
    }
    accepting.unwrap().join().unwrap();
}

#[test]
fn the_queue_of_a_shared_socket_outlives_a_listener() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let stranger = socket.try_clone().unwrap();
    let listener = adopt(hand_over(socket));
    let before = TcpStream::connect(address).unwrap();
    drop(listener);
    let after = TcpStream::connect(address).unwrap();
    // Non-blocking since the adoption; both connections are in the queue already.
    let queued = [stranger.accept().unwrap().1, stranger.accept().unwrap().1];
    assert_eq!(queued, [before, after].map(|client| client.local_addr().unwrap()));
}

#[test]
fn the_backlog_of_an_adopted_socket_is_left_alone() {
    let path = path("backlog");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _listener = adopt(hand_over(socket));
    let connect = || {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(&SockAddr::unix(&path).unwrap()).map(|()| client)
    };
    // Linux queues one more than the backlog; macOS two.
    let clients: Vec<_> = (0..8).map(|_| connect()).collect();
    fs::remove_file(&path).unwrap();
    assert!(clients[0].is_ok());
    assert!(clients[7].is_err());
}

#[test]
fn a_socket_opened_in_this_process_is_shared_with_its_owner() {
    let owner = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = adopt(owner.as_raw_fd());
    assert_ne!(listener.as_raw_fd(), owner.as_raw_fd());
    assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
    drop(listener);
    TcpStream::connect(owner.local_addr().unwrap()).unwrap();
}

#[test]
fn a_descriptor_adopted_twice_has_two_owners_that_do_not_harm_each_other() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let fd = hand_over(socket);
    let (first, second) = (adopt(fd), adopt(fd));
    drop(first);
    let _client = TcpStream::connect(address).unwrap();
    accept(&second);
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    let expected = "cannot adopt --fd 900000: it is not open: with Circus the watcher needs use_sockets = True \
        and --fd $(circus.sockets.NAME) in its cmd";
    assert_eq!(refusal(900_000), expected);
    assert!(refusal(-1).contains("it is not open"));
}

#[test]
fn a_descriptor_of_listen_fds_is_refused_by_that_name() {
    let error = Listener::open(&Address::Inherited(900_000), BACKLOG).unwrap_err().to_string();
    assert!(error.starts_with("cannot adopt descriptor 900000 of LISTEN_FDS: it is not open"), "{error}");
}

#[test]
fn a_file_is_refused_and_left_open() {
    let file = fs::File::open("/dev/null").unwrap();
    let error = refusal(file.as_raw_fd());
    assert!(
        error.contains("it is open but not a socket: with Circus write --fd $(circus.sockets.NAME)"),
        "{error}"
    );
    assert!(fcntl_getfd(&file).is_ok());
}

#[test]
fn a_datagram_socket_is_refused() {
    let error = refusal(UdpSocket::bind("127.0.0.1:0").unwrap().as_raw_fd());
    assert!(error.contains("it is not a stream socket: set type = SOCK_STREAM (Circus)"), "{error}");
}

#[test]
fn a_connection_is_refused() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    let (unix, _other_end) = UnixStream::pair().unwrap();
    for connection in [client.as_fd(), unix.as_fd()] {
        let error = refusal(connection.as_raw_fd());
        assert!(error.contains("it is a connection, not a listening socket: set Accept=no"), "{error}");
    }
}

#[test]
fn the_unbound_socket_of_the_so_reuseport_trap_is_refused_with_its_cure() {
    // What Circus hands over when $(circus.sockets.NAME) stands in args and not in cmd.
    for domain in [Domain::IPV4, Domain::IPV6, Domain::UNIX] {
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        let error = refusal(socket.as_raw_fd());
        assert!(
            error.contains("with so_reuseport is opened only for a $(circus.sockets.NAME) in cmd"),
            "{error}"
        );
    }
}

#[test]
fn a_bound_socket_that_does_not_listen_is_refused() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let error = refusal(socket.as_raw_fd());
    assert!(error.contains("it is bound but not listening"), "{error}");
}
