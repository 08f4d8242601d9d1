//! Request bodies: streamed in bounded memory, unread, broken off, too large, silent.

mod support;

use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chaussette::exchange::{BodyError, Exchange, RequestBody};
use chaussette::http::Limits;
use support::{PATIENCE, Setup, Site, echo, head, hello, limits, read_all, soon};

const MIB: usize = 1024 * 1024;

#[test]
fn a_large_body_is_streamed_and_comes_back_whole() {
    let site = Site::new(echo);
    let body: Vec<u8> = (0..3 * MIB).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut client = site.connect();
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        assert!(client.answer().body == body);
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(70_001) {
            client.send(format!("{:x}\r\n", chunk.len()));
            client.send(chunk);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        assert!(client.answer().body == body);
    }
}

#[test]
fn small_bodies_come_whole_and_large_ones_stream() {
    let site = Site::new(|exchange: Exchange| {
        let kind = match &exchange.request.body {
            RequestBody::Empty => "empty",
            RequestBody::Whole(_) => "whole",
            RequestBody::Stream(_) => "stream",
        };
        read_all(exchange.request.body).unwrap();
        exchange.reply.respond(head(200, &[]), Bytes::from_static(kind.as_bytes()));
    });
    let mut client = site.connect();
    for (size, kind) in [(0, "empty"), (1, "whole"), (64 * 1024, "whole"), (300_000, "stream")] {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n{}",
            "x".repeat(size)
        ));
        assert_eq!((size, client.answer().text()), (size, kind));
    }
}

#[test]
fn a_body_that_the_application_does_not_read_is_held_back() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let site = Site::with(
        Setup { limits: Limits { max_body: None, ..limits() }, ..Default::default() },
        move |exchange: Exchange| {
            released.lock().unwrap().recv().unwrap();
            echo(exchange);
        },
    );
    let mut client = site.connect();
    let size = 64 * MIB;
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"));
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // Far less than all fits into the kernel's buffers and ours.
    let sent =
        std::iter::from_fn(|| std::io::Write::write(&mut client.stream, &[b'x'; MIB]).ok()).sum::<usize>();
    assert!(sent < size / 2, "{sent}");
    release.send(()).unwrap();
    client.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut sender = client.stream.try_clone().unwrap();
    let rest = vec![b'x'; size - sent];
    let sending = std::thread::Builder::new()
        .spawn(move || std::io::Write::write_all(&mut sender, &rest).unwrap())
        .unwrap();
    assert_eq!(client.answer().body.len(), size);
    sending.join().unwrap();
}

#[test]
fn a_little_unread_body_does_not_disturb_the_next_request() {
    let site = Site::new(hello);
    let mut client = site.connect();
    for size in [10, 70_000, 200_000] {
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"));
        client.send(vec![b'G'; size]);
        assert_eq!(client.answer().text(), "Hello, World!");
    }
}

#[test]
fn a_large_unread_body_closes_the_connection_after_the_answer() {
    let site = Site::new(hello);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
    client.send(vec![b'G'; 800_000]);
    let answer = client.answer();
    assert_eq!((answer.text(), answer.header("Connection")), ("Hello, World!", Some("close")));
    client.send(vec![b'G'; 7_200_000]);
    assert!(client.is_closed());
}

#[test]
fn an_answer_that_comes_before_the_body_does_not_wait_for_it() {
    let site = Site::new(hello);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'G'; 70_000]);
    assert_eq!(client.answer().text(), "Hello, World!");
    client.send(vec![b'G'; 30_000]);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "Hello, World!");
}

#[test]
fn a_client_that_leaves_within_its_body_is_not_an_end_of_the_body() {
    let (say, said) = sync_channel(1);
    let site = Site::new(move |exchange: Exchange| {
        say.send(read_all(exchange.request.body)).unwrap();
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 70_000]);
    drop(client);
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), Err(BodyError::ClientLeft));
}

#[test]
fn a_small_body_that_breaks_off_never_reaches_the_application() {
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let site = Site::new(move |exchange: Exchange| {
        *counted.lock().unwrap() += 1;
        hello(exchange);
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    client.leave();
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")));
    assert!(client.is_closed());
    assert_eq!(site.get("/").status, 200);
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[test]
fn a_chunked_body_beyond_the_limit_is_told_to_the_application() {
    let (say, said) = sync_channel(1);
    let site = Site::with(
        Setup { limits: Limits { max_body: Some(100_000), ..limits() }, ..Default::default() },
        move |exchange: Exchange| {
            let read = read_all(exchange.request.body);
            say.send(read.clone()).unwrap();
            exchange.reply.fail(read.unwrap_err().into());
        },
    );
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..4 {
        client.send(format!("7530\r\n{}\r\n", "x".repeat(30_000)));
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (413, Some("close")));
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), Err(BodyError::TooLarge { limit: 100_000 }));
    assert!(client.is_closed());
}

#[test]
fn broken_chunks_in_a_streamed_body_are_told_to_the_application() {
    let (say, said) = sync_channel(1);
    let site = Site::new(move |exchange: Exchange| {
        let read = read_all(exchange.request.body);
        say.send(read.clone()).unwrap();
        exchange.reply.fail(read.unwrap_err().into());
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("13880\r\n{}\r\nzzz\r\n", "x".repeat(80_000)));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")));
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), Err(BodyError::Malformed));
}

#[test]
fn a_silent_body_times_out() {
    let (say, said) = sync_channel(1);
    let site = Site::with(
        Setup {
            limits: Limits { body_timeout: Duration::from_millis(200), ..limits() },
            ..Default::default()
        },
        move |exchange: Exchange| {
            let read = read_all(exchange.request.body);
            say.send(read.clone()).unwrap();
            exchange.reply.fail(read.unwrap_err().into());
        },
    );
    for sent in [5, 70_000] {
        let mut client = site.connect();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
        client.send(vec![b'x'; sent]);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
        assert!(client.is_closed());
    }
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), Err(BodyError::Timeout { seconds: 0 }));
}

#[test]
fn a_worker_learns_at_once_that_nobody_reads_its_answer_any_more() {
    let gone = Arc::new(Mutex::new(false));
    let noted = Arc::clone(&gone);
    let site = Site::new(move |exchange: Exchange| {
        let mut body = exchange.reply.start(head(200, &[]));
        while body.send(Bytes::from(vec![b'x'; 100_000])).is_ok() {}
        *noted.lock().unwrap() = true;
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_head().unwrap();
    drop(client);
    soon("the worker is told", || *gone.lock().unwrap());
}
