//! `start_response` and `write`: from the application's calls to a reply.
//!
//! Owns the life of one response: unstarted → headed → sending → over. The head leaves with the first
//! non-empty part of the body, so that `exc_info` can replace it until then.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::exchange::{Fault, FileRange, Reply, ReplyBody, ResponseHead, Unsent};
use crate::interp::{Arguments, Attached, Class, ExceptionKind, Object, Outcome, Protocol, PythonError};
use crate::wsgi::response;

/// One response's life, shared by the thread that serves it and the `start_response` in Python's hands.
#[derive(Debug)]
pub(super) struct Responder {
    stage: Mutex<Stage>,
}

#[derive(Debug)]
enum Stage {
    Unstarted(Reply),
    Headed(Reply, ResponseHead),
    Sending(ReplyBody),
    Over,
}

/// What became of something sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Taken,
    /// The client is gone: stop producing.
    Unwanted,
}

/// How far the response had come when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    HeadNotSent,
    HeadSent,
    Complete,
}

impl Responder {
    pub(super) fn new(reply: Reply) -> Arc<Self> {
        Arc::new(Self { stage: Mutex::new(Stage::Unstarted(reply)) })
    }

    /// Another thread of the application may hold the lock while it waits for the client: detach then.
    fn lock(&self, at: Attached<'_>) -> MutexGuard<'_, Stage> {
        self.stage.try_lock().unwrap_or_else(|| at.detach(|| Guard(self.stage.lock())).0)
    }

    fn start<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Result<(), PythonError<'a>> {
        let (Some(status), Some(headers)) = (arguments.get(0), arguments.get(1)) else {
            let usage = "start_response(status, response_headers, exc_info=None)";
            return Err(PythonError::new(at, ExceptionKind::TypeError, usage));
        };
        let exc_info = arguments.get(2).or_else(|| arguments.keyword(c"exc_info"));
        let exc_info = exc_info.filter(|given| !at.is_none(given));
        let head = head(at, &status, &headers)?;
        let mut stage = self.lock(at);
        *stage = match (std::mem::replace(&mut *stage, Stage::Over), exc_info) {
            (Stage::Unstarted(reply) | Stage::Headed(reply, _), Some(_)) => Stage::Headed(reply, head),
            (Stage::Unstarted(reply), None) => Stage::Headed(reply, head),
            (sending @ (Stage::Sending(_) | Stage::Over), Some(exc_info)) => {
                // PEP 3333: with the headers sent, the exception is raised again.
                *stage = sending;
                drop(stage);
                let instance = at.sequence_item(&exc_info, 1)?;
                return Err(PythonError::from_instance(at, instance));
            }
            (started, None) => {
                *stage = started;
                drop(stage);
                let message = "start_response called twice without exc_info";
                return Err(PythonError::new(at, ExceptionKind::AssertionError, message));
            }
        };
        Ok(())
    }

    /// Sends a part of the body, waiting detached when the client is slow. The reactor is not rung.
    pub(super) fn send<'a>(&self, at: Attached<'a>, chunk: Bytes) -> Result<Sent, PythonError<'a>> {
        let mut stage = self.lock(at);
        if let Stage::Headed(..) = &*stage
            && !chunk.is_empty()
            && let Stage::Headed(reply, head) = std::mem::replace(&mut *stage, Stage::Over)
        {
            *stage = Stage::Sending(reply.start(head));
        }
        match &mut *stage {
            Stage::Unstarted(_) => {
                drop(stage);
                Err(unstarted(at))
            }
            // Nothing to send yet; but a client that is gone ends the iteration here too.
            Stage::Headed(reply, _) if reply.is_wanted() => Ok(Sent::Taken),
            Stage::Headed(..) => Ok(Sent::Unwanted),
            Stage::Over => Ok(Sent::Unwanted),
            Stage::Sending(body) => Ok(match body.try_send(chunk) {
                Ok(()) => Sent::Taken,
                Err(Unsent::ClientGone) => Sent::Unwanted,
                Err(Unsent::Full(chunk)) => match at.detach(|| body.send(chunk)) {
                    Ok(()) => Sent::Taken,
                    Err(_) => Sent::Unwanted,
                },
            }),
        }
    }

    /// Whether the client left while the body was being sent.
    pub(super) fn lost_client(&self, at: Attached<'_>) -> bool {
        matches!(&*self.lock(at), Stage::Sending(body) if !body.is_wanted())
    }

    /// Rings the reactor for what was sent.
    fn ring(&self, at: Attached<'_>) {
        if let Stage::Sending(body) = &*self.lock(at) {
            body.ring();
        }
    }

    /// Sends all of the body at once, if nothing of it was sent before.
    pub(super) fn respond<'a>(&self, at: Attached<'a>, body: Bytes) -> Result<(), PythonError<'a>> {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Headed(reply, head) => reply.respond(head, body),
            Stage::Sending(mut sending) => {
                if let Err(Unsent::Full(chunk)) = sending.try_send(body) {
                    // Gone is gone: the rest is dropped with it.
                    let _ = at.detach(|| sending.send(chunk));
                }
                sending.finish();
            }
            Stage::Over => {}
            Stage::Unstarted(reply) => {
                *stage = Stage::Unstarted(reply);
                drop(stage);
                return Err(unstarted(at));
            }
        }
        Ok(())
    }

    /// Whether a file may be handed over: the head is there and not sent.
    pub(super) fn awaits_body(&self, at: Attached<'_>) -> bool {
        matches!(&*self.lock(at), Stage::Headed(..))
    }

    /// Hands a file over as the whole body.
    pub(super) fn respond_file(&self, at: Attached<'_>, file: FileRange) {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Headed(reply, head) => reply.respond_file(head, file),
            other => *stage = other,
        }
    }

    /// The body is complete.
    pub(super) fn finish<'a>(&self, at: Attached<'a>) -> Result<(), PythonError<'a>> {
        self.respond(at, Bytes::new())
    }

    /// The application failed: 500, or an aborted connection when the head is out.
    pub(super) fn fail(&self, at: Attached<'_>, fault: Fault) -> Progress {
        let mut stage = self.lock(at);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Unstarted(reply) | Stage::Headed(reply, _) => {
                reply.fail(fault);
                Progress::HeadNotSent
            }
            Stage::Sending(body) => {
                body.fail(fault);
                Progress::HeadSent
            }
            Stage::Over => Progress::Complete,
        }
    }
}

/// A lock's guard on its way out of a detached closure.
struct Guard<'m>(MutexGuard<'m, Stage>);

fn unstarted(at: Attached<'_>) -> PythonError<'_> {
    let message = "the application did not call start_response before its body";
    PythonError::new(at, ExceptionKind::AssertionError, message)
}

fn head<'a>(
    at: Attached<'a>,
    status: &Object<'a>,
    headers: &Object<'a>,
) -> Result<ResponseHead, PythonError<'a>> {
    if !at.is_str(status) {
        return Err(PythonError::new(at, ExceptionKind::TypeError, "status must be a str, as \"200 OK\""));
    }
    let refuse =
        |error: response::HeadError| PythonError::new(at, ExceptionKind::ValueError, &error.to_string());
    let (status, reason) = at.with_text(status, response::status)?.map_err(refuse)?;
    let mut head = ResponseHead { status, reason, headers: http::HeaderMap::new(), names: Vec::new() };
    let listed = "response_headers must be a list of (str, str) tuples";
    let wrong = || PythonError::new(at, ExceptionKind::TypeError, listed);
    let count = at.sequence_length(headers).ok_or_else(wrong)?;
    head.headers.reserve(count);
    for place in 0..count {
        let pair = at.sequence_item(headers, place)?;
        if at.sequence_length(&pair) != Some(2) {
            return Err(wrong());
        }
        let (name, value) = (at.sequence_item(&pair, 0)?, at.sequence_item(&pair, 1)?);
        if !at.is_str(&name) || !at.is_str(&value) {
            return Err(wrong());
        }
        at.with_text(&name, |name| {
            at.with_text(&value, |value| response::header(&mut head.headers, name, value))
        })??
        .map_err(refuse)?;
    }
    Ok(head)
}

/// `start_response` as Python sees it. Its `write` is PEP 3333's imperative way to send.
#[derive(Debug)]
pub(super) struct StartResponse(pub(super) Arc<Responder>);

impl Class for StartResponse {
    const NAME: &'static std::ffi::CStr = c"chaussette.StartResponse";
    const METHODS: &'static [&'static std::ffi::CStr] = &[c"write"];
    const PROTOCOL: Protocol = Protocol::Callable;

    fn method<'a>(&self, at: Attached<'a>, _write: usize, arguments: &Arguments<'a>) -> Outcome<'a> {
        let chunk = arguments.get(0).and_then(|data| at.with_bytes(&data, Bytes::copy_from_slice));
        let Some(chunk) = chunk else {
            return Err(PythonError::new(at, ExceptionKind::TypeError, "write() takes one bytes object"));
        };
        if matches!(&*self.0.lock(at), Stage::Over) {
            let message = "write() was called after its response had ended";
            return Err(PythonError::new(at, ExceptionKind::ValueError, message));
        }
        if self.0.send(at, chunk)? == Sent::Unwanted {
            // Silence would let a loop of write() go on for ever.
            let message = "the client left before the end of the response";
            return Err(PythonError::new(at, ExceptionKind::OSError, message));
        }
        self.0.ring(at);
        Ok(at.none())
    }

    fn call<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Outcome<'a> {
        self.0.start(at, arguments)?;
        at.attribute(&arguments.this(), c"write")
    }
}
