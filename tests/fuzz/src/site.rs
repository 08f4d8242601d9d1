//! A whole front end on one thread: the client, the connection and the application take turns.
//!
//! Nobody waits for a clock. A piece is sent when nothing goes on any more after the last one, and a connection on
//! which nothing goes on, though it is not at its end, hangs.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chaussette::bell::Bell;
use chaussette::dispatch::{Dispatcher, Seat, WorkQueue, queue};
use chaussette::exchange::Exchange;
use chaussette::http::fuzzing::Door;
use chaussette::http::{FrontEnd, reactor};
use chaussette::listener::Stream;
use chaussette::shutdown::{Drainer, drain};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};

/// Pieces that a stream is sent in at most. 300: heads are shorter, and a piece takes several turns.
pub const PIECES: usize = 300;

/// Bytes that are read in pieces of any size. 2,000: heads, and the start of a body.
const TINY: usize = 2000;

/// Turns without news after which nothing goes on. 2: the reactor hears of a socket in one, and acts in the next.
const QUIET: usize = 2;

/// Turns of a millisecond each in which nothing goes on: then nothing ever will. 1 s at least: files are read by
/// another thread, which has to come to it on a busy machine.
const HANGS: usize = 1000;

/// What answers requests. It is given turns, and must not wait.
pub trait Application {
    fn take(&mut self, exchange: Exchange);

    /// Goes on with what it has. False when there was nothing to go on with.
    fn turn(&mut self) -> bool;
}

/// What a client does.
#[derive(Debug, Clone)]
pub struct Script<'a> {
    /// Sent one by one.
    pub pieces: Vec<&'a [u8]>,
    /// When its sending side is shut.
    pub shuts: Shuts,
    /// Bytes that it reads at a time.
    pub reads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuts {
    /// With the last piece.
    AtOnce,
    /// When nothing goes on any more after it.
    Later,
}

/// What a client hears until the server closes.
#[derive(Debug, Default)]
pub struct Heard {
    pub bytes: Vec<u8>,
    /// The server closed with bytes unread: on a network the answer could be lost.
    pub is_reset: bool,
}

pub struct Site {
    // First, so that what runs on it goes before what it uses.
    runtime: Runtime,
    front: Door,
    dispatcher: Dispatcher,
    seat: Seat,
    _queue: WorkQueue,
    _drainer: Drainer,
}

thread_local! {
    /// Making one takes longer than most checks.
    static IDLE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

/// Runs a script on a connection of its own.
pub fn converse(script: &Script<'_>, application: &mut impl Application) -> Heard {
    // Taken out: after a panic nobody uses it again.
    let mut site = IDLE.take().unwrap_or_else(Site::new);
    let heard = site.converse(script, application);
    IDLE.set(Some(site));
    heard
}

impl Site {
    fn new() -> Self {
        let (dispatcher, queue) = queue(64, Arc::new(Bell::default()));
        let (drainer, token) = drain();
        let runtime = reactor(&dispatcher).expect("a reactor");
        let front = Door::new(FrontEnd::new(Vec::new(), dispatcher.clone(), super::limits(), token));
        Self {
            runtime,
            front,
            dispatcher,
            seat: queue.member().seat(Arc::default()),
            _queue: queue,
            _drainer: drainer,
        }
    }

    fn converse(&mut self, script: &Script<'_>, application: &mut impl Application) -> Heard {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket that does not block");
        theirs.set_nonblocking(true).expect("a socket that does not block");
        let runtime = &self.runtime;
        let (front, dispatcher, seat) = (&self.front, &self.dispatcher, &mut self.seat);
        runtime.block_on(async {
            let polls = Arc::new(AtomicUsize::new(0));
            let connection = front.converse(Stream::Unix(theirs)).expect("a connection");
            let mut connection = tokio::spawn(counted(connection, Arc::clone(&polls)));
            let mut client = Client::new(ours, script);
            let mut clock = Clock { polls, seen: 0, quiet: 0 };
            while !client.reads(&mut clock) {
                if clock.quiet >= QUIET && client.sends() {
                    clock.quiet = 0;
                }
                dispatcher.flush();
                while let Some(exchange) = seat.take() {
                    application.take(exchange);
                    clock.quiet = 0;
                }
                if application.turn() {
                    clock.quiet = 0;
                }
                dispatcher.bell().collect();
                clock.tick(&client.heard.bytes).await;
            }
            let heard = client.heard;
            drop(client.stream);
            end(&mut connection, &mut clock, &heard.bytes).await;
            heard
        })
    }
}

/// The connection's task ends soon after its client has closed.
async fn end(connection: &mut JoinHandle<()>, clock: &mut Clock, heard: &[u8]) {
    clock.quiet = 0;
    while !connection.is_finished() {
        clock.tick(heard).await;
    }
    connection.await.expect("a connection's task does not panic");
}

/// Counts how often a future is polled.
async fn counted(inner: impl Future<Output = ()>, polls: Arc<AtomicUsize>) {
    let mut inner = pin!(inner);
    std::future::poll_fn(|context| {
        polls.fetch_add(1, Ordering::Relaxed);
        inner.as_mut().poll(context)
    })
    .await;
}

/// Counts turns in which nothing happened.
struct Clock {
    polls: Arc<AtomicUsize>,
    seen: usize,
    quiet: usize,
}

impl Clock {
    /// Gives the reactor a turn.
    async fn tick(&mut self, heard: &[u8]) {
        assert!(self.quiet < HANGS, "the connection hangs, after: {}", heard.escape_ascii());
        if self.quiet > 20 * QUIET {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            yield_now().await;
        }
        let polls = self.polls.load(Ordering::Relaxed);
        if polls == self.seen {
            self.quiet += 1;
        } else {
            self.quiet = 0;
            self.seen = polls;
        }
    }
}

struct Client<'a> {
    stream: UnixStream,
    script: &'a Script<'a>,
    /// How many pieces are sent, or being sent.
    begun: usize,
    /// Of the piece that is being sent.
    rest: &'a [u8],
    is_open: bool,
    buffer: Box<[u8]>,
    heard: Heard,
}

impl<'a> Client<'a> {
    fn new(stream: UnixStream, script: &'a Script<'a>) -> Self {
        let buffer = vec![0; 16 * 1024].into_boxed_slice();
        Self { stream, script, begun: 0, rest: &[], is_open: true, buffer, heard: Heard::default() }
    }

    /// Reads what there is. True at the end of the connection.
    fn reads(&mut self, clock: &mut Clock) -> bool {
        // A long answer is not read in tiny pieces to its end: that takes a turn for each.
        let least = if self.heard.bytes.len() < TINY { 1 } else { self.buffer.len() / 4 };
        let most = self.script.reads.clamp(least, self.buffer.len());
        match self.stream.read(&mut self.buffer[..most]) {
            Ok(0) => return true,
            Ok(read) => {
                self.heard.bytes.extend_from_slice(&self.buffer[..read]);
                clock.quiet = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.heard.is_reset = true;
                return true;
            }
            Err(error) => panic!("a read failed: {error}"),
        }
        false
    }

    /// Sends the next piece, or the rest of one, or shuts. False when there was nothing to do, or no room.
    fn sends(&mut self) -> bool {
        if !self.is_open {
            return false;
        }
        if self.rest.is_empty() {
            let Some(next) = self.script.pieces.get(self.begun) else { return self.shuts() };
            self.rest = next;
            self.begun += 1;
        }
        match self.stream.write(self.rest) {
            Ok(written) => {
                self.rest = &self.rest[written..];
                let is_last = self.rest.is_empty() && self.begun == self.script.pieces.len();
                if is_last && self.script.shuts == Shuts::AtOnce {
                    self.shuts();
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // The server has closed: what it said is still to be read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.shuts(),
            Err(error) => panic!("a write failed: {error}"),
        }
    }

    fn shuts(&mut self) -> bool {
        self.is_open = false;
        // Fails when the server has closed, which is as well.
        let _ = self.stream.shutdown(Shutdown::Write);
        true
    }
}
