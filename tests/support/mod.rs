//! A front end over scripted applications: workers on plain threads, no Python.
//!
//! A [`Site`] is a whole server in the test's process, on a port of the kernel's choice. A test speaks to it in
//! bytes and reads bytes back.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test binary uses its own part"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::access::Lines;
use chaussette::bell::Bell;
use chaussette::config::{Address, Family, Proxies};
use chaussette::dispatch::{WorkQueue, queue};
use chaussette::exchange::{Exchange, RequestBody, ResponseHead};
use chaussette::http::{FrontEnd, Limits, reactor};
use chaussette::listener::Listener;
use chaussette::shutdown::{Drainer, drain};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// No wait in a test is longer. 10 s: a busy machine's worst, and short enough to fail by.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a server is set up. The limits are the defaults but for what a test changes.
pub struct Setup {
    pub limits: Limits,
    pub workers: usize,
    pub capacity: usize,
    pub proxies: Proxies,
    pub access: Option<Lines>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: limits(), workers: 2, capacity: 64, proxies: Proxies::default(), access: None }
    }
}

pub fn limits() -> Limits {
    Limits {
        max_body: Some(16 * 1024 * 1024),
        max_header_size: 32 * 1024,
        max_headers: 100,
        header_timeout: PATIENCE,
        body_timeout: PATIENCE,
        min_rate: None,
        keep_alive: PATIENCE,
        drain_idle: Duration::ZERO,
    }
}

/// A server that runs until it is dropped.
pub struct Site {
    address: Option<SocketAddr>,
    pub queue: WorkQueue,
    drainer: Drainer,
    ended: Mutex<Receiver<()>>,
    reactor: Option<JoinHandle<()>>,
}

impl Site {
    pub fn new(script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self::with(Setup::default(), script)
    }

    /// At an address of the test's choice.
    pub fn on(address: &Address, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self::on_with(address, Setup::default(), script)
    }

    pub fn on_with(
        address: &Address,
        setup: Setup,
        script: impl Fn(Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(setup, Listener::open(address, 2048).unwrap(), script)
    }

    pub fn with(setup: Setup, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 0, family: Family::Any };
        Self::serve(setup, Listener::open(&address, 2048).unwrap(), script)
    }

    fn serve(setup: Setup, listener: Listener, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let (dispatcher, queue) = queue(setup.capacity, Arc::new(Bell::default()));
        let script = Arc::new(script);
        for place in 0..setup.workers {
            let (queue, script) = (queue.clone(), Arc::clone(&script));
            let work = move || {
                let mut seat = queue.member().seat(Arc::default());
                while let Some(exchange) = seat.wait() {
                    // What a worker's thread does with a panic is the worker's affair; here the next request goes on.
                    let _ = catch_unwind(AssertUnwindSafe(|| script(exchange)));
                }
            };
            std::thread::Builder::new().name(format!("worker-{place}")).spawn(work).unwrap();
        }
        let address = listener.local_address();
        let (drainer, token) = drain();
        let (say_ended, ended) = channel();
        let serve = move || {
            let runtime = reactor(&dispatcher).unwrap();
            let front = FrontEnd::new(vec![listener], dispatcher, setup.limits, token)
                .behind(setup.proxies)
                .logging(setup.access);
            runtime.block_on(front.serve()).unwrap();
            say_ended.send(()).unwrap();
        };
        let reactor = Some(std::thread::Builder::new().name("reactor".into()).spawn(serve).unwrap());
        Self { address, queue, drainer, ended: Mutex::new(ended), reactor }
    }

    pub fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    pub fn try_connect(&self) -> std::io::Result<Client> {
        Client::new(TcpStream::connect(self.address())?)
    }

    /// Where it listens, on TCP.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// Sends these bytes over a new connection and reads one answer.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(bytes);
        client.answer()
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    pub fn drain(&self) {
        self.drainer.drain();
    }

    pub fn quick(&self) {
        self.drainer.quick();
    }

    /// Whether the front end has ended within `patience`.
    pub fn has_ended(&self, patience: Duration) -> bool {
        self.ended.lock().unwrap().recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.drainer.quick();
        self.queue.close();
        if let Some(reactor) = self.reactor.take() {
            let ended = reactor.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the reactor's thread panicked");
        }
    }
}

/// One connection, seen from the client.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads one answer; none if the connection ends before its first byte.
    pub fn try_answer(&mut self) -> Option<Answer> {
        match if self.unread.is_empty() { self.fill() } else { Ok(true) } {
            Ok(true) => Some(self.answer()),
            Ok(false) => None,
            Err(why) => {
                assert!(why.contains("reset"), "{why}");
                None
            }
        }
    }

    /// Shuts the sending side.
    pub fn leave(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads one final answer, to a GET.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET").unwrap_or_else(|why| panic!("no proper answer: {why}"))
    }

    /// Reads one answer. An error is what a client would make of a broken one.
    pub fn answer_to(&mut self, method: &str) -> Result<Answer, String> {
        let head = self.read_head()?;
        let mut answer = Answer::parse(&head);
        let bodiless = method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304);
        if bodiless {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.read_chunks()?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().unwrap())?;
        } else {
            while self.fill()? {}
            answer.body = std::mem::take(&mut self.unread);
        }
        Ok(answer)
    }

    pub fn read_head(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(String::from_utf8(self.take(end + 4)?).unwrap());
            }
            if !self.fill()? {
                return Err(format!("closed within the head: {:?}", String::from_utf8_lossy(&self.unread)));
            }
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let size = self.read_line()?;
            let size =
                usize::from_str_radix(size.trim_end(), 16).map_err(|error| format!("{error}: {size:?}"))?;
            body.extend(self.take(size)?);
            if self.read_line()? != "\r\n" {
                return Err("a chunk does not end where it should".into());
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return Ok(String::from_utf8_lossy(&self.take(end + 1)?).into_owned());
            }
            if !self.fill()? {
                return Err("closed within a chunked body".into());
            }
        }
    }

    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.unread.len() < length {
            if !self.fill()? {
                return Err(format!("closed after {} of {length} bytes", self.unread.len()));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Whether more came before the end.
    fn fill(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer).map_err(|error| error.to_string())?;
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }

    /// Whether something can be read at this moment.
    pub fn has_input(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        peeked.is_ok()
    }

    /// Whether the server has closed the connection, in order, with nothing more to read.
    pub fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.fill() == Ok(false)
    }

    /// All that comes until the connection closes or breaks.
    pub fn rest(&mut self) -> Vec<u8> {
        while let Ok(true) = self.fill() {}
        std::mem::take(&mut self.unread)
    }
}

/// An answer as the client reads it.
#[derive(Debug, Default)]
pub struct Answer {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let mut status_line = lines.next().unwrap().splitn(3, ' ');
        let mut part = || status_line.next().unwrap_or_default().to_owned();
        let (version, status, reason) = (part(), part().parse().unwrap(), part());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { version, status, reason, headers, body: Vec::new() }
    }

    /// The value of a header that comes once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = values.next();
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        value.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

// ---- scripts

pub fn head(status: u16, headers: &[(&'static str, &str)]) -> ResponseHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        reason: None,
        headers: map,
        names: Vec::new(),
    }
}

/// Answers 200 with a fixed body.
pub fn hello(exchange: Exchange) {
    exchange
        .reply
        .respond(head(200, &[("content-type", "text/plain")]), Bytes::from_static(b"Hello, World!"));
}

/// Answers in chunks. The first fills the buffer between worker and reactor, so that the reactor has seen the
/// head before the body ends.
pub fn stream(exchange: Exchange) {
    let mut body = exchange.reply.start(head(200, &[]));
    for chunk in [first_chunk(), String::new(), "two, ".into(), "three".into()] {
        if body.send(chunk.into()).is_err() {
            return;
        }
    }
    body.finish();
}

pub fn streamed() -> String {
    first_chunk() + "two, three"
}

pub fn first_chunk() -> String {
    "one, ".repeat(60_000)
}

/// Answers with the request's body.
pub fn echo(exchange: Exchange) {
    let Exchange { request, reply } = exchange;
    match read_all(request.body) {
        Ok(body) => reply.respond(head(200, &[]), body.into()),
        Err(error) => reply.fail(error.into()),
    }
}

pub fn read_all(body: RequestBody) -> Result<Vec<u8>, chaussette::exchange::BodyError> {
    Ok(match body {
        RequestBody::Empty => Vec::new(),
        RequestBody::Whole(bytes) => bytes.to_vec(),
        RequestBody::Stream(mut reader) => {
            let mut all = Vec::new();
            while let Some(chunk) = reader.read()? {
                all.extend_from_slice(&chunk);
            }
            all
        }
    })
}

/// Waits until something holds, or panics.
pub fn soon(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}
