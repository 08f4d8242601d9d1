//! Connections over time: idle, leaving, queued, drained.

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::exchange::Exchange;
use chaussette::http::Limits;
use support::{Client, PATIENCE, Setup, Site, head, hello, limits, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A script that says when it has begun and waits to be let go. `/quick` is answered at once.
struct Gate {
    begun: Receiver<String>,
    go: Sender<()>,
}

impl Gate {
    fn site(setup: Setup) -> (Site, Self) {
        let (say, begun) = channel();
        let (go, wait) = channel::<()>();
        let (say, wait) = (Mutex::new(say), Mutex::new(wait));
        let site = Site::with(setup, move |exchange: Exchange| {
            let target = exchange.request.uri.path().to_owned();
            if target != "/quick" {
                say.lock().unwrap().send(target.clone()).unwrap();
                let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
            }
            exchange.reply.respond(head(200, &[]), target.into());
        });
        (site, Self { begun, go })
    }

    fn begun(&self) -> String {
        self.begun.recv_timeout(PATIENCE).unwrap()
    }
}

fn one_worker() -> Setup {
    Setup { workers: 1, ..Default::default() }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn an_idle_connection_is_closed_silently() {
    let limits = Limits { keep_alive: Duration::from_millis(100), ..limits() };
    let site = Site::with(Setup { limits, ..Default::default() }, hello);
    let mut client = site.connect();
    client.send(GET);
    client.answer();
    assert!(client.is_closed());
}

#[test]
fn a_head_that_takes_too_long_is_answered_408() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..limits() };
    let site = Site::with(Setup { limits, ..Default::default() }, hello);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
    assert!(client.is_closed());

    let mut silent = site.connect();
    assert!(silent.is_closed(), "nothing was said, so nothing is answered");
}

#[test]
fn dripping_a_head_gains_no_time() {
    let limits = Limits { header_timeout: Duration::from_millis(300), ..limits() };
    let site = Site::with(Setup { limits, ..Default::default() }, hello);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let began = Instant::now();
    let mut buffer = [0; 1024];
    let answered = loop {
        assert!(began.elapsed() < PATIENCE);
        match std::io::Read::read(&mut client.stream, &mut buffer) {
            Ok(read) => break String::from_utf8_lossy(&buffer[..read]).into_owned(),
            Err(_) => client.send("A: b\r\n"),
        }
    };
    assert!(answered.starts_with("HTTP/1.1 408 "), "{answered}");
}

#[test]
fn a_client_that_shut_its_side_still_gets_its_answer() {
    let (site, gate) = Gate::site(one_worker());
    let mut client = site.connect();
    client.send(get("/slow"));
    client.leave();
    assert_eq!(gate.begun(), "/slow");
    // A queued request of a client that left later is given up: by then the first would have been, too.
    let mut later = site.connect();
    later.send(get("/queued"));
    later.leave();
    assert_eq!(later.answer().status, 503);
    gate.go.send(()).unwrap();
    assert_eq!(client.answer().text(), "/slow");
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_all_answered_to_a_client_that_shut_its_side() {
    let (site, gate) = Gate::site(one_worker());
    let mut client = site.connect();
    client.send(get("/slow") + &get("/quick").repeat(5));
    client.leave();
    gate.begun();
    let mut later = site.connect();
    later.send(get("/queued"));
    later.leave();
    assert_eq!(later.answer().status, 503);
    gate.go.send(()).unwrap();
    assert_eq!(client.answer().text(), "/slow");
    for _ in 0..5 {
        assert_eq!(client.answer().text(), "/quick");
    }
    assert!(client.is_closed());
}

#[test]
fn a_queued_request_whose_client_left_never_reaches_a_worker() {
    let (site, gate) = Gate::site(one_worker());
    let mut holder = site.connect();
    holder.send(get("/holder"));
    assert_eq!(gate.begun(), "/holder");
    let mut gone = site.connect();
    gone.send(get("/gone"));
    gone.leave();
    assert_eq!(gone.answer().status, 503);
    gate.go.send(()).unwrap();
    assert_eq!(holder.answer().text(), "/holder");
    let mut next = site.connect();
    next.send(get("/next"));
    assert_eq!(gate.begun(), "/next");
}

#[test]
fn a_full_queue_is_answered_503_with_retry_after() {
    let (site, gate) = Gate::site(Setup { workers: 1, capacity: 1, ..Default::default() });
    let mut held = site.connect();
    held.send(get("/held"));
    gate.begun();
    // One of these waits in the queue, and whichever comes second is refused.
    let mut clients: Vec<_> = (0..2).map(|_| site.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/quick")));
    soon("one of them is refused", || clients.iter().any(Client::has_input));
    let mut refused = clients.swap_remove(usize::from(clients[1].has_input()));
    let mut queued = clients.swap_remove(0);
    assert!(!queued.has_input());
    let answer = refused.answer();
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    gate.go.send(()).unwrap();
    assert_eq!(held.answer().text(), "/held");
    assert_eq!(queued.answer().text(), "/quick");
    refused.send(get("/quick"));
    assert_eq!(refused.answer().text(), "/quick");
}

#[test]
fn a_closed_queue_is_answered_503_and_closes() {
    let site = Site::new(hello);
    site.queue.close();
    let mut client = site.connect();
    client.send(GET);
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_queue_that_is_given_up_is_answered_503() {
    let (site, gate) = Gate::site(one_worker());
    let mut clients: Vec<_> = (0..3).map(|_| site.connect()).collect();
    clients[0].send(get("/held"));
    gate.begun();
    clients[1].send(get("/queued"));
    clients[2].send(get("/queued"));
    let mut discarded = 0;
    while discarded < 2 {
        discarded += site.queue.discard();
        std::thread::yield_now();
    }
    assert_eq!(clients[1].answer().status, 503);
    assert_eq!(clients[2].answer().status, 503);
    gate.go.send(()).unwrap();
    assert_eq!(clients[0].answer().status, 200);
}

#[test]
fn draining_gives_idle_connections_time_for_one_more_request() {
    let limits = Limits { drain_idle: PATIENCE, ..limits() };
    let site = Site::with(Setup { limits, ..Default::default() }, hello);
    let mut clients = [site.connect(), site.connect()];
    for client in &mut clients {
        client.send(get("/before"));
        client.answer();
    }
    site.drain();
    assert!(!site.has_ended(Duration::from_millis(50)));
    for client in &mut clients {
        client.send(get("/after") + &get("/behind"));
        assert_eq!(client.answer().header("Connection"), Some("close"));
        assert!(client.is_closed());
    }
    assert!(site.has_ended(PATIENCE));
}

#[test]
fn draining_closes_an_idle_connection_once_its_time_is_up() {
    let limits = Limits { drain_idle: Duration::from_millis(100), ..limits() };
    let site = Site::with(Setup { limits, ..Default::default() }, hello);
    let mut client = site.connect();
    client.send(get("/before"));
    client.answer();
    site.drain();
    assert!(client.is_closed());
    assert!(site.has_ended(PATIENCE));
}

#[test]
fn draining_closes_the_idle_at_once_and_finishes_the_rest() {
    let (site, gate) = Gate::site(Setup::default());
    let mut idle = site.connect();
    idle.send(get("/quick"));
    idle.answer();
    let mut busy = site.connect();
    busy.send(get("/busy") + &get("/behind"));
    gate.begun();
    let mut arriving = site.connect();
    arriving.send("GET /arriving HTTP/1.1\r\nHo");
    // Accepted and read, so that draining finds all three as they are.
    let mut last = site.connect();
    last.send(get("/quick"));
    last.answer();

    site.drain();
    assert!(idle.is_closed());
    assert!(last.is_closed());
    assert!(!site.has_ended(Duration::ZERO));
    arriving.send("st: x\r\n\r\n");
    assert_eq!(gate.begun(), "/arriving");
    gate.go.send(()).unwrap();
    gate.go.send(()).unwrap();
    for (client, text) in [(&mut busy, "/busy"), (&mut arriving, "/arriving")] {
        let answer = client.answer();
        assert_eq!((answer.text(), answer.header("Connection")), (text, Some("close")));
        assert!(client.is_closed());
    }
    assert!(site.has_ended(PATIENCE));
}

#[test]
fn a_drain_under_load_truncates_nothing() {
    for round in 0..20 {
        let site = Site::new(support::stream);
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (site, answered) = (&site, &answered);
                scope.spawn(move || {
                    loop {
                        let Ok(mut client) = site.try_connect() else { return };
                        for _ in 0..=number {
                            // The server may have closed an idle connection; it may not break off an answer.
                            if client.try_send(GET).is_err() {
                                break;
                            }
                            match client.try_answer() {
                                Some(answer) => assert_eq!(answer.text(), support::streamed()),
                                None => break,
                            }
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            soon("some requests are answered", || answered.load(Ordering::Relaxed) > 2 * round);
            site.drain();
            assert!(site.has_ended(PATIENCE));
        });
    }
}

#[test]
fn a_client_that_connected_just_before_a_drain_is_still_served() {
    let site = Site::new(hello);
    let mut waiting = site.connect();
    // Accepted for sure, since connections are accepted in order.
    site.get("/");
    site.drain();
    waiting.send(GET);
    let answer = waiting.answer();
    assert_eq!((answer.text(), answer.header("Connection")), ("Hello, World!", Some("close")));
    assert!(site.has_ended(PATIENCE));
}

/// Streams in two parts; the second waits to be let go.
fn two_parts() -> (Site, Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let site = Site::new(move |exchange: Exchange| {
        let mut body = exchange.reply.start(head(200, &[]));
        body.send(Bytes::from_static(b"first, ")).unwrap();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        body.send(Bytes::from_static(b"last")).unwrap();
        body.finish();
    });
    (site, go)
}

#[test]
fn a_stream_that_is_under_way_is_not_cut_by_a_drain() {
    let (site, go) = two_parts();
    let mut client = site.connect();
    client.send(GET);
    client.read_head().unwrap();
    site.drain();
    go.send(()).unwrap();
    assert_eq!(String::from_utf8(client.rest()).unwrap(), "7\r\nfirst, \r\n4\r\nlast\r\n0\r\n\r\n");
    assert!(site.has_ended(PATIENCE));
}

#[test]
fn what_is_pipelined_behind_a_stream_is_not_started_once_the_server_drains() {
    let (site, go) = two_parts();
    let mut client = site.connect();
    // More than is taken in ahead: some of it stays in the kernel.
    client.send(GET.repeat(4000));
    client.read_head().unwrap();
    site.drain();
    go.send(()).unwrap();
    assert_eq!(String::from_utf8(client.rest()).unwrap(), "7\r\nfirst, \r\n4\r\nlast\r\n0\r\n\r\n");
    drop(client);
    assert!(site.has_ended(PATIENCE));
}

#[test]
fn a_quick_end_waits_for_nobody() {
    let (site, gate) = Gate::site(one_worker());
    let mut busy = site.connect();
    busy.send(get("/busy"));
    gate.begun();
    site.quick();
    assert!(site.has_ended(PATIENCE));
    assert_eq!(busy.rest(), b"");
    drop(gate);
}

#[test]
fn connections_that_are_reset_harm_nobody() {
    let site = Site::new(support::stream);
    for cut in [0, 5, GET.len()] {
        for _ in 0..50 {
            let mut client = site.connect();
            client.send(&GET[..cut]);
            let socket = socket2::SockRef::from(&client.stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    assert_eq!(site.get("/").text(), support::streamed());
}

#[test]
fn hundreds_of_idle_connections_are_in_nobodys_way() {
    let site = Site::new(hello);
    let mut idle: Vec<_> = (0..400).map(|_| site.connect()).collect();
    for client in &mut idle {
        client.send(GET);
    }
    for client in &mut idle {
        client.answer();
    }
    assert_eq!(site.get("/").text(), "Hello, World!");
    for client in &mut idle {
        client.send(GET);
        client.answer();
    }
}
