//! Replies that are taken away from a worker: what the client sees, and what the worker.

mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use chaussette::exchange::{Exchange, Fault, NoReader, Revoked, Revoker};
use support::{PATIENCE, Site, first_chunk, head, soon};

/// A site whose script hands its revoker out, then waits to be let go.
struct Held {
    site: Site,
    revokers: Receiver<Revoker>,
    go: Sender<()>,
}

impl Held {
    fn new(script: impl Fn(Exchange, &dyn Fn()) + Send + Sync + 'static) -> Self {
        let (say, revokers) = channel();
        let (go, wait) = channel::<()>();
        let (say, wait) = (Mutex::new(say), Mutex::new(wait));
        let site = Site::new(move |exchange: Exchange| {
            let Some(revoker) = exchange.reply.revoker() else { return };
            script(exchange, &|| {
                let _ = say.lock().unwrap().send(revoker.clone());
                let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
            });
        });
        Self { site, revokers, go }
    }

    fn revoker(&self) -> Revoker {
        self.revokers.recv_timeout(PATIENCE).unwrap()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_reply_without_a_head_is_answered_504_and_the_workers_own_is_dropped() {
    let held = Held::new(|exchange, hold| {
        hold();
        exchange.reply.respond(head(200, &[]), Bytes::from_static(b"late"));
    });
    let mut client = held.site.connect();
    client.send(GET);
    let revoker = held.revoker();
    assert!(!revoker.is_revoked());
    assert_eq!(revoker.revoke(Fault::Overdue), Revoked::Answered);
    assert_eq!(client.answer().status, 504);
    assert!(revoker.is_revoked());
    assert_eq!(revoker.revoke(Fault::Overdue), Revoked::Complete);
    held.go.send(()).unwrap();
    // The connection lives on, and the next answer is its own.
    client.send(GET);
    held.revoker();
    held.go.send(()).unwrap();
    assert_eq!(client.answer().text(), "late");
}

#[test]
fn a_stream_is_aborted_and_its_sender_learns_why() {
    let (say, outcome) = channel();
    let say = Mutex::new(say);
    let held = Held::new(move |exchange, hold| {
        let mut body = exchange.reply.start(head(200, &[]));
        body.send(first_chunk().into()).unwrap();
        hold();
        say.lock().unwrap().send(body.send(Bytes::from_static(b"more"))).unwrap();
        body.finish();
    });
    let mut client = held.site.connect();
    client.send(GET);
    assert!(client.read_head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(held.revoker().revoke(Fault::Overdue), Revoked::Aborted);
    held.go.send(()).unwrap();
    assert_eq!(outcome.recv_timeout(PATIENCE).unwrap(), Err(NoReader::Revoked));
    let rest = client.rest();
    assert!(rest.len() >= first_chunk().len(), "what was produced in time is sent");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it must not look complete");
}

#[test]
fn a_complete_response_cannot_be_taken_away() {
    let held = Held::new(|exchange, hold| {
        let mut body = exchange.reply.start(head(200, &[]));
        body.send(Bytes::from_static(b"all")).unwrap();
        body.finish();
        hold();
    });
    let answered = std::thread::scope(|scope| {
        let asking = scope.spawn(|| held.site.get("/"));
        assert_eq!(held.revoker().revoke(Fault::Overdue), Revoked::Complete);
        held.go.send(()).unwrap();
        asking.join().unwrap()
    });
    assert_eq!((answered.status, answered.text()), (200, "all"));
}

#[test]
fn waiting_for_a_client_that_reads_nothing_is_counted() {
    let held = Held::new(|exchange, hold| {
        hold();
        let mut body = exchange.reply.start(head(200, &[]));
        while body.send(first_chunk().into()).is_ok() {}
    });
    let mut client = held.site.connect();
    client.send(GET);
    let revoker = held.revoker();
    assert_eq!(revoker.waited(Instant::now()).time, std::time::Duration::ZERO);
    held.go.send(()).unwrap();
    soon("the sender to wait", || revoker.waited(Instant::now()).still);
    drop(client);
    soon("the sender to give up", || !revoker.waited(Instant::now()).still);
    assert!(revoker.waited(Instant::now()).time > std::time::Duration::ZERO);
}
