//! The queue: order, limit, fairness, gone clients, closing. No HTTP, no Python.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::application::Appetite;
use chaussette::bell::Bell;
use chaussette::census::{Closed, Roster};
use chaussette::dispatch::{Dispatcher, Member, Refused, queue};
use chaussette::exchange::{Answer, Client, Connection, Exchange, Reply, Request, RequestBody, Scheme};

/// Long enough for a loaded machine; a test that passes never waits it out.
const SOON: Duration = Duration::from_secs(20);

fn exchange(bell: &Arc<Bell>, path: &str) -> (Exchange, Answer) {
    let (reply, answer) = Reply::new(Arc::clone(bell));
    let request = Request {
        method: http::Method::GET,
        uri: path.parse().unwrap(),
        target: None,
        version: http::Version::HTTP_11,
        headers: http::HeaderMap::new(),
        body: RequestBody::Empty,
        connection: Arc::new(Connection {
            client: Client::Unix,
            server_name: "localhost".to_owned(),
            server_port: "80".to_owned(),
            scheme: Scheme::Http,
            script_name: String::new(),
        }),
    };
    (Exchange { request: Box::new(request), reply }, answer)
}

fn submit(dispatcher: &Dispatcher, path: &str) -> Answer {
    let (exchange, answer) = exchange(dispatcher.bell(), path);
    dispatcher.submit(exchange).expect("there is room");
    answer
}

/// A worker that tells which request it took and keeps it until told to go on.
fn worker(member: &Member) -> (Receiver<String>, std::sync::mpsc::Sender<()>) {
    let (took, taken) = channel();
    let (go, wait) = channel();
    let mut seat = member.seat(Arc::default());
    std::thread::Builder::new()
        .spawn(move || {
            while let Some(exchange) = seat.wait() {
                if took.send(exchange.request.uri.path().to_owned()).is_err() || wait.recv().is_err() {
                    break;
                }
            }
        })
        .unwrap();
    (taken, go)
}

#[test]
fn requests_are_served_in_the_order_they_came() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let answers: Vec<_> = ["/1", "/2", "/3"].iter().map(|path| submit(&dispatcher, path)).collect();
    dispatcher.flush();
    let mut seat = work.member().seat(Arc::default());
    let taken: Vec<_> =
        std::iter::from_fn(|| seat.take()).map(|exchange| exchange.request.uri.path().to_owned()).collect();
    assert_eq!(taken, ["/1", "/2", "/3"]);
    drop(answers);
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let (dispatcher, work) = queue(2, Arc::new(Bell::default()));
    let answers = [submit(&dispatcher, "/1"), submit(&dispatcher, "/2")];
    let (third, _answer) = exchange(dispatcher.bell(), "/3");
    assert!(matches!(dispatcher.submit(third), Err(Refused::Full(_))));
    dispatcher.flush();
    assert_eq!(dispatcher.waiting(), 2);
    drop((answers, work));
}

#[test]
fn a_request_whose_client_is_gone_makes_room_and_is_never_taken() {
    let (dispatcher, work) = queue(2, Arc::new(Bell::default()));
    let gone = submit(&dispatcher, "/gone");
    let kept = submit(&dispatcher, "/kept");
    dispatcher.flush();
    drop(gone);
    let late = submit(&dispatcher, "/late");
    dispatcher.flush();
    let mut seat = work.member().seat(Arc::default());
    let taken: Vec<_> =
        std::iter::from_fn(|| seat.take()).map(|exchange| exchange.request.uri.path().to_owned()).collect();
    assert_eq!(taken, ["/kept", "/late"]);
    drop((kept, late));
}

#[test]
fn a_busy_worker_does_not_pull_and_a_free_one_does() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let (first, _release_first) = worker(&work.member());
    let one = submit(&dispatcher, "/1");
    dispatcher.flush();
    assert_eq!(first.recv_timeout(SOON).unwrap(), "/1");
    let (second, _release_second) = worker(&work.member());
    let two = submit(&dispatcher, "/2");
    dispatcher.flush();
    assert_eq!(second.recv_timeout(SOON).unwrap(), "/2");
    drop((one, two));
}

#[test]
fn a_thread_of_an_idle_interpreter_is_preferred() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    // One interpreter has two threads, the other one.
    let (two, one) = (work.member(), work.member());
    let workers = [worker(&two), worker(&two), worker(&one)];
    while dispatcher.idle() < workers.len() {
        std::thread::yield_now();
    }
    let mut answers = Vec::new();
    let mut served = [0, 0];
    for path in ["/1", "/2"] {
        answers.push(submit(&dispatcher, path));
        dispatcher.flush();
        let place = loop {
            let found = workers.iter().position(|(taken, _)| taken.try_recv().is_ok());
            if let Some(found) = found {
                break usize::from(found == 2);
            }
            std::thread::yield_now();
        };
        served[place] += 1;
    }
    assert_eq!(served, [1, 1], "the second request went beside a busy thread");
}

#[test]
fn a_closed_queue_is_emptied_before_its_workers_leave() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let answer = submit(&dispatcher, "/last");
    dispatcher.flush();
    work.close();
    let (late, _answer) = exchange(dispatcher.bell(), "/late");
    assert!(matches!(dispatcher.submit(late), Err(Refused::Closed(_))));
    let mut seat = work.member().seat(Arc::default());
    assert!(seat.wait().is_some());
    assert!(seat.wait().is_none());
    drop(answer);
}

#[test]
fn the_seats_of_a_retired_interpreter_leave_and_the_others_go_on() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let (old, new) = (work.member(), work.member());
    let (asleep, _go) = worker(&old);
    while dispatcher.idle() < 1 {
        std::thread::yield_now();
    }
    let mut awake = old.seat(Arc::default());
    let (successor, _release) = worker(&new);
    old.retire();
    // The thread that slept ends: its channel does.
    assert_eq!(asleep.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected));
    let answer = submit(&dispatcher, "/");
    assert!(awake.take().is_none());
    assert!(awake.wait().is_none());
    dispatcher.flush();
    assert_eq!(successor.recv_timeout(SOON).unwrap(), "/");
    drop(answer);
}

#[test]
fn a_seat_that_is_retired_when_it_was_just_called_passes_the_call_on() {
    for round in 0..200 {
        let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
        let (old, new) = (work.member(), work.member());
        let (old_took, old_go) = worker(&old);
        while dispatcher.idle() < 1 {
            std::thread::yield_now();
        }
        let (new_took, new_go) = worker(&new);
        while dispatcher.idle() < 2 {
            std::thread::yield_now();
        }
        // The longest idle is called, and retired before it can look.
        let answer = submit(&dispatcher, "/");
        dispatcher.flush();
        old.retire();
        let taken = new_took
            .recv_timeout(Duration::ZERO)
            .or_else(|_| old_took.recv_timeout(SOON).or_else(|_| new_took.recv_timeout(SOON)));
        assert_eq!(taken.as_deref(), Ok("/"), "round {round}: the request waits while a worker sleeps");
        drop((answer, old_go, new_go));
        work.close();
    }
}

#[test]
fn a_seat_takes_its_share_ahead_and_puts_back_what_was_not_begun() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let roster = Roster::new(work.clone());
    let desk = roster.register(0).desk();
    let member = work.member();
    let (mut seat, mut other) = (member.seat(Arc::clone(&desk)), member.seat(Arc::default()));
    let answers: Vec<_> = (1..=7).map(|number| submit(&dispatcher, &format!("/{number}"))).collect();
    dispatcher.flush();
    let path = |exchange: &Exchange| exchange.request.uri.path().to_owned();
    let first = seat.take().expect("a request");
    let mut ahead = seat.ahead(Appetite { most: 32, alone: 0 });
    assert_eq!(ahead.iter().map(path).collect::<Vec<_>>(), ["/2", "/3", "/4"], "half of what waits");
    let done = Instant::now();
    let service = seat.proceed(done).expect("another one");
    let entry = desk.entry().expect("it is in hand");
    assert_eq!((entry.uri.path(), entry.since, entry.serial), ("/2", done, 2));
    assert_eq!(service.queued, entry.queued);
    assert_eq!(desk.served(), 1);
    seat.take_back(ahead.pop().expect("the last"));
    assert_eq!(path(&other.take().expect("it is the first again")), "/4");
    assert_eq!(path(&other.take().expect("the one behind it")), "/5");
    seat.proceed(Instant::now()).expect("/3");
    assert!(seat.proceed(Instant::now()).is_none());
    assert!(seat.ahead(Appetite { most: 0, alone: 0 }).is_empty());
    member.retire();
    assert!(seat.ahead(Appetite { most: 32, alone: 0 }).is_empty());
    drop((first, ahead, answers));
}

#[test]
fn a_desk_tells_what_is_in_hand_and_how_much_is_done() {
    let (dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let roster = Roster::new(work.clone());
    let record = roster.register(0);
    let desk = record.desk();
    let mut seat = work.member().seat(Arc::clone(&desk));
    let answers = [submit(&dispatcher, "/1?x=y"), submit(&dispatcher, "/2")];
    dispatcher.flush();
    assert_eq!(roster.snapshot().queue.waiting, 2);
    let first = seat.take().expect("a request");
    let entry = desk.entry().expect("it is in hand");
    assert_eq!((entry.serial, entry.uri.to_string().as_str()), (1, "/1?x=y"));
    assert_eq!(roster.snapshot().interpreters[0].current[0].target, "/1?x=y");
    drop((first, seat.take().expect("another")));
    assert!(!desk.interrupt(1, || panic!("it is gone")));
    assert!(desk.interrupt(2, || {}));
    assert_eq!(desk.close(Instant::now()), Closed::Interrupted);
    assert!(seat.take().is_none());
    let census = roster.snapshot();
    assert_eq!((census.totals.served, census.interpreters[0].served), (2, 2));
    roster.forget(&record);
    assert_eq!(roster.snapshot().totals.served, 2, "what is gone is still counted");
    drop(answers);
}

#[test]
fn nobody_visits_an_interpreter_that_ends_and_its_end_waits_for_visitors() {
    let (_dispatcher, work) = queue(8, Arc::new(Bell::default()));
    let record = Roster::new(work).register(0);
    let visit = record.visit().expect("it is open");
    let (say_closed, closed) = channel();
    let ending = Arc::clone(&record);
    let closing = move || {
        ending.close_door();
        say_closed.send(()).unwrap();
    };
    let thread = std::thread::Builder::new().spawn(closing).unwrap();
    let deadline = Instant::now() + SOON;
    while record.visit().is_some() {
        assert!(Instant::now() < deadline, "visitors still come in");
    }
    assert!(closed.try_recv().is_err(), "it was closed around a visitor");
    drop(visit);
    closed.recv_timeout(SOON).unwrap();
    assert!(record.visit().is_none());
    thread.join().unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_dropped_reply_is_an_answer() {
    let bell = Arc::new(Bell::default());
    let (exchange, answer) = exchange(&bell, "/");
    drop(exchange);
    assert!(answer.response(|| false, |_| {}).await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_from_another_thread_wakes_the_reactor() {
    let bell = Arc::new(Bell::default());
    let (exchange, answer) = exchange(&bell, "/");
    let pump = {
        let bell = Arc::clone(&bell);
        tokio::spawn(async move { bell.pump().await })
    };
    let ringing = Arc::clone(&bell);
    let worker = std::thread::Builder::new()
        .spawn(move || {
            let head = chaussette::exchange::ResponseHead {
                status: http::StatusCode::OK,
                reason: None,
                headers: http::HeaderMap::new(),
                names: Vec::new(),
            };
            exchange.reply.respond(head, Bytes::from_static(b"hello"));
            ringing.ring();
        })
        .unwrap();
    let response = tokio::time::timeout(SOON, answer.response(|| false, |_| {}))
        .await
        .expect("woken")
        .expect("a response");
    assert_eq!(response.head.status, 200);
    worker.join().unwrap();
    pump.abort();
}

#[tokio::test(flavor = "current_thread")]
async fn a_reply_left_unrung_is_found_all_the_same() {
    // A worker that leaves a reply and then is slow must not hold it up: the pump looks again by itself.
    let bell = Arc::new(Bell::default());
    let (dispatcher, work) = queue(8, Arc::clone(&bell));
    let pump = {
        let bell = Arc::clone(&bell);
        tokio::spawn(async move { bell.pump().await })
    };
    let answer = submit(&dispatcher, "/");
    dispatcher.flush();
    let (done, finished) = channel::<()>();
    let worker = std::thread::Builder::new()
        .spawn(move || {
            let mut seat = work.member().seat(Arc::default());
            let exchange = seat.wait().expect("a request");
            let head = chaussette::exchange::ResponseHead {
                status: http::StatusCode::OK,
                reason: None,
                headers: http::HeaderMap::new(),
                names: Vec::new(),
            };
            exchange.reply.respond(head, Bytes::new());
            // Neither takes nor rests: stuck in the next request, as it were.
            let _ = finished.recv();
            drop(seat);
        })
        .unwrap();
    tokio::time::timeout(SOON, answer.response(|| false, |_| {})).await.expect("found").expect("a response");
    drop(done);
    worker.join().unwrap();
    pump.abort();
}
