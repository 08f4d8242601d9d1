//! Answers are honest: their length, their end, and whose fault it was.

mod support;

use std::io::{Seek, Write};
use std::time::Duration;

use bytes::Bytes;
use chaussette::exchange::{Exchange, Fault, FileRange};
use chaussette::http::Limits;
use support::{Setup, Site, first_chunk, head, hello, limits};

#[test]
fn a_body_shorter_than_its_length_breaks_the_connection_off() {
    let site = Site::new(|exchange: Exchange| {
        let head = head(200, &[("content-length", "400000")]);
        match exchange.request.uri.path() {
            "/whole" => exchange.reply.respond(head, first_chunk().into()),
            _ => {
                let mut body = exchange.reply.start(head);
                let _ = body.send(first_chunk().into());
                let _ = body.send(Bytes::new());
                body.finish();
            }
        }
    });
    for target in ["/whole", "/stream"] {
        let mut client = site.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.answer_to("GET").unwrap_err(), "closed after 300000 of 400000 bytes");
    }
}

#[test]
fn a_body_longer_than_its_length_is_cut() {
    let site = Site::new(|exchange: Exchange| match exchange.request.uri.path() {
        "/whole" => {
            exchange.reply.respond(head(200, &[("content-length", "2")]), Bytes::from_static(b"abcdef"))
        }
        "/none" => {
            exchange.reply.respond(head(200, &[("content-length", "0")]), Bytes::from_static(b"abcdef"))
        }
        _ => {
            let mut body = exchange.reply.start(head(200, &[("content-length", "299999")]));
            let _ = body.send(first_chunk().into());
            let _ = body.send(Bytes::from_static(b"more"));
            body.finish();
        }
    });
    let mut client = site.connect();
    for (target, length) in [("/whole", 2), ("/none", 0), ("/stream", 299_999), ("/whole", 2)] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!((target, client.answer().body.len()), (target, length));
    }
}

#[test]
fn a_stream_that_breaks_never_looks_complete_and_keeps_what_was_sent() {
    let site = Site::new(|exchange: Exchange| {
        let target = exchange.request.uri.path().to_owned();
        let mut body = exchange.reply.start(head(200, &[]));
        let _ = body.send(first_chunk().into());
        match target.as_str() {
            "/fail" => body.fail(Fault::Application("raised")),
            "/panic" => panic!("scripted"),
            _ => drop(body),
        }
    });
    for target in ["/fail", "/panic", "/drop"] {
        let mut client = site.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.read_head().unwrap();
        let sent = client.rest();
        assert!(sent.len() > 300_000, "{target}: {}", sent.len());
        assert!(!sent.ends_with(b"0\r\n\r\n"), "{target}");

        // HTTP/1.0 has no mark for the end but the close, so a broken body ends with a reset.
        let mut client = site.connect();
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert!(client.answer_to("GET").unwrap_err().contains("reset"), "{target}");
    }
}

#[test]
fn header_names_are_written_as_the_application_wrote_them() {
    let site = Site::new(|exchange: Exchange| {
        let mut head =
            head(200, &[("etag", "\"x\""), ("content-type", "a/b"), ("www-authenticate", "Basic")]);
        head.names = vec![Bytes::from_static(b"ETag"), Bytes::from_static(b"WWW-Authenticate")];
        exchange.reply.respond(head, Bytes::from(vec![b'x'; 3_000_000]));
    });
    let mut client = site.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.answer();
        let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let usual = ["Content-Length", "Content-Type", "Date", "ETag", "Server", "WWW-Authenticate"];
        assert_eq!(names, usual);
        assert_eq!(answer.body.len(), 3_000_000);
    }
}

#[test]
fn each_way_not_to_answer_is_an_answer() {
    let site = Site::new(|exchange: Exchange| match exchange.request.uri.path() {
        "/panic" => panic!("scripted"),
        "/drop" => drop(exchange),
        "/application" => exchange.reply.fail(Fault::Application("raised")),
        "/server" => exchange.reply.fail(Fault::Server("broke")),
        "/1xx" => exchange.reply.respond(head(100, &[]), Bytes::new()),
        "/101" => exchange.reply.respond(head(101, &[]), Bytes::new()),
        "/lengths" => {
            exchange
                .reply
                .respond(head(200, &[("content-length", "1"), ("content-length", "2")]), Bytes::new());
        }
        "/length" => exchange.reply.respond(head(200, &[("content-length", "+1")]), Bytes::from_static(b"a")),
        _ => hello(exchange),
    });
    let mut client = site.connect();
    for target in ["/panic", "/drop", "/application", "/server", "/1xx", "/101", "/lengths", "/length"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((target, answer.status), (target, 500));
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_file_is_sent_in_its_range() {
    let site = Site::new(|exchange: Exchange| {
        let mut file = tempfile();
        file.write_all(&content()).unwrap();
        file.rewind().unwrap();
        let (range, headers): (FileRange, &[_]) = match exchange.request.uri.path() {
            "/all" => (FileRange { file, offset: 0, length: 1_000_000 }, &[]),
            "/part" => (FileRange { file, offset: 12_345, length: 600_000 }, &[]),
            "/cut" => (FileRange { file, offset: 0, length: 1_000_000 }, &[("content-length", "300000")]),
            "/empty" => (FileRange { file, offset: 0, length: 0 }, &[]),
            _ => (FileRange { file, offset: 0, length: 1_000_001 }, &[]),
        };
        exchange.reply.respond_file(head(200, headers), range);
    });
    let mut client = site.connect();
    for (target, range) in
        [("/all", 0..1_000_000), ("/part", 12_345..612_345), ("/cut", 0..300_000), ("/empty", 0..0)]
    {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((target, answer.body.len()), (target, range.len()));
        assert!(answer.body == content()[range], "{target}");
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.answer_to("HEAD").unwrap().body, b"");
    }
    client.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer_to("GET").unwrap_err(), "closed after 1000000 of 1000001 bytes");
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let (say, said) = std::sync::mpsc::channel();
    let say = std::sync::Mutex::new(say);
    let site = Site::with(
        Setup {
            limits: Limits { body_timeout: Duration::from_millis(200), ..limits() },
            ..Default::default()
        },
        move |exchange: Exchange| {
            let mut body = exchange.reply.start(head(200, &[]));
            while body.send(Bytes::from(vec![b'x'; 100_000])).is_ok() {}
            say.lock().unwrap().send(()).unwrap();
        },
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    said.recv_timeout(support::PATIENCE).unwrap();
    assert!(client.answer_to("GET").is_err());
}

fn content() -> Vec<u8> {
    (0..1_000_000_u32).map(|at| u8::try_from(at % 241).unwrap()).collect()
}

/// A file without a name: made, opened and unlinked.
fn tempfile() -> std::fs::File {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("chaussette-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
