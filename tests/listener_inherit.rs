//! Sockets handed over across exec, by the means that Circus, Supervisor and systemd have.
//!
//! Each test starts this binary once more, as the program that inherits, and talks to it.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chaussette::cli;
use chaussette::config::Address;
use chaussette::listener::{Listener, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// The command line of the program that inherits; set in its environment only.
const WORDS: &str = "CHAUSSETTE_TEST_WORDS";

/// The program that inherits: serves one connection on the one socket that its command line and
/// environment give, and tells the client how it was started.
#[test]
#[ignore = "the program that the other tests start"]
fn a_program_that_inherits() {
    let Ok(words) = env::var(WORDS) else { return };
    let argv = std::iter::once("chaussette").chain(words.split_whitespace()).map(Into::into).collect();
    let config = cli::parse(argv, &|name| env::var_os(name)).unwrap();
    let [address] = &config.sockets[..] else { panic!("not one socket: {:?}", config.sockets) };
    let listener = Listener::open(address, config.backlog).unwrap();
    let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&deadline)).unwrap(), 1);
    let (Stream::Tcp(mut stream), _) = listener.accept().unwrap() else { panic!("not TCP") };
    // An error unless standard input is a file, a pipe or the like.
    let stdin = std::io::stdin().read(&mut [0]).map_err(|error| error.kind());
    // A grandchild that could tell of the listening socket if it inherited it.
    let ours = format!("/proc/self/fd/{}", listener.as_raw_fd());
    let inherited = Command::new("test").args(["-e", &ours]).status().unwrap().success();
    let named = matches!(address, Address::Inherited(_));
    let told = format!("{} LISTEN_FDS={named} stdin={stdin:?} grandchild={inherited}", listener.describe());
    stream.set_nonblocking(false).unwrap();
    stream.write_all(told.as_bytes()).unwrap();
}

/// This binary, running `a_program_that_inherits` alone.
fn program(command: &mut Command, words: &str) -> Child {
    command
        .args(["--ignored", "--exact", "a_program_that_inherits"])
        .env(WORDS, words)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the program says to a client.
fn answer(address: std::net::SocketAddr, mut program: Child) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(program.wait().unwrap().success());
    text
}

#[test]
fn the_socket_that_circus_names_is_served_and_not_inherited_further() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    let fd = socket.as_raw_fd();
    let mut command = Command::new(env::current_exe().unwrap());
    let program = program(command.stdin(Stdio::null()), &format!("--fd {fd}"));
    let expected = format!("fd://{fd} LISTEN_FDS=false stdin=Ok(0) grandchild=false");
    assert_eq!(answer(address, program), expected);
}

#[test]
fn a_socket_on_standard_input_is_served_and_replaced_there_by_dev_null() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let program = program(command.stdin(OwnedFd::from(socket)), "--fd 0");
    assert_eq!(answer(address, program), "fd://0 LISTEN_FDS=false stdin=Ok(0) grandchild=false");
}

#[test]
fn the_socket_of_listen_fds_is_served_without_an_option() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // What systemd does: descriptor 3, and the process id that stays across exec.
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 0</dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("export LISTEN_FDS LISTEN_PID; {script}")]).arg(env::current_exe().unwrap());
    let program = program(command.stdin(OwnedFd::from(socket)), "");
    assert_eq!(answer(address, program), "fd://3 LISTEN_FDS=true stdin=Ok(0) grandchild=false");
}
