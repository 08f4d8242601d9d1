//! `start_response` and `write`: from the application's calls to a reply.
//!
//! Owns the life of one response: unstarted → headed → sending → over. The head leaves with the first
//! non-empty part of the body, so that `exc_info` can replace it until then. No more of a body leaves than
//! its Content-Length says (PEP 3333 "Handling the Content-Length Header").

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};

use crate::exchange::{Fault, FileRange, NoReader, Reply, ReplyBody, Unsent};
use crate::interp::{Arguments, Attached, Class, ExceptionKind, Object, Outcome, Protocol, PythonError};
use crate::wsgi::clause::Clause;
use crate::wsgi::failure::describe;
use crate::wsgi::response::{self, Head, HeadError, Repeated, Wish};

/// What heads are made with, from one response to the next.
#[derive(Debug, Default)]
pub(super) struct Workbench {
    repeated: Repeated,
    /// An empty map that has room: the request's, before.
    pub(super) spare: HeaderMap,
}

/// One response's life, shared by the thread that serves it and the `start_response` in Python's hands.
#[derive(Debug)]
pub(super) struct Responder {
    stage: Mutex<Stage>,
    workbench: Arc<Mutex<Workbench>>,
    /// What the application wished for its connection, which the log is told of.
    wish: OnceLock<Wish>,
}

#[derive(Debug)]
enum Stage {
    Unstarted(Reply),
    /// `start_response` was called and raised: only with exc_info may it be called again (PEP 3333).
    Refused(Reply),
    Headed(Reply, Head),
    Sending(ReplyBody, Left),
    Over,
}

impl Stage {
    fn headed<'a>(reply: Reply, head: Head) -> (Self, Result<Option<Wish>, PythonError<'a>>) {
        let wish = head.wish;
        (Self::Headed(reply, head), Ok(wish))
    }
}

/// What `write` raises when nobody reads any more.
pub(super) const CLIENT_LEFT: &str = "the client left before the end of the response";

/// What waiting for the client raises once the request was answered in the application's place.
pub(super) const OVERDUE: &str = "the request took longer than --timeout and was answered already";

/// Bytes that the Content-Length leaves for the rest of the body; `None` without one.
type Left = Option<u64>;

/// What became of something sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Taken,
    /// The client is gone: stop producing.
    Unwanted,
    /// It was answered in the application's place: stop producing.
    Overdue,
    /// The response has no body, so this was thrown away: no need to produce more.
    Discarded,
    /// It was more than this Content-Length leaves, and was cut.
    Beyond,
    /// There is no head yet.
    Unstarted,
}

impl From<NoReader> for Sent {
    fn from(why: NoReader) -> Self {
        match why {
            NoReader::ClientGone => Self::Unwanted,
            NoReader::Revoked => Self::Overdue,
            NoReader::Discarded => Self::Discarded,
        }
    }
}

/// How far the response had come when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    HeadNotSent,
    HeadSent,
    Complete,
}

impl Responder {
    pub(super) fn new(reply: Reply, workbench: Arc<Mutex<Workbench>>) -> Arc<Self> {
        Arc::new(Self { stage: Mutex::new(Stage::Unstarted(reply)), workbench, wish: OnceLock::new() })
    }

    /// The response is over, whatever became of it. Nobody may know this one but the caller.
    pub(super) fn close(&self) {
        // Dropped without the lock: a reply that was not sent is answered by that.
        let before = std::mem::replace(&mut *self.stage.lock(), Stage::Over);
        drop(before);
    }

    /// Another response's life begins. Nobody may know this one but the caller.
    pub(super) fn reopen(&self, reply: Reply) {
        *self.stage.lock() = Stage::Unstarted(reply);
    }

    pub(super) fn wish(&self) -> Option<Wish> {
        self.wish.get().copied()
    }

    /// Another thread of the application may hold the lock while it waits for the client: detach then.
    fn lock(&self, at: Attached<'_>) -> MutexGuard<'_, Stage> {
        self.stage.try_lock().unwrap_or_else(|| at.detach(|| Guard(self.stage.lock())).0)
    }

    fn start<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Result<(), PythonError<'a>> {
        let (exc_info, head) = match exc_info(at, arguments) {
            Ok(exc_info) => (exc_info, self.head(at, arguments)),
            Err(error) => (None, Err(error)),
        };
        let again = |what| {
            let message = Clause::StartResponse.cited(what);
            Err(PythonError::new(at, ExceptionKind::AssertionError, &message))
        };
        let mut stage = self.lock(at);
        if let (Stage::Sending(..) | Stage::Over, Some(exc_info)) = (&*stage, &exc_info) {
            drop(stage);
            return Err(raised_again(at, exc_info));
        }
        let (next, outcome) = match (std::mem::replace(&mut *stage, Stage::Over), head) {
            (Stage::Unstarted(reply), Ok(head)) => Stage::headed(reply, head),
            (Stage::Refused(reply) | Stage::Headed(reply, _), Ok(head)) if exc_info.is_some() => {
                Stage::headed(reply, head)
            }
            (Stage::Unstarted(reply), Err(error)) => (Stage::Refused(reply), Err(error)),
            (stage, Err(error)) => (stage, Err(error)),
            (Stage::Over, Ok(_)) => {
                (Stage::Over, again("start_response was called after its response had ended"))
            }
            (stage, Ok(_)) => (stage, again("start_response was called again without exc_info")),
        };
        *stage = next;
        drop(stage);
        if let Some(wish) = outcome? {
            // Of several, the first is told.
            let _ = self.wish.set(wish);
        }
        Ok(())
    }

    fn head<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Result<Head, PythonError<'a>> {
        // A thread of the application that has kept another response's start_response may be at it just now.
        match self.workbench.try_lock() {
            Some(mut workbench) => head(at, arguments, &mut workbench),
            None => head(at, arguments, &mut Workbench::default()),
        }
    }

    /// Sends headers ahead of the response. The head is out: false, they come too late.
    pub(super) fn hint(&self, at: Attached<'_>, headers: HeaderMap) -> bool {
        match &*self.lock(at) {
            Stage::Unstarted(reply) | Stage::Refused(reply) | Stage::Headed(reply, _) => {
                reply.hint(headers);
                true
            }
            Stage::Sending(..) | Stage::Over => false,
        }
    }

    /// The body is this long, as far as the application said nothing of it.
    pub(super) fn declare(&self, at: Attached<'_>, length: usize) {
        if let Stage::Headed(_, head) = &mut *self.lock(at)
            && head.declared.is_none()
        {
            head.declared = Some(length as u64);
            head.response.headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
        }
    }

    /// Sends a part of the body, waiting detached when the client is slow. The reactor is not rung.
    pub(super) fn send(&self, at: Attached<'_>, chunk: Bytes) -> Sent {
        let mut stage = self.lock(at);
        if !chunk.is_empty() && matches!(&*stage, Stage::Headed(..)) {
            *stage = match std::mem::replace(&mut *stage, Stage::Over) {
                Stage::Headed(reply, head) => Stage::Sending(reply.start(head.response), head.declared),
                other => other,
            };
        }
        match &mut *stage {
            Stage::Unstarted(_) | Stage::Refused(_) => Sent::Unstarted,
            // Nothing to send yet; but a client that is gone ends the iteration here too.
            Stage::Headed(reply, _) if reply.is_wanted() => Sent::Taken,
            Stage::Headed(..) | Stage::Over => Sent::Unwanted,
            Stage::Sending(body, left) => push(at, body, left, chunk),
        }
    }

    /// Whether the client left while the body was being sent.
    pub(super) fn lost_client(&self, at: Attached<'_>) -> bool {
        match &*self.lock(at) {
            // With all of the body taken, nobody wants more of it: that is no loss.
            Stage::Sending(body, left) => *left != Some(0) && body.reader() == Err(NoReader::ClientGone),
            _ => false,
        }
    }

    /// Whether it was answered in the application's place.
    pub(super) fn is_overdue(&self, at: Attached<'_>) -> bool {
        match &*self.lock(at) {
            Stage::Unstarted(reply) | Stage::Refused(reply) | Stage::Headed(reply, _) => reply.is_revoked(),
            Stage::Sending(body, _) => body.reader() == Err(NoReader::Revoked),
            Stage::Over => false,
        }
    }

    /// Rings the reactor for what was sent.
    fn ring(&self, at: Attached<'_>) {
        if let Stage::Sending(body, _) = &*self.lock(at) {
            body.ring();
        }
    }

    /// Sends all of the body at once, if nothing of it was sent before.
    pub(super) fn respond(&self, at: Attached<'_>, body: Bytes) -> Sent {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Headed(reply, head) => {
                let (body, sent) = within(body, head.declared);
                reply.respond(head.response, body);
                sent
            }
            Stage::Sending(mut sending, mut left) => {
                let sent = push(at, &mut sending, &mut left, body);
                sending.finish();
                // Gone is gone: the rest is dropped with it.
                if matches!(sent, Sent::Unwanted | Sent::Overdue) { Sent::Taken } else { sent }
            }
            Stage::Over => Sent::Taken,
            unstarted @ (Stage::Unstarted(_) | Stage::Refused(_)) => {
                *stage = unstarted;
                Sent::Unstarted
            }
        }
    }

    /// Whether a file may be handed over: the head is there and not sent.
    pub(super) fn awaits_body(&self, at: Attached<'_>) -> bool {
        matches!(&*self.lock(at), Stage::Headed(..))
    }

    /// Hands a file over as the whole body.
    pub(super) fn respond_file(&self, at: Attached<'_>, file: FileRange) {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Headed(reply, head) => reply.respond_file(head.response, file),
            other => *stage = other,
        }
    }

    /// The body is complete.
    pub(super) fn finish(&self, at: Attached<'_>) -> Sent {
        self.respond(at, Bytes::new())
    }

    /// The application failed: 500, or an aborted connection when the head is out and the body not complete.
    pub(super) fn fail(&self, at: Attached<'_>, fault: Fault) -> Progress {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Unstarted(reply) | Stage::Refused(reply) | Stage::Headed(reply, _) => {
                reply.fail(fault);
                Progress::HeadNotSent
            }
            Stage::Sending(body, Some(0)) => {
                // Every byte that was announced is there.
                body.finish();
                Progress::Complete
            }
            Stage::Sending(body, _) => {
                body.fail(fault);
                Progress::HeadSent
            }
            Stage::Over => Progress::Complete,
        }
    }
}

/// A lock's guard on its way out of a detached closure.
struct Guard<'m>(MutexGuard<'m, Stage>);

/// Hands `chunk` over, as much of it as `left` allows, waiting detached for room.
fn push(at: Attached<'_>, body: &mut ReplyBody, left: &mut Left, chunk: Bytes) -> Sent {
    let (chunk, sent) = within(chunk, *left);
    if let Some(left) = left {
        *left -= chunk.len() as u64;
    }
    match body.try_send(chunk) {
        Ok(()) => sent,
        // With nothing left to send the front end has let go of the body: that is its end, and no loss.
        Err(Unsent::NoReader(_)) if sent == Sent::Beyond => sent,
        Err(Unsent::NoReader(why)) => why.into(),
        Err(Unsent::Full(chunk)) => match at.detach(|| body.send(chunk)) {
            Ok(()) => sent,
            Err(why) => why.into(),
        },
    }
}

/// What of `chunk` the Content-Length leaves room for.
fn within(mut chunk: Bytes, left: Left) -> (Bytes, Sent) {
    match left {
        Some(left) if chunk.len() as u64 > left => {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            (chunk, Sent::Beyond)
        }
        _ => (chunk, Sent::Taken),
    }
}

/// The third argument of `start_response`, if it is there and not None.
fn exc_info<'a>(at: Attached<'a>, arguments: &Arguments<'a>) -> Result<Option<Object<'a>>, PythonError<'a>> {
    let refuse = |what: &str| {
        let message = Clause::StartResponse.cited(what);
        Err(PythonError::new(at, ExceptionKind::TypeError, &message))
    };
    let keyword = arguments.keyword(c"exc_info");
    let keywords = arguments.keywords();
    if !(2..=3).contains(&arguments.len()) || keywords > usize::from(keyword.is_some()) {
        return refuse("start_response takes status, response_headers and exc_info=None, by position");
    }
    let given = arguments.get(2).or(keyword).filter(|given| !at.is_none(given));
    match given {
        None => Ok(None),
        Some(given) if at.is_tuple(&given) && at.sequence_length(&given) == Some(3) => Ok(Some(given)),
        Some(given) => {
            refuse(&format!("exc_info must be a sys.exc_info() tuple, not {}", describe(at, &given)))
        }
    }
}

/// What `exc_info` holds, to be raised again: the head is out, and cannot be replaced any more (PEP 3333).
fn raised_again<'a>(at: Attached<'a>, exc_info: &Object<'a>) -> PythonError<'a> {
    let with_traceback = || {
        let instance = at.sequence_item(exc_info, 1)?;
        let traceback = at.sequence_item(exc_info, 2)?;
        at.call(&at.attribute(&instance, c"with_traceback")?, &[&traceback])
    };
    match with_traceback().map(|instance| PythonError::from_instance(at, instance)) {
        Ok(error) => error,
        // Such as (None, None, None), what sys.exc_info() gives outside of an except clause.
        Err(_) => {
            let what = "start_response was called with an empty exc_info after its head was sent";
            PythonError::new(at, ExceptionKind::AssertionError, &Clause::StartResponse.cited(what))
        }
    }
}

/// The first two arguments of `start_response`.
fn head<'a>(
    at: Attached<'a>,
    arguments: &Arguments<'a>,
    Workbench { repeated, spare }: &mut Workbench,
) -> Result<Head, PythonError<'a>> {
    let wrong = |what: &str, given: &Object<'a>| wrong_type(at, what, given);
    let refuse = |error: HeadError| refused(at, &error);
    let (status, headers) = match (arguments.get(0), arguments.get(1)) {
        (Some(status), Some(headers)) => (status, headers),
        // `exc_info` above has counted them.
        _ => return Err(wrong("start_response takes two arguments", &arguments.this())),
    };
    if !at.is_str(&status) {
        return Err(wrong("status must be a str, as \"200 OK\"", &status));
    }
    // A list or a subclass of it, as C code of other servers checks it: a tuple or an iterator could not be
    // changed by middleware, which PEP 3333 allows.
    if !at.is_list(&headers) {
        return Err(wrong("response_headers must be a list", &headers));
    }
    // What has no UTF-8, a surrogate, is beyond latin-1 too.
    let status = at
        .with_text(&status, response::status)
        .unwrap_or_else(|_| Err(HeadError::Status(describe(at, &status))))
        .map_err(refuse)?;
    let count = at.sequence_length(&headers).unwrap_or(0);
    let mut head = Head::within(std::mem::take(spare), status, count).map_err(refuse)?;
    add_headers(at, &headers, (&mut head, repeated))?;
    Ok(head)
}

/// Adds a list of (name, value) to a head, with what such lists had before.
pub(super) fn add_headers<'a>(
    at: Attached<'a>,
    headers: &Object<'a>,
    (head, repeated): (&mut Head, &mut Repeated),
) -> Result<(), PythonError<'a>> {
    for place in 0..at.sequence_length(headers).unwrap_or(0) {
        let pair = at.sequence_item(headers, place)?;
        if !at.is_tuple(&pair) || at.sequence_length(&pair) != Some(2) {
            return Err(wrong_type(at, "response_headers must hold tuples of two", &pair));
        }
        let (name, value) = (at.sequence_item(&pair, 0)?, at.sequence_item(&pair, 1)?);
        for (what, given) in
            [("a header name must be a str", &name), ("a header value must be a str", &value)]
        {
            if !at.is_str(given) {
                return Err(wrong_type(at, what, given));
            }
        }
        let unreadable = |_| {
            let (name, value) = (describe(at, &name), describe(at, &value));
            Err(HeadError::Value { name, value })
        };
        let mut add = |name: &str, value: &str| head.add_repeated(repeated, place, (name, value));
        at.with_text(&name, |name| at.with_text(&value, |value| add(name, value)))
            .and_then(|outcome| outcome)
            .unwrap_or_else(unreadable)
            .map_err(|error| refused(at, &error))?;
    }
    Ok(())
}

fn wrong_type<'a>(at: Attached<'a>, what: &str, given: &Object<'a>) -> PythonError<'a> {
    let message = Clause::StartResponse.cited(format!("{what}, not {}", describe(at, given)));
    PythonError::new(at, ExceptionKind::TypeError, &message)
}

pub(super) fn refused<'a>(at: Attached<'a>, error: &HeadError) -> PythonError<'a> {
    PythonError::new(at, ExceptionKind::ValueError, &error.clause().cited(error))
}

/// Says that an application spoke of its connection.
pub(super) fn tell(wish: Wish) {
    let done = match wish {
        Wish::Close => "\"Connection: close\", which is obeyed",
        Wish::KeepAlive => "\"Connection: keep-alive\" or \"Keep-Alive\", which is dropped",
    };
    tracing::warn!(
        "application sends {done}: connections are the server's to keep ({}); this is said once",
        Clause::StartResponse
    );
}

/// `start_response` as Python sees it. Its `write` is PEP 3333's imperative way to send.
#[derive(Debug)]
pub(super) struct StartResponse(pub(super) Arc<Responder>);

impl Class for StartResponse {
    const NAME: &'static std::ffi::CStr = c"chaussette.StartResponse";
    const METHODS: &'static [&'static std::ffi::CStr] = &[c"write"];
    const PROTOCOL: Protocol = Protocol::Callable;

    fn method<'a>(&self, at: Attached<'a>, _write: usize, arguments: &Arguments<'a>) -> Outcome<'a> {
        let refuse = |kind, clause: Clause, what: &str| Err(PythonError::new(at, kind, &clause.cited(what)));
        let data = match (arguments.len(), arguments.get(0)) {
            (1, Some(data)) => data,
            _ => return refuse(ExceptionKind::TypeError, Clause::Write, "write() takes one bytes object"),
        };
        let Some(chunk) = at.with_bytes(&data, Bytes::copy_from_slice) else {
            let what = format!("write() takes one bytes object, not {}", describe(at, &data));
            return refuse(ExceptionKind::TypeError, Clause::Write, &what);
        };
        match &*self.0.lock(at) {
            Stage::Over => {
                let what = "write() was called after its response had ended";
                return refuse(ExceptionKind::ValueError, Clause::Write, what);
            }
            // All is sent and the front end may have let go: nothing more is no mistake.
            Stage::Sending(_, Some(0)) if chunk.is_empty() => return Ok(at.none()),
            _ => {}
        }
        let sent = self.0.send(at, chunk);
        self.0.ring(at);
        match sent {
            Sent::Taken | Sent::Discarded => Ok(at.none()),
            Sent::Beyond => {
                let what = "write() was given more than the Content-Length of its response leaves";
                refuse(ExceptionKind::ValueError, Clause::ContentLength, what)
            }
            Sent::Unstarted => {
                let what = "write() was called without a head that start_response accepted";
                refuse(ExceptionKind::AssertionError, Clause::Write, what)
            }
            Sent::Unwanted => {
                // Silence would let a loop of write() go on for ever.
                Err(PythonError::new(at, ExceptionKind::OSError, CLIENT_LEFT))
            }
            Sent::Overdue => Err(PythonError::new(at, ExceptionKind::OSError, OVERDUE)),
        }
    }

    fn call<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Outcome<'a> {
        self.0.start(at, arguments)?;
        arguments.method(c"write")
    }
}
