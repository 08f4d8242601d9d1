//! One connection, from accept to close.
//!
//! Owns its deadlines and its part in a drain; joins the wire, hyper and the exchange. A panic in here costs
//! this connection only, because it runs as a task of its own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use hyper::rt::Write;
use hyper::service::service_fn;
use hyper::{StatusCode, Version};

use super::body::gather;
use super::forwarded::attribute;
use super::link::{Due, Errand, Link, Verdict};
use super::refusal::Refusal;
use super::request::{TOO_LARGE, frame, prepare};
use super::response::{Aborted, Asked, Reply, build, for_version, from_fault, refuse, unavailable};
use super::socket::Socket;
use super::wire::Wire;
use super::{Front, Limits, access, memory, preface};
use crate::config::ProxyProtocol;
use crate::dispatch::Refused;
use crate::exchange::{self, Answer, BodyError, Connection, Exchange, Missing, RequestBody, Witness};

/// Idle connections that keep hyper and its buffers for a next request; those beyond put them away at once. 512: 8 MiB.
/// Measured: 1,000 connections take 8.6 KiB each in their first second instead of 14.4, and 1,000 busy ones cost no more
/// CPU a request; with 128 it is 4.0 KiB and 2 µs more.
const KEPT_READY: usize = 512;

/// Serves requests until the client, the server or a deadline ends the connection.
pub(super) async fn serve(socket: Socket, connection: Arc<Connection>, front: Arc<Front>) {
    let link = Arc::new(Link::new());
    let draining = pin!(front.drain.draining());
    let mut minder = Minder { link: &link, front: &front, draining, told: Told::Never, alarm: Alarm::new() };
    let connection = match front.proxies.protocol {
        ProxyProtocol::Off => connection,
        // Boxed, so that a connection without it is small.
        _ => match Box::pin(minder.await_preface(&socket, connection)).await {
            Some(connection) => connection,
            None => return,
        },
    };
    let mut wire = Wire::new(socket, Arc::clone(&front), Arc::clone(&link));
    while minder.await_request(&mut wire).await {
        let service = service_fn(|request| answer(request, &connection, &front, &link));
        // Boxed, so that a connection that sleeps is small.
        let mut conversation = Box::new(front.protocol.serve_connection(wire, service));
        let left = minder.mind(&mut conversation).await;
        memory::freed(&front);
        match left {
            Left::Asleep => wire = conversation.into_parts().io,
            Left::AtEnd => {
                wire = conversation.into_parts().io;
                break;
            }
            Left::Broken => return,
        }
    }
    minder.close(wire).await;
}

/// How hyper leaves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// No request has come for a while.
    Asleep,
    /// After its last answer. hyper closes properly unless any request offered an upgrade, so it is done here.
    AtEnd,
    /// In the middle of something.
    Broken,
}

/// Minds a connection's deadlines and the drain, while something else goes on.
struct Minder<'a, D> {
    link: &'a Link,
    front: &'a Front,
    draining: Pin<&'a mut D>,
    told: Told,
    alarm: Alarm,
}

/// Whether the drain knows which task to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Never,
    Once,
}

impl<D: Future<Output = ()>> Minder<'_, D> {
    /// What is due now. The task is woken when that changes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Due {
        let has_news = self.told == Told::Never || self.front.drain.is_draining();
        if has_news && !self.link.is_draining() {
            self.told = Told::Once;
            if self.draining.as_mut().poll(cx).is_ready() {
                self.link.drain();
            }
        }
        self.alarm.poll(cx, self.link, &self.front.limits)
    }

    /// Waits for what a proxy sends before the first request. Nothing: no request will come.
    async fn await_preface(&mut self, socket: &Socket, peer: Arc<Connection>) -> Option<Arc<Connection>> {
        let client = peer.client;
        let mut preface = pin!(preface::receive(socket, peer, self.front));
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(received) = preface.as_mut().poll(cx) {
                    return Poll::Ready(received);
                }
                match self.poll(cx) {
                    Due::Poll => {}
                    Due::Nothing => return Poll::Pending,
                    Due::Drop | Due::Sleep => {
                        if !self.link.is_draining() {
                            preface::overdue(self.front, client);
                        }
                        return Poll::Ready(None);
                    }
                }
            }
        })
        .await
    }

    /// Waits, without hyper and its buffers, for a request's head. False: none will come.
    async fn await_request(&mut self, wire: &mut Wire) -> bool {
        self.link.fall_asleep();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(comes) = wire.poll_request(cx) {
                    self.link.wake_up();
                    return Poll::Ready(matches!(comes, Ok(true)));
                }
                match self.poll(cx) {
                    Due::Poll => {}
                    // It came at the last moment, and is not to be lost.
                    Due::Drop if wire.has_input() => {
                        self.link.received(0);
                        return Poll::Pending;
                    }
                    Due::Drop => return Poll::Ready(false),
                    Due::Nothing | Due::Sleep => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Lets hyper converse until it ends, or until no request has come for a while.
    async fn mind<C: Future<Output = hyper::Result<()>> + Unpin>(&mut self, conversation: &mut C) -> Left {
        let mut idle = Idle::new(&self.front.idle);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut *conversation).poll(cx) {
                    return Poll::Ready(match ended {
                        Ok(()) => Left::AtEnd,
                        Err(error) => {
                            tracing::debug!("connection ended: {error}");
                            Left::Broken
                        }
                    });
                }
                match self.poll(cx) {
                    Due::Poll => {}
                    Due::Nothing if !self.link.is_idle() => {
                        idle.leave();
                        return Poll::Pending;
                    }
                    Due::Nothing if idle.enter() > KEPT_READY => return Poll::Ready(Left::Asleep),
                    Due::Nothing => return Poll::Pending,
                    Due::Sleep => return Poll::Ready(Left::Asleep),
                    Due::Drop => return Poll::Ready(Left::Broken),
                }
            }
        })
        .await
    }

    /// Closes a connection on which nothing is going on.
    async fn close(&mut self, mut wire: Wire) {
        poll_fn(|cx| match Pin::new(&mut wire).poll_shutdown(cx) {
            Poll::Pending if self.poll(cx) == Due::Drop => Poll::Ready(()),
            closed => closed.map(drop),
        })
        .await;
    }
}

/// One connection's part in the number of those that are idle.
struct Idle<'a> {
    all: &'a AtomicUsize,
    is_counted: bool,
}

impl<'a> Idle<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        Self { all, is_counted: false }
    }

    /// The connection is idle. How many are, this one among them.
    fn enter(&mut self) -> usize {
        if !self.is_counted {
            self.is_counted = true;
            self.all.fetch_add(1, Ordering::Relaxed);
        }
        self.all.load(Ordering::Relaxed)
    }

    /// The connection is not idle.
    fn leave(&mut self) {
        if self.is_counted {
            self.is_counted = false;
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The connection's one timer. It is set anew only when something is due sooner than it rings: a connection
/// that serves a million requests sets it once in a while, not a million times.
struct Alarm {
    sleep: Pin<Box<tokio::time::Sleep>>,
    rings: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(Instant::now().into())), rings: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>, link: &Link, limits: &Limits) -> Due {
        loop {
            let Some(deadline) = link.deadline(limits) else { return Due::Nothing };
            if self.rings.is_none_or(|rings| deadline < rings) {
                self.sleep.as_mut().reset(deadline.into());
                self.rings = Some(deadline);
            } else if !self.sleep.is_elapsed() {
                return Due::Nothing;
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Due::Nothing;
            }
            self.rings = None;
            match link.overdue(limits, Instant::now()) {
                Due::Nothing => {}
                due => return due,
            }
        }
    }
}

/// One request and its answer. What can be done at once is done before the future is made: hyper moves that, and the
/// state of each wait would make it larger.
fn answer(
    request: hyper::Request<Incoming>,
    connection: &Arc<Connection>,
    front: &Arc<Front>,
    link: &Arc<Link>,
) -> impl Future<Output = Result<Reply, Aborted>> + use<> {
    let version = request.version();
    let logged = access::begin(&request, connection, front, link);
    let begun = begin(request, connection, front, link);
    let link = Arc::clone(link);
    async move {
        let mut reply = match begun {
            Begun::Answered(reply) => *reply,
            Begun::Waits(waiting) => waiting.reply(&link).await?,
            Begun::Gathers(rest) => rest.await?,
        };
        for_version(version, &mut reply);
        logged.answered(&reply);
        Ok(reply)
    }
}

/// How far a request comes without waiting.
enum Begun {
    /// It is refused.
    Answered(Box<Reply>),
    /// It is handed over.
    Waits(Waiting),
    /// Its body is still to come.
    Gathers(Pin<Box<dyn Future<Output = Result<Reply, Aborted>> + Send>>),
}

fn begin(
    request: hyper::Request<Incoming>,
    connection: &Arc<Connection>,
    front: &Arc<Front>,
    link: &Arc<Link>,
) -> Begun {
    let Errand { refusal, target } = link.take_errand();
    if let Some(refusal) = refusal {
        return Begun::Answered(Box::new(refuse(refusal, link)));
    }
    let (mut parts, incoming) = request.into_parts();
    if let Err(refusal) = prepare(&mut parts, front.limits.max_body) {
        return Begun::Answered(Box::new(refuse(refusal, link)));
    }
    let connection = attribute(&mut parts.headers, Arc::clone(connection), &front.proxies);
    if front.access.is_some() {
        link.note(|line| line.connection = Arc::clone(&connection));
    }
    let dispatcher = front.routes.of(&parts.uri);
    let mut request = dispatcher.boxed(exchange::Request {
        method: parts.method,
        uri: parts.uri,
        target,
        version: parts.version,
        headers: parts.headers,
        body: RequestBody::Empty,
        connection,
    });
    if incoming.is_end_stream() {
        return match submit(request, front, link) {
            Ok(waiting) => Begun::Waits(waiting),
            Err(reply) => Begun::Answered(reply),
        };
    }
    let (front, link) = (Arc::clone(front), Arc::clone(link));
    Begun::Gathers(Box::pin(async move {
        let pump = match gather(incoming, &front).await {
            Ok((body, pump)) => {
                request.body = body;
                pump
            }
            Err(error) => return refuse_body(&error, &link),
        };
        let exchange::Request { headers, body, .. } = &mut *request;
        frame(headers, body);
        let waiting = match submit(request, &front, &link) {
            Ok(waiting) => waiting,
            Err(reply) => return Ok(*reply),
        };
        if let Some(pump) = pump {
            tokio::spawn(async move { pump.run(&front).await });
        }
        waiting.reply(&link).await
    }))
}

/// Hands a request over, or says why not.
fn submit(request: Box<exchange::Request>, front: &Front, link: &Arc<Link>) -> Result<Waiting, Box<Reply>> {
    let asked = Asked { method: request.method.clone(), uri: request.uri.clone(), version: request.version };
    let dispatcher = front.routes.of(&request.uri);
    let (reply, answer) = exchange::Reply::new(Arc::clone(dispatcher.bell()));
    match dispatcher.submit(Exchange { request, reply }) {
        Ok(()) => {
            let witness = front.access.as_ref().map(|_| answer.witness());
            return Ok(Waiting { answer, asked, witness });
        }
        Err(Refused::Full(_)) => {}
        Err(Refused::Closed(_)) => link.drain(),
    }
    Err(Box::new(unavailable(link)))
}

/// A request that is handed over.
struct Waiting {
    answer: Answer,
    asked: Asked,
    /// For the access log.
    witness: Option<Witness>,
}

impl Waiting {
    async fn reply(self, link: &Arc<Link>) -> Result<Reply, Aborted> {
        let Self { answer, asked, witness } = self;
        let left = || matches!(link.verdict(), Verdict::Left | Verdict::Gone);
        // RFC 9110 §15.2: a client of HTTP/1.0 knows no interim responses.
        let hint = |headers: &HeaderMap| match asked.version {
            Version::HTTP_10 => {}
            _ => link.aside.hint(headers),
        };
        let response = answer.response(left, hint).await;
        if let Some(witness) = witness {
            link.note(|line| line.service = witness.service());
        }
        match response {
            Ok(response) => Ok(build(response, asked, link)),
            Err(Missing::NeverTaken) => Ok(unavailable(link)),
            Err(Missing::Failed(fault)) => from_fault(&fault, &asked, link),
        }
    }
}

/// The answer to a body that did not come as it should.
pub(super) fn refuse_body(error: &BodyError, link: &Arc<Link>) -> Result<Reply, Aborted> {
    let refusal = match error {
        // RFC 9112 §8. It may have shut its sending side only, and still read.
        BodyError::ClientLeft if link.has_left() => Refusal::bad_request("the request's body is incomplete"),
        BodyError::ClientLeft => return Err(Aborted(error.to_string())),
        BodyError::TooLarge { .. } => TOO_LARGE,
        BodyError::Timeout { .. } => {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request body took longer than --body-timeout")
        }
        BodyError::Malformed => Refusal::bad_request("the request body's chunks are malformed"),
    };
    Ok(refuse(refusal, link))
}
