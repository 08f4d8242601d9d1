//! `wsgi.input`: a request's body as a file-like object (PEP 3333 "Input and Error Streams").
//!
//! Ends at the end of the body, however it is framed (`wsgi.input_terminated`). A body that broke off
//! raises OSError: end of data, a client that left and a refusal are never the same thing.

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::exchange::{BodyError, Reply, RequestBody, Revoker};
use crate::interp::{Arguments, Attached, Class, ExceptionKind, Object, Outcome, Protocol, PythonError};
use crate::wsgi::clause::Clause;
use crate::wsgi::failure::describe;
use crate::wsgi::responder::OVERDUE;

/// `wsgi.input`: a body being read, shared with the thread that serves its request.
#[derive(Debug)]
pub(super) struct Body {
    source: Mutex<Source>,
}

#[derive(Debug)]
struct Source {
    /// Arrived and not yet read.
    held: Bytes,
    rest: RequestBody,
    /// Told of waits for a body that is still coming.
    revoker: Option<Revoker>,
    failed: Option<BodyError>,
    span: Span,
}

/// Whether the request is still being served. A read after it is a mistake, not the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Open,
    Over,
}

/// How much a read may return.
#[derive(Debug, Clone, Copy)]
enum Size {
    All,
    AtMost(usize),
}

impl Body {
    /// `reply` is the one that the request will get.
    pub(super) fn new(body: RequestBody, reply: &Reply) -> Self {
        Self { source: Mutex::new(Source::new(body, reply)) }
    }

    /// It is another request's. Nobody may know this one but the caller.
    pub(super) fn reopen(&self, body: RequestBody, reply: &Reply) {
        *self.source.lock() = Source::new(body, reply);
    }

    /// Why the body broke off, if it did and the application read that far.
    pub(super) fn failure(&self) -> Option<BodyError> {
        self.source.try_lock().and_then(|source| source.failed.clone())
    }

    /// The request is over: what was not read is nobody's, and later reads are refused.
    pub(super) fn close(&self) {
        // Another thread of the application may sit in a read: it ends with the client or its timeout.
        if let Some(mut source) = self.source.try_lock() {
            source.rest = RequestBody::Empty;
            source.held = Bytes::new();
            source.span = Span::Over;
        }
    }

    fn lock(&self, at: Attached<'_>) -> MutexGuard<'_, Source> {
        struct Guard<'m>(MutexGuard<'m, Source>);
        self.source.try_lock().unwrap_or_else(|| at.detach(|| Guard(self.source.lock())).0)
    }

    fn read<'a>(&self, at: Attached<'a>, size: Size) -> Outcome<'a> {
        let mut source = self.lock(at);
        let limit = match size {
            Size::All => usize::MAX,
            Size::AtMost(0) => return at.bytes(b""),
            Size::AtMost(limit) => limit,
        };
        let first = source.chunk(at, limit)?;
        if first.is_empty() || first.len() == limit {
            return at.bytes(&first);
        }
        let second = source.chunk(at, limit - first.len())?;
        if second.is_empty() {
            return at.bytes(&first);
        }
        let mut gathered = Vec::with_capacity(first.len() + second.len());
        gathered.extend_from_slice(&first);
        gathered.extend_from_slice(&second);
        while gathered.len() < limit {
            let chunk = source.chunk(at, limit - gathered.len())?;
            if chunk.is_empty() {
                break;
            }
            gathered.extend_from_slice(&chunk);
        }
        at.bytes(&gathered)
    }

    fn line<'a>(&self, at: Attached<'a>, size: Size) -> Outcome<'a> {
        let mut source = self.lock(at);
        let limit = match size {
            Size::All => usize::MAX,
            Size::AtMost(limit) => limit,
        };
        let mut line = Vec::new();
        while line.len() < limit && source.fill(at)? {
            let within = source.held.len().min(limit - line.len());
            let window = source.held.slice(..within);
            let newline = window.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(within, |place| place + 1);
            line.extend_from_slice(&source.held.split_to(taken));
            if newline.is_some() {
                break;
            }
        }
        at.bytes(&line)
    }

    fn lines<'a>(&self, at: Attached<'a>, hint: Size) -> Outcome<'a> {
        let mut lines = Vec::new();
        let mut total = 0;
        loop {
            let line = self.line(at, Size::All)?;
            let length = at.with_bytes(&line, <[u8]>::len).unwrap_or(0);
            if length == 0 {
                break;
            }
            total += length;
            lines.push(line);
            if let Size::AtMost(hint) = hint
                && hint > 0
                && total >= hint
            {
                break;
            }
        }
        at.list(lines)
    }
}

impl Source {
    fn new(body: RequestBody, reply: &Reply) -> Self {
        let revoker = if matches!(body, RequestBody::Stream(_)) { reply.revoker() } else { None };
        Self { held: Bytes::new(), rest: body, revoker, failed: None, span: Span::Open }
    }

    /// Makes sure that something is held; `false` at the end of the body. Waits detached.
    fn fill<'a>(&mut self, at: Attached<'a>) -> Result<bool, PythonError<'a>> {
        if !self.held.is_empty() {
            return Ok(true);
        }
        if self.span == Span::Over {
            let message = Clause::Streams.cited("wsgi.input was read after its request had ended");
            return Err(PythonError::new(at, ExceptionKind::ValueError, &message));
        }
        let arrived = match &mut self.rest {
            RequestBody::Empty => return Ok(false),
            RequestBody::Whole(whole) => {
                self.held = std::mem::take(whole);
                self.rest = RequestBody::Empty;
                return Ok(!self.held.is_empty());
            }
            RequestBody::Stream(reader) => match (reader.try_read(), &self.revoker) {
                (Some(arrived), _) => arrived,
                (None, Some(revoker)) if revoker.is_revoked() => {
                    return Err(PythonError::new(at, ExceptionKind::OSError, OVERDUE));
                }
                (None, Some(revoker)) => at.detach(|| revoker.while_waiting(|| reader.read())),
                (None, None) => at.detach(|| reader.read()),
            },
        };
        match arrived {
            Ok(Some(chunk)) => {
                self.held = chunk;
                Ok(true)
            }
            Ok(None) => {
                self.rest = RequestBody::Empty;
                Ok(false)
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(PythonError::new(at, ExceptionKind::OSError, &error.to_string()))
            }
        }
    }

    /// What is held or arrives next, `limit` bytes at most; empty at the end.
    fn chunk<'a>(&mut self, at: Attached<'a>, limit: usize) -> Result<Bytes, PythonError<'a>> {
        if !self.fill(at)? {
            return Ok(Bytes::new());
        }
        let taken = self.held.len().min(limit);
        Ok(self.held.split_to(taken))
    }
}

impl Class for Body {
    const NAME: &'static std::ffi::CStr = c"chaussette.Input";
    const METHODS: &'static [&'static std::ffi::CStr] = &[c"read", c"readline", c"readlines", c"close"];
    const PROTOCOL: Protocol = Protocol::Iterator;

    fn method<'a>(&self, at: Attached<'a>, index: usize, arguments: &Arguments<'a>) -> Outcome<'a> {
        match index {
            0 => self.read(at, size(at, arguments)?),
            1 => self.line(at, size(at, arguments)?),
            2 => self.lines(at, size(at, arguments)?),
            // PEP 3333: applications must not close it. Some wrap it in objects that do: nothing happens.
            _ => Ok(at.none()),
        }
    }

    fn next<'a>(&self, at: Attached<'a>) -> Result<Option<Object<'a>>, PythonError<'a>> {
        let line = self.line(at, Size::All)?;
        let at_end = at.with_bytes(&line, <[u8]>::is_empty).unwrap_or(true);
        Ok((!at_end).then_some(line))
    }
}

/// The optional size argument: nothing, None and negative numbers mean all.
fn size<'a>(at: Attached<'a>, arguments: &Arguments<'a>) -> Result<Size, PythonError<'a>> {
    let refuse = |what: &str| PythonError::new(at, ExceptionKind::TypeError, &Clause::Streams.cited(what));
    if arguments.len() > 1 {
        return Err(refuse("methods of wsgi.input take one size at most"));
    }
    match arguments.get(0) {
        None => Ok(Size::All),
        Some(given) if at.is_none(&given) => Ok(Size::All),
        Some(given) => match at.integer(&given) {
            Ok(size) => Ok(usize::try_from(size).map_or(Size::All, Size::AtMost)),
            Err(error) if error.is(ExceptionKind::TypeError) => {
                Err(refuse(&format!("a size for wsgi.input must be an int, not {}", describe(at, &given))))
            }
            Err(error) => Err(error),
        },
    }
}
