//! Clients that keep just inside the limit of silence: their average ends them, and nobody else's.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::exchange::Exchange;
use chaussette::http::Limits;
use support::{Client, PATIENCE, Setup, Site, echo, head, hello, limits};

/// Far below the time that dripping all of a body would take.
const SOON: Duration = Duration::from_secs(5);

fn paced(script: impl Fn(Exchange) + Send + Sync + 'static) -> Site {
    let limits =
        Limits { body_timeout: Duration::from_millis(300), min_rate: NonZeroU32::new(1000), ..limits() };
    Site::with(Setup { limits, ..Setup::default() }, script)
}

/// Sends a byte each time nothing has come for 20 ms, until an answer comes. What came of it.
fn drip(client: &mut Client) -> String {
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut answer = [0; 1000];
    loop {
        match client.stream.read(&mut answer) {
            Ok(read) => return String::from_utf8_lossy(&answer[..read]).into_owned(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return error.to_string(),
        }
        if let Err(error) = client.stream.write_all(b"x") {
            return error.to_string();
        }
    }
}

#[test]
fn a_body_that_drips_ends_in_408() {
    let site = paced(echo);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    let began = Instant::now();
    let answer = drip(&mut client);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(began.elapsed() < SOON);
}

#[test]
fn a_large_body_that_drips_frees_the_application() {
    let (say, said) = std::sync::mpsc::sync_channel(1);
    let site = paced(move |exchange: Exchange| {
        say.send(support::read_all(exchange.request.body).map(|body| body.len())).unwrap();
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n");
    // Enough to be handed over, and of seconds of credit.
    client.send(vec![b'x'; 65_536]);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let error = said.recv_timeout(PATIENCE * 6).unwrap().unwrap_err();
    assert!(matches!(error, chaussette::exchange::BodyError::Timeout { .. }), "{error:?}");
}

#[test]
fn a_fast_body_is_not_held_up_by_a_slow_application() {
    let site = paced(|exchange: Exchange| {
        let Exchange { request, reply } = exchange;
        let chaussette::exchange::RequestBody::Stream(mut reader) = request.body else {
            panic!("not a stream")
        };
        // The application takes more than the whole patience before it reads on: not the client's fault.
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        assert!(never.recv_timeout(Duration::from_millis(900)).is_err());
        let mut length = 0;
        while let Some(chunk) = reader.read().unwrap() {
            length += chunk.len();
        }
        reply.respond(head(200, &[]), Bytes::from(length.to_string()));
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
    client.send(vec![b'x'; 4_000_000]);
    assert_eq!(client.answer().text(), "4000000");
}

#[test]
fn a_reader_that_drips_is_cut_off_and_frees_the_application() {
    let (say, said) = std::sync::mpsc::sync_channel(1);
    let site = paced(move |exchange: Exchange| {
        if exchange.request.uri.path() == "/hello" {
            return hello(exchange);
        }
        let mut body = exchange.reply.start(head(200, &[]));
        while body.send(Bytes::from(vec![b'x'; 100_000])).is_ok() {}
        let _ = say.send(());
    });
    let mut client = site.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let began = Instant::now();
    let mut byte = [0];
    // What the kernels hold may be megabytes; the client takes a byte each time the application is still held.
    while said.recv_timeout(Duration::from_millis(20)).is_err() {
        assert!(began.elapsed() < PATIENCE, "still being served");
        let _ = client.stream.read(&mut byte);
    }
    assert_eq!(site.get("/hello").status, 200);
}
