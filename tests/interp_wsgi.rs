//! The right half driven with no socket: interpreters are born, serve WSGI requests and end.
//!
//! One test function: CPython is initialised once a process.
#![cfg(feature = "python")]

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::application::{Ended, Home};
use chaussette::bell::Bell;
use chaussette::census::Roster;
use chaussette::dispatch::{Dispatcher, queue};
use chaussette::exchange::{
    Answer, Client, Connection, Exchange, Fault, Missing, Reply, Request, RequestBody,
};
use chaussette::exchange::{Response, ResponseBody, Scheme};
use chaussette::interp::{Truth, embed};
use chaussette::worker::{Handle, Life, Report};
use chaussette::wsgi::{Settings, WsgiLoader};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const APP: &str = r#"
import sys, threading
count = 0
def app(environ, start_response):
    global count
    count += 1
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise ValueError("on purpose")
    if path == "/stream":
        def parts():
            start_response("201 Made", [("X-Late", "yes")])
            yield b""
            yield b"one,"
            yield b"two"
        return parts()
    if path == "/large":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"0123456789" * 10_000]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    number = environ["chaussette.interpreter"]
    return [f"{number} {count} ".encode(), environ["REQUEST_METHOD"].encode(), b" ", body]
"#;

fn settings(mut path: Vec<String>, directory: &std::path::Path) -> Settings {
    path.insert(0, directory.to_str().unwrap().to_owned());
    path.push(concat!(env!("CARGO_MANIFEST_DIR"), "/src/python").to_owned());
    Settings {
        application: "served:app".to_owned(),
        factory: Truth::False,
        path,
        argv: vec!["test".to_owned()],
        home: Home::OwnGil,
        unlocked: Truth::False,
        pool: None,
        multithread: Truth::True,
        multiprocess: Truth::True,
        patience: std::time::Duration::from_secs(2),
        sources: None,
        request_timeout: None,
    }
}

fn submit(dispatcher: &Dispatcher, method: &str, path: &str, body: &'static [u8]) -> Answer {
    let (reply, answer) = Reply::new(Arc::clone(dispatcher.bell()));
    let request = Request {
        method: method.parse().unwrap(),
        uri: path.parse().unwrap(),
        target: None,
        version: http::Version::HTTP_11,
        headers: http::HeaderMap::new(),
        body: if body.is_empty() { RequestBody::Empty } else { RequestBody::Whole(Bytes::from_static(body)) },
        connection: Arc::new(Connection {
            client: Client::Unix,
            server_name: "localhost".to_owned(),
            server_port: "80".to_owned(),
            scheme: Scheme::Http,
            script_name: String::new(),
        }),
    };
    dispatcher.submit(Exchange { request: Box::new(request), reply }).expect("the queue has room");
    dispatcher.flush();
    answer
}

/// Polls until ready: this test has no reactor to be woken by.
fn answered(answer: Answer) -> Result<Response, Missing> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut response = Box::pin(answer.response(|| false, |_| {}));
    let mut context = Context::from_waker(Waker::noop());
    while Instant::now() < deadline {
        if let Poll::Ready(response) = response.as_mut().poll(&mut context) {
            return response;
        }
        std::thread::yield_now();
    }
    panic!("no answer within 20 s");
}

fn text(response: Result<Response, Missing>) -> (u16, String) {
    let mut response = response.expect("a response");
    let mut body = Vec::new();
    match &mut response.body {
        ResponseBody::Whole(whole) => body.extend_from_slice(whole),
        ResponseBody::Stream(chunks) => {
            let mut context = Context::from_waker(Waker::noop());
            loop {
                match chunks.poll_chunk(&mut context) {
                    Poll::Ready(Some(chunk)) => body.extend_from_slice(&chunk.expect("a chunk")),
                    Poll::Ready(None) => break,
                    Poll::Pending => std::thread::yield_now(),
                }
            }
        }
        ResponseBody::File(_) => panic!("not a file"),
    }
    (response.head.status.as_u16(), String::from_utf8(body).unwrap())
}

fn report(reports: &mut UnboundedReceiver<Report>) -> Report {
    reports.blocking_recv().expect("a report")
}

#[test]
fn two_interpreters_are_born_serve_and_end() {
    let path = embed::start();
    assert!(!path.is_empty());
    let directory = std::env::temp_dir().join(format!("chaussette-interp-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("served.py"), APP).unwrap();

    let (dispatcher, work) = queue(16, Arc::new(Bell::default()));
    let (sender, mut reports) = unbounded_channel();
    let loader = Arc::new(WsgiLoader::new(settings(path, &directory)));
    let roster = Roster::new(work.clone());
    for _ in 0..2 {
        let handle = Handle::new(roster.register(0), work.member());
        handle.admit();
        let (threads, loader, reports) = (2, Arc::clone(&loader), sender.clone());
        Life { handle, threads, loader, most: None, warmup: None, reports }.start().unwrap();
    }
    for _ in 0..2 {
        let report = report(&mut reports);
        assert!(matches!(report, Report::Ready { .. }), "{report:?}");
    }

    // Both interpreters serve, each with its own module state.
    let mut interpreters = BTreeSet::new();
    for _ in 0..64 {
        let (status, body) = text(answered(submit(&dispatcher, "POST", "/echo", b"hello")));
        assert_eq!(status, 200);
        assert!(body.ends_with("POST hello"), "{body}");
        interpreters.insert(body.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(interpreters, BTreeSet::from(["0".to_owned(), "1".to_owned()]));

    // start_response at the first next(), an empty part before the head.
    assert_eq!(text(answered(submit(&dispatcher, "GET", "/stream", b""))), (201, "one,two".to_owned()));

    // An exception is the application's fault, and costs nothing else.
    let fault = answered(submit(&dispatcher, "GET", "/raise", b"")).unwrap_err();
    assert!(matches!(fault, Missing::Failed(Fault::Application(_))), "{fault:?}");
    assert_eq!(text(answered(submit(&dispatcher, "GET", "/", b""))).0, 200);

    // A large body is Python's own memory, and outlives its interpreter with a client that does not read.
    let large = || text(answered(submit(&dispatcher, "GET", "/large", b""))).1;
    let kept: Vec<_> = (0..8).map(|_| answered(submit(&dispatcher, "GET", "/large", b""))).collect();
    assert_eq!(large(), "0123456789".repeat(10_000));

    // Closed, the queue lets every thread go, and each interpreter ends.
    work.close();
    let mut ended = 0;
    while ended < 2 {
        match report(&mut reports) {
            Report::Ended { ended: how, .. } => {
                assert_eq!(how, Ended::Cleanly);
                ended += 1;
            }
            Report::Ending { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    for response in kept {
        assert_eq!(text(response).1, "0123456789".repeat(10_000));
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
