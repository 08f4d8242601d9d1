//! Without a free descriptor nothing is accepted, and nothing is lost. Alone in its process, whose limit it
//! changes.

mod support;

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Socket, Type};
use support::{Client, PATIENCE, Site, hello};

#[test]
fn a_connection_waits_while_descriptors_are_used_up() {
    let site = Site::new(hello);
    site.get("/");
    // Made before the limit falls: the client lives in the same process.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    let address = SockAddr::from(site.address());
    socket.connect_timeout(&address, PATIENCE).unwrap();
    let mut client = Client::new(TcpStream::from(socket)).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.answer_to("GET").is_err(), "nobody can have accepted it");
    setrlimit(Resource::Nofile, before).unwrap();
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.answer().text(), "Hello, World!");
    assert_eq!(site.get("/").status, 200);
}
