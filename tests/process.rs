//! Worker processes from the server's side, over a fake: a thread is the zygote, others are its workers. No Python.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::application::{
    Appetite, Application, Ended, Invitation, Killed, Line, LoadError, Loaded, Loader, NotLoaded,
};
use chaussette::bell::Bell;
use chaussette::census::{Identity, Overdue, Record, Thread};
use chaussette::exchange::{
    Answer, BodyError, Client, Connection, Exchange, Fault, FileRange, Missing, NoReader, Reply, Request,
    RequestBody, Response, ResponseBody, ResponseHead, Scheme, body_channel,
};
use chaussette::process::{Cord, Launched, Launcher, Order, ProcessLoader, Relay, Telling, Word, work};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The other end of every cord, in this process.
#[derive(Debug, Default)]
struct Fake {
    births: AtomicI32,
    /// Cords of workers, by their numbers: who cuts one has killed it.
    cords: Mutex<HashMap<i32, UnixStream>>,
    fails: Option<LoadError>,
}

#[derive(Debug)]
struct Launch(Arc<Fake>);

impl Launcher for Launch {
    fn launch(&self, cord: UnixStream) -> io::Result<Box<dyn Launched>> {
        let fake = Arc::clone(&self.0);
        let ended = cord.try_clone()?;
        Builder::new().spawn(move || fake.live(cord))?;
        Ok(Box::new(Thread0(ended)))
    }
}

#[derive(Debug)]
struct Thread0(UnixStream);

impl Launched for Thread0 {
    fn kill(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    fn wait(&mut self) -> String {
        "was a thread".to_owned()
    }
}

impl Fake {
    fn live(self: Arc<Self>, socket: UnixStream) {
        let (cord, mut ear) = Cord::new(socket).unwrap();
        while let Some((order, file)) = ear.hear::<Order>() {
            let word = match (order, file) {
                (Order::Begin { settings }, _) => {
                    assert_eq!(settings, "the settings");
                    match &self.fails {
                        Some(error) => Word::Failed { error: error.clone() },
                        None => Word::Ready { name: String::new() },
                    }
                }
                (Order::Fork { ticket, birth }, Some(theirs)) => {
                    let pid = self.births.fetch_add(1, Ordering::Relaxed) + 100;
                    let theirs = UnixStream::from(theirs);
                    self.cords.lock().unwrap().insert(pid, theirs.try_clone().unwrap());
                    Builder::new().spawn(move || drop(work(birth, theirs, |_| Scripted, || ()))).unwrap();
                    Word::Forked { ticket, pid }
                }
                (Order::Kill { pid }, _) => {
                    self.kill(pid);
                    Word::Died { pid, how: "was killed by SIGKILL".to_owned() }
                }
                (other, _) => panic!("{other:?} is nothing for a zygote"),
            };
            if cord.say(&word, None).is_err() {
                return;
            }
        }
    }

    fn kill(&self, pid: i32) {
        if let Some(cord) = self.cords.lock().unwrap().remove(&pid) {
            cord.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}

/// What is loaded in a worker.
#[derive(Debug)]
struct Scripted;

#[derive(Debug, Clone)]
struct Guest;

impl Loader for Scripted {
    type Application = Guest;
    type Invitation = Guest;

    fn load(&self, _: Identity) -> Result<Loaded<Self>, NotLoaded> {
        Ok(Loaded { application: Guest, invitation: Guest, name: "<scripted>".to_owned() })
    }
}

impl Invitation for Guest {
    type Application = Self;

    fn join(self) -> Result<Self, LoadError> {
        Ok(self)
    }

    fn interrupt(self, overdue: &Overdue) {
        if overdue.interrupt(|| ()) {
            overdue.found("where it is".to_owned());
        }
    }
}

impl Application for Guest {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        let mut next = Some(first);
        while let Some(exchange) = next {
            answer(exchange, line);
            next = line.next();
        }
    }

    fn thread(&self) -> Thread {
        Thread::default()
    }

    fn end(self) -> Ended {
        Ended::Cleanly
    }
}

fn head(status: StatusCode) -> ResponseHead {
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_bytes(b"b=\xe9").unwrap());
    ResponseHead { status, reason: Some(Bytes::from_static(b"Sehr")), headers, names: vec!["ETag".into()] }
}

fn answer(Exchange { mut request, reply }: Exchange, line: &mut dyn Line) {
    match request.uri.path() {
        "/echo" => {
            let mut body = Vec::new();
            match &mut request.body {
                RequestBody::Empty => {}
                RequestBody::Whole(whole) => body.extend_from_slice(whole),
                RequestBody::Stream(reader) => loop {
                    match reader.read() {
                        Ok(Some(part)) => body.extend_from_slice(&part),
                        Ok(None) => break,
                        Err(error) => return reply.fail(Fault::Client(error)),
                    }
                },
            }
            reply.respond(head(StatusCode::CREATED), body.into());
        }
        "/asked" => {
            let told = format!(
                "{} {} {:?} {:?} {:?} {:?}",
                request.method,
                request.uri,
                request.target,
                request.version,
                request.headers,
                request.connection
            );
            reply.respond(head(StatusCode::OK), told.into());
        }
        "/parts" => {
            let mut body = reply.start(head(StatusCode::OK));
            for number in 0..40 {
                let part = Bytes::from(vec![number; 50_000]);
                if body.try_send(part.clone()).is_err() {
                    body.send(part).unwrap();
                }
                line.offered();
            }
            body.finish();
        }
        "/endless" => {
            let mut body = reply.start(head(StatusCode::OK));
            let why = loop {
                if let Err(why) = body.send(Bytes::from_static(&[7; 10_000])) {
                    break why;
                }
            };
            assert_eq!(why, NoReader::ClientGone);
        }
        "/file" => {
            let mut file = tempfile();
            file.write_all(b"0123456789").unwrap();
            file.rewind().unwrap();
            reply.respond_file(head(StatusCode::OK), FileRange { file, offset: 2, length: 5 });
        }
        "/hint" => {
            reply.hint(head(StatusCode::OK).headers);
            reply.respond(head(StatusCode::OK), Bytes::new());
        }
        "/gate" => {
            let (begun, gate) = GATES.lock().unwrap().remove(request.uri.query().unwrap()).unwrap();
            begun.send(()).unwrap();
            // Closed: it is open.
            let _ = gate.recv();
            reply.respond(head(StatusCode::OK), Bytes::new());
        }
        "/fails" => reply.fail(Fault::Application("failed")),
        "/breaks" => {
            let mut body = reply.start(head(StatusCode::OK));
            body.try_send("some of it".into()).unwrap();
            body.fail(Fault::Application("failed"));
        }
        "/waits" => {
            let mut body = reply.start(head(StatusCode::OK));
            body.try_send("some of it".into()).unwrap();
            line.offered();
            match &mut request.body {
                RequestBody::Stream(reader) => drop(reader.read()),
                _ => panic!("nothing to wait for"),
            }
        }
        other => panic!("{other}"),
    }
}

/// Both ends of what "/gate" waits at.
type Gate = (Sender<()>, Receiver<()>);

/// By the query.
static GATES: Mutex<BTreeMap<String, Gate>> = Mutex::new(BTreeMap::new());

/// What opens it by being dropped, and what tells that somebody waits there.
fn gate(name: &str) -> (Sender<()>, Receiver<()>) {
    let ((open, gate), (begins, begun)) = (channel(), channel());
    GATES.lock().unwrap().insert(name.to_owned(), (begins, gate));
    (open, begun)
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("chaussette-{}-{}", std::process::id(), fastrand()));
    let options = std::fs::File::options().read(true).write(true).create_new(true).open(&path);
    std::fs::remove_file(path).unwrap();
    options.unwrap()
}

fn fastrand() -> u32 {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).unsigned_abs()
}

/// A loaded worker process, and a thread that is its relay.
struct Site {
    fake: Arc<Fake>,
    bell: Arc<Bell>,
    invitation: chaussette::process::ProcessInvitation,
    requests: Sender<Exchange>,
    /// What waits behind the next request.
    waiting: Arc<Mutex<VecDeque<Exchange>>>,
    /// What came back unread.
    back: Receiver<Exchange>,
}

struct Asked {
    waiting: Arc<Mutex<VecDeque<Exchange>>>,
    back: Sender<Exchange>,
}

impl Line for Asked {
    fn next(&mut self) -> Option<Exchange> {
        None
    }

    fn was_interrupted(&mut self) -> bool {
        false
    }

    fn offered(&mut self) {}

    fn give_back(&mut self, exchange: Exchange) {
        self.back.send(exchange).unwrap();
    }

    fn ahead(&mut self, Appetite { most, .. }: Appetite) -> Vec<Exchange> {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.len() <= most { waiting.drain(..).collect() } else { Vec::new() }
    }
}

fn loader(fake: &Arc<Fake>) -> ProcessLoader {
    let launcher = Arc::new(Launch(Arc::clone(fake)));
    ProcessLoader::new(Telling { launcher, settings: "the settings".to_owned(), sources: None })
}

const IDENTITY: Identity = Identity { number: 3, place: 0, generation: 0 };

impl Site {
    fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let loaded = loader(&fake).load(IDENTITY).unwrap();
        assert_eq!(loaded.name, "<scripted>");
        let (requests, queue) = channel();
        let (given, back) = channel();
        let mut relay: Relay = loaded.application;
        let waiting = Arc::<Mutex<VecDeque<Exchange>>>::default();
        let line = Arc::clone(&waiting);
        Builder::new()
            .spawn(move || {
                while let Ok(exchange) = queue.recv() {
                    relay.serve(exchange, &mut Asked { waiting: Arc::clone(&line), back: given.clone() });
                }
                relay.end();
            })
            .unwrap();
        Self { fake, bell: Arc::default(), invitation: loaded.invitation, requests, waiting, back }
    }

    fn exchange(&self, request: Request) -> (Exchange, Answer) {
        let (reply, answer) = Reply::new(Arc::clone(&self.bell));
        reply.take();
        (Exchange { request: Box::new(request), reply }, answer)
    }

    fn send(&self, request: Request) -> Answer {
        let (exchange, answer) = self.exchange(request);
        self.requests.send(exchange).unwrap();
        answer
    }

    /// Sends these at once, behind a quick request.
    fn send_together(&self, paths: &[&str]) -> Vec<Answer> {
        let asked = paths.iter().map(|path| self.exchange(request(path, RequestBody::Empty)));
        let (exchanges, answers): (VecDeque<_>, Vec<_>) = asked.unzip();
        *self.waiting.lock().unwrap() = exchanges;
        // However busy the machine, at last the worker has been quick.
        while !self.waiting.lock().unwrap().is_empty() {
            self.get("/hint").unwrap();
        }
        answers
    }

    fn get(&self, path: &str) -> Result<Response, Missing> {
        self.wait(self.send(request(path, RequestBody::Empty)))
    }

    fn wait(&self, answer: Answer) -> Result<Response, Missing> {
        self.run(answer.response(|| false, |_| {}))
    }

    /// Drives what waits for the worker: nobody rings here but this.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut look = tokio::time::interval(Duration::from_millis(1));
            let ringing = async {
                loop {
                    look.tick().await;
                    self.bell.collect();
                }
            };
            tokio::select! {
                done = tokio::time::timeout(DEADLINE, future) => done.expect("an answer in time"),
                () = ringing => unreachable!("it ends never"),
            }
        })
    }

    fn all(&self, body: ResponseBody) -> Result<Vec<u8>, Fault> {
        match body {
            ResponseBody::Whole(bytes) => Ok(bytes.to_vec()),
            ResponseBody::File(mut range) => {
                let mut text = vec![0; usize::try_from(range.length).unwrap()];
                range.file.seek(io::SeekFrom::Start(range.offset)).unwrap();
                range.file.read_exact(&mut text).unwrap();
                Ok(text)
            }
            ResponseBody::Stream(mut chunks) => self.run(async {
                let mut all = Vec::new();
                while let Some(chunk) = poll_fn(|context| chunks.poll_chunk(context)).await {
                    all.extend_from_slice(&chunk?);
                }
                Ok(all)
            }),
        }
    }

    /// Its process is gone, as far as anybody can tell.
    fn kill(&self) {
        let (told, how) = channel();
        self.invitation.mourn(Box::new(move |how| told.send(how).unwrap()));
        assert_eq!(self.invitation.kill(), Killed::Soon);
        assert!(how.recv_timeout(DEADLINE).unwrap().contains("was killed by SIGKILL"));
    }
}

fn request(path: &str, body: RequestBody) -> Request {
    let mut headers = HeaderMap::new();
    headers.append("accept", HeaderValue::from_static("a"));
    headers.append("x-b", HeaderValue::from_bytes(b"\xff").unwrap());
    headers.append("accept", HeaderValue::from_static("c"));
    Request {
        method: Method::from_bytes(b"PROPFIND").unwrap(),
        uri: path.parse::<Uri>().unwrap(),
        target: Some(Bytes::from_static(b"/sent?\"")),
        version: Version::HTTP_10,
        headers,
        body,
        connection: Arc::new(Connection {
            client: Client::Inet(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), Some(99)),
            server_name: "name".to_owned(),
            server_port: "80".to_owned(),
            scheme: Scheme::Https,
            script_name: "/in".to_owned(),
        }),
    }
}

#[test]
fn a_request_and_its_response_arrive_as_they_were() {
    let site = Site::new();
    let asked = request("/asked?a=%20", RequestBody::Empty);
    let wanted = format!(
        "{} {} {:?} {:?} {:?} {:?}",
        asked.method, asked.uri, asked.target, asked.version, asked.headers, asked.connection
    );
    for _ in 0..2 {
        let response = site.get("/asked?a=%20").unwrap();
        let told = head(StatusCode::OK);
        assert_eq!((response.head.status, &response.head.reason), (told.status, &told.reason));
        assert_eq!((&response.head.headers, &response.head.names), (&told.headers, &told.names));
        assert_eq!(String::from_utf8(site.all(response.body).unwrap()).unwrap(), wanted);
    }
}

#[test]
fn bodies_of_any_size_arrive_whole() {
    let site = Site::new();
    for size in [0, 1, 60_000, 65_531, 65_536, 3_000_000] {
        let body = Bytes::from(vec![b'x'; size]);
        let whole = site.wait(site.send(request("/echo", RequestBody::Whole(body.clone())))).unwrap();
        assert_eq!(site.all(whole.body).unwrap(), body, "{size}");
    }
}

#[test]
fn a_body_that_is_still_coming_is_read_as_it_comes() {
    let site = Site::new();
    let (sender, reader) = body_channel(Arc::clone(&site.bell));
    let answer = site.send(request("/echo", RequestBody::Stream(reader)));
    let parts: Vec<_> = (0..200_u8).map(|number| Bytes::from(vec![number; 9_000])).collect();
    site.run(async {
        for part in &parts {
            sender.ready().await.unwrap();
            sender.send(part.clone());
        }
        sender.finish(Ok(()));
    });
    let response = site.wait(answer).unwrap();
    assert!(site.all(response.body).unwrap() == parts.concat());
}

#[test]
fn a_body_that_breaks_off_is_no_end_of_it() {
    let site = Site::new();
    let (sender, reader) = body_channel(Arc::clone(&site.bell));
    let answer = site.send(request("/echo", RequestBody::Stream(reader)));
    sender.send("some".into());
    sender.finish(Err(BodyError::TooLarge { limit: 9 }));
    let fault = Fault::Client(BodyError::TooLarge { limit: 9 });
    assert_eq!(site.wait(answer).map(drop), Err(Missing::Failed(fault)));
}

#[test]
fn a_response_in_parts_arrives_in_bounded_memory_and_in_order() {
    let site = Site::new();
    let response = site.get("/parts").unwrap();
    let wanted: Vec<u8> = (0..40).flat_map(|number| vec![number; 50_000]).collect();
    assert!(site.all(response.body).unwrap() == wanted);
}

#[test]
fn a_client_that_leaves_ends_an_endless_response() {
    let site = Site::new();
    drop(site.get("/endless").unwrap());
    assert_eq!(site.get("/fails").map(drop), Err(Missing::Failed(Fault::Application("failed"))));
}

#[test]
fn a_file_is_handed_over() {
    let site = Site::new();
    for _ in 0..3 {
        let response = site.get("/file").unwrap();
        assert!(matches!(response.body, ResponseBody::File(_)));
        assert_eq!(site.all(response.body).unwrap(), b"23456");
    }
}

#[test]
fn hints_come_before_the_response() {
    let site = Site::new();
    let hinted = Mutex::new(Vec::new());
    let answer = site.send(request("/hint", RequestBody::Empty));
    let hint = |headers: &HeaderMap| hinted.lock().unwrap().push(headers.clone());
    site.run(answer.response(|| false, hint)).unwrap();
    assert_eq!(*hinted.lock().unwrap(), [head(StatusCode::OK).headers]);
}

#[test]
fn a_response_that_breaks_has_no_clean_end() {
    let site = Site::new();
    let response = site.get("/breaks").unwrap();
    assert_eq!(site.all(response.body), Err(Fault::Application("failed")));
}

#[test]
fn a_worker_that_dies_costs_the_request_in_its_hands() {
    let site = Site::new();
    let (sender, reader) = body_channel(Arc::clone(&site.bell));
    let answer = site.send(request("/waits", RequestBody::Stream(reader)));
    let response = site.wait(answer).unwrap();
    site.kill();
    drop(sender);
    assert_eq!(site.all(response.body), Err(Fault::Lost));
}

#[test]
fn a_request_that_a_dead_worker_never_had_comes_back() {
    let site = Site::new();
    site.kill();
    let answer = site.send(request("/asked", RequestBody::Empty));
    let back = site.back.recv_timeout(DEADLINE).unwrap();
    assert_eq!(back.request.uri, "/asked");
    drop(back);
    assert!(site.wait(answer).is_err());
    assert!(site.fake.cords.lock().unwrap().is_empty());
}

#[test]
fn an_interruption_that_comes_too_late_is_over_at_once() {
    let site = Site::new();
    // To the server it is in hand; the worker at the first lane has nothing.
    let record = Arc::new(Record::new(IDENTITY));
    let desk = record.desk();
    desk.sit(Thread::default());
    let (reply, _answer) = Reply::new(Arc::clone(&site.bell));
    let exchange = Exchange { request: Box::new(request("/asked", RequestBody::Empty)), reply };
    desk.open(&exchange, Instant::now(), Duration::ZERO);
    let overdue = Overdue::new(record, desk, 1, String::new());
    let (over, told) = channel();
    let invitation = site.invitation.clone();
    Builder::new()
        .spawn(move || {
            invitation.interrupt(&overdue);
            over.send((overdue.was_interrupted(), overdue.stack())).unwrap();
        })
        .unwrap();
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), (true, None));
}

#[test]
fn requests_that_are_sent_at_once_are_each_answered() {
    let mut site = Site::new();
    let answers = site.send_together(&["/asked?1", "/file", "/parts", "/fails", "/file", "/asked?2"]);
    // What is sent back behind a stream, or by a slow machine, is sent again, as the queue does it.
    let (back, again) = (std::mem::replace(&mut site.back, channel().1), site.requests.clone());
    Builder::new().spawn(move || back.into_iter().for_each(|back| drop(again.send(back)))).unwrap();
    let told = answers.into_iter().map(|answer| match site.wait(answer) {
        Ok(response) => match site.all(response.body).unwrap() {
            text if text.starts_with(b"PROPFIND /asked") => format!("asked {}", char::from(text[16])),
            text => format!("{} bytes", text.len()),
        },
        Err(missing) => format!("{missing:?}"),
    });
    let fails = format!("{:?}", Missing::Failed(Fault::Application("failed")));
    let wanted = ["asked 1", "5 bytes", "2000000 bytes", fails.as_str(), "5 bytes", "asked 2"];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
}

/// A request that does not come to its end before `gate` is dropped, and two that were sent behind it.
struct Slow {
    gate: Sender<()>,
    slow: Answer,
    before: Answer,
    behind: [Exchange; 2],
}

impl Slow {
    fn new(site: &Site, name: &str) -> Self {
        let (gate, begun) = gate(name);
        loop {
            let gated = format!("/gate?{name}");
            let answers = site.send_together(&["/hint", &gated, "/asked?1", "/asked?2"]);
            let [before, slow, ..] = <[Answer; 4]>::try_from(answers).unwrap();
            let last = site.back.recv_timeout(DEADLINE).unwrap();
            let behind = [site.back.recv_timeout(DEADLINE).unwrap(), last];
            // A machine that is slow itself may have had it all sent back: once more.
            if begun.recv_timeout(DEADLINE / 30).is_ok() {
                return Self { gate, slow, before, behind };
            }
            site.back.try_iter().for_each(drop);
        }
    }
}

#[test]
fn requests_behind_a_slow_one_go_back_and_are_not_begun() {
    let site = Site::new();
    let Slow { gate, slow, before, behind } = Slow::new(&site, "slow");
    assert_eq!(
        behind.map(|back| back.request.uri.to_string()),
        ["/asked?1", "/asked?2"],
        "the last one first"
    );
    assert!(site.wait(before).is_ok(), "what was finished does not wait for it");
    drop(gate);
    assert!(site.wait(slow).is_ok());
    // The next one is neither skipped nor taken for one of those.
    assert_eq!(site.all(site.get("/file").unwrap().body).unwrap(), b"23456");
}

#[test]
fn a_death_costs_the_request_in_hand_and_none_beside_it() {
    let site = Site::new();
    let Slow { gate, slow, before, behind } = Slow::new(&site, "death");
    site.kill();
    assert!(site.wait(before).is_ok());
    assert_eq!(site.wait(slow).map(drop), Err(Missing::Failed(Fault::Lost)));
    drop((gate, behind));
}

#[test]
fn a_load_that_fails_is_told_to_all_that_wait_for_it() {
    let error = LoadError::Application { report: "Traceback\nx".to_owned() };
    let fake = Arc::new(Fake { fails: Some(error), ..Fake::default() });
    let loader = Arc::new(loader(&fake));
    for _ in 0..2 {
        let failed = loader.load(IDENTITY).map(drop).unwrap_err();
        assert_eq!(failed.error.to_string(), "Traceback\nx");
        assert_eq!(failed.ended, Ended::Cleanly);
    }
}
