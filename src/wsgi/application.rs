//! Steps 7 of a request: environ, call, iterate, close. On the thread of its interpreter.

use std::fs::File;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, Uri};

use crate::application::{Application, Ended, Line};
use crate::census::Thread;
use crate::exchange::{BodyError, Exchange, Fault, FileRange, RequestBody};
use crate::interp::{
    Attached, Departure, Instance, Interpreter, Kept, Lender, Object, PythonError, ThreadState, Truth,
    this_thread, watch_forks,
};
use crate::wsgi::clause::Clause;
use crate::wsgi::dict::{Environ, Surroundings};
use crate::wsgi::failure::{Failure, describe};
use crate::wsgi::finish::finish;
use crate::wsgi::forked::only_the_parent;
use crate::wsgi::responder::{CLIENT_LEFT, Progress, Responder, Sent, StartResponse, tell};
use crate::wsgi::sources::Teller;
use crate::wsgi::tray::Tray;

/// A list of parts up to this size leaves as one reply. 256 KiB: what the reply's buffer holds; above it,
/// joining would only double the memory.
const JOINED: usize = 256 * 1024;

/// A list of one part up to this size leaves at once, and its interpreter with it. 1 MiB: nearly every page; 1,000
/// slow clients hold at most 1 GiB of such.
const AT_ONCE: usize = 1024 * 1024;

/// Bytes copied at once of a larger part. 256 KiB: what the reply's buffer holds.
const PIECE: usize = 256 * 1024;

/// A WSGI application on one thread of one interpreter.
#[derive(Debug)]
pub struct WsgiApplication {
    seat: Place,
    tools: Tools,
    /// For the threads that the application has started, at the end.
    patience: Duration,
    thread: Thread,
}

/// How this thread is in its interpreter.
#[derive(Debug)]
pub(super) enum Place {
    /// It loaded the application and will end the interpreter.
    Home(Interpreter),
    /// It joined later and leaves first.
    Guest(ThreadState),
}

impl Place {
    fn state(&self) -> u64 {
        match self {
            Self::Home(interpreter) => interpreter.state(),
            Self::Guest(state) => state.identifier(),
        }
    }

    pub(super) fn attach<R>(&mut self, work: impl for<'a> FnOnce(Attached<'a>) -> R) -> R {
        match self {
            Self::Home(interpreter) => interpreter.attach(work),
            Self::Guest(state) => state.attach(work),
        }
    }
}

/// Everything of Python that serving needs, kept for the thread's life.
#[derive(Debug)]
pub(super) struct Tools {
    application: Kept,
    /// `chaussette._interpreter`.
    support: Kept,
    file_wrapper: Kept,
    environ: Environ,
    /// Large parts of bodies, on their way to clients.
    lender: Lender,
    tray: Tray,
    number: u64,
    /// Whether the log knows that the application speaks of its connections.
    told: Truth,
    /// With `--reload`.
    pub(super) teller: Option<Teller>,
}

impl WsgiApplication {
    pub(super) fn new(seat: Place, tools: Tools, patience: Duration) -> Self {
        watch_forks();
        let thread = Thread { identifier: this_thread(), state: seat.state() };
        Self { seat, tools, patience, thread }
    }
}

impl Application for WsgiApplication {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        let tools = &mut self.tools;
        // Once a batch: two looks at the clock.
        let asked = Instant::now();
        self.seat.attach(|at| {
            line.attached_after(asked.elapsed());
            let mut next = Some(first);
            while let Some(exchange) = next {
                // What was raised for the request before, and came too late for it, must not meet this one.
                if line.was_interrupted() {
                    at.forget_raised();
                }
                tools.serve(at, exchange, line);
                next = line.next();
            }
            if let Some(teller) = &tools.teller {
                teller.served(at);
            }
            if line.was_interrupted() {
                at.forget_raised();
            }
        });
    }

    fn thread(&self) -> Thread {
        self.thread
    }

    fn end(self) -> Ended {
        let Self { mut seat, tools, patience, .. } = self;
        let number = tools.number;
        let ends = Truth::from(matches!(&seat, Place::Home(home) if home.is_the_last()));
        tools.lender.wait();
        let left = seat.attach(|at| tools.release(at, ends, patience));
        match seat {
            Place::Guest(state) => {
                state.leave();
                Ended::Cleanly
            }
            Place::Home(interpreter) => match interpreter.end(left) {
                Departure::Ended => Ended::Cleanly,
                Departure::Abandoned { threads } => Ended::Abandoned(format!(
                    "interpreter {number} is left as it is: {threads} of its threads still run"
                )),
            },
        }
    }
}

impl Tools {
    pub(super) fn new<'a>(
        at: Attached<'a>,
        application: Object<'a>,
        support: Object<'a>,
        surroundings: Surroundings,
    ) -> Result<Self, PythonError<'a>> {
        let file_wrapper = at.attribute(&support, c"FileWrapper")?;
        let errors = at.call(&at.attribute(&support, c"error_stream")?, &[])?;
        Ok(Self {
            environ: Environ::new(at, surroundings, &file_wrapper, &errors)?,
            lender: Lender::default(),
            tray: Tray::new(at)?,
            application: application.keep(),
            support: support.keep(),
            file_wrapper: file_wrapper.keep(),
            number: surroundings.identity.number,
            told: Truth::False,
            teller: None,
        })
    }

    /// Returns whether plain threads were left.
    fn release(self, at: Attached<'_>, ends: Truth, patience: Duration) -> Truth {
        let left = finish(at, (&self.support, self.number), ends, patience);
        let lost = self.lender.close(at);
        if lost > 0 {
            tracing::info!(
                "interpreter {}: leaves {lost} bytes to clients that still read them",
                self.number
            );
        }
        self.application.release(at);
        self.file_wrapper.release(at);
        self.environ.release(at);
        self.tray.release(at);
        self.support.release(at);
        if let Some(teller) = self.teller {
            teller.release(at);
        }
        left
    }

    fn serve(&mut self, at: Attached<'_>, exchange: Exchange, line: &mut dyn Line) {
        self.lender.take_back(at);
        let Exchange { mut request, reply } = exchange;
        let body = std::mem::replace(&mut request.body, RequestBody::Empty);
        let (responder, hands) = self.tray.serve(at, body, reply);
        let hands = match hands {
            Ok(hands) => hands,
            Err(error) => {
                let asked = (&request.method, &request.uri);
                return self.failed(at, error.into(), &responder, None, asked);
            }
        };
        let outcome = (|| {
            if hands.are_new {
                self.environ.hold(at, &hands.input, &hands.hints)?;
            }
            let environ = self.environ.build(at, &request)?;
            self.tray.recycle(std::mem::take(&mut request.headers));
            self.call(at, &environ, &hands.start_response, &responder, line)
        })();
        if let Err(failure) = outcome {
            let asked = (&request.method, &request.uri);
            self.failed(at, failure, &responder, hands.input.failure(), asked);
        }
        hands.input.close();
        if let Some(wish) = responder.wish()
            && std::mem::replace(&mut self.told, Truth::True) == Truth::False
        {
            tell(wish);
        }
        self.tray.clear(hands, responder);
        line.done_with(request);
    }

    /// Calls the application and sends what it gives; `close()` is always called.
    fn call<'a>(
        &self,
        at: Attached<'a>,
        environ: &Object<'a>,
        start_response: &Instance<'a, StartResponse>,
        responder: &Responder,
        line: &mut dyn Line,
    ) -> Result<(), Failure<'a>> {
        let parts = at
            .call(&self.application, &[environ, start_response])
            .map_err(|error| Failure::of_call(at, error));
        only_the_parent(self.number);
        let parts = parts?;
        let sent = self.send(at, &parts, responder, line);
        let closed = close(at, &parts, line);
        only_the_parent(self.number);
        match (sent, closed) {
            (Ok(()), closed) => closed,
            (sent, Ok(())) => sent,
            (Err(first), Err(then)) => Err(first.and(then)),
        }
    }

    fn send<'a>(
        &self,
        at: Attached<'a>,
        parts: &Object<'a>,
        responder: &Responder,
        line: &mut dyn Line,
    ) -> Result<(), Failure<'a>> {
        if let Some(body) = self.joined(at, parts)? {
            return outcome(responder.respond(at, body));
        }
        if at.is_exactly(parts, &self.file_wrapper)
            && responder.awaits_body(at)
            && let Some(file) = self.real_file(at, parts)?
        {
            responder.respond_file(at, file);
            return Ok(());
        }
        // PEP 3333 "Handling the Content-Length Header": one part is the whole body.
        let is_all = at.plain_sequence_length(parts) == Some(1);
        let iterator = at.iterate(parts).map_err(|error| Failure::of_iteration(at, parts, error))?;
        while let Some(part) = at.next(&iterator)? {
            only_the_parent(self.number);
            let length =
                at.with_bytes(&part, <[u8]>::len).ok_or_else(|| Failure::not_bytes(at, parts, &part))?;
            if is_all {
                responder.declare(at, length);
            }
            match self.send_part(at, &part, length, responder) {
                Sent::Taken => line.offered(),
                Sent::Unwanted | Sent::Overdue | Sent::Discarded => return Ok(()),
                faulty => return outcome(faulty),
            }
        }
        outcome(responder.finish(at))
    }

    /// Sends one part, in pieces if it is large: what waits for a slow client has a bound.
    fn send_part<'a>(
        &self,
        at: Attached<'a>,
        part: &Object<'a>,
        length: usize,
        responder: &Responder,
    ) -> Sent {
        let lent = self.lender.lend(at, part);
        for start in (0..length.max(1)).step_by(PIECE) {
            let piece = start..length.min(start + PIECE);
            let copy =
                |bytes: &[u8]| bytes.get(piece.clone()).map(Bytes::copy_from_slice).unwrap_or_default();
            let piece = match &lent {
                Some(lent) => lent.slice(piece),
                None => at.with_bytes(part, copy).unwrap_or_default(),
            };
            match responder.send(at, piece) {
                Sent::Taken => {}
                other => return other,
            }
        }
        Sent::Taken
    }

    /// The whole body, when the application gave it as a small list or tuple of bytes.
    fn joined<'a>(&self, at: Attached<'a>, parts: &Object<'a>) -> Result<Option<Bytes>, Failure<'a>> {
        let Some(count) = at.plain_sequence_length(parts) else { return Ok(None) };
        if count == 1 {
            let part = at.sequence_item(parts, 0)?;
            let length =
                at.with_bytes(&part, <[u8]>::len).ok_or_else(|| Failure::not_bytes(at, parts, &part))?;
            if length > AT_ONCE {
                return Ok(None);
            }
            let lent = self.lender.lend(at, &part);
            return Ok(lent.or_else(|| at.with_bytes(&part, Bytes::copy_from_slice)));
        }
        let mut body = BytesMut::new();
        for place in 0..count {
            let part = at.sequence_item(parts, place)?;
            let fits = at
                .with_bytes(&part, |bytes| {
                    let fits = body.len() + bytes.len() <= JOINED;
                    if fits {
                        body.extend_from_slice(bytes);
                    }
                    fits
                })
                .ok_or_else(|| Failure::not_bytes(at, parts, &part))?;
            if !fits {
                return Ok(None);
            }
        }
        Ok(Some(body.freeze()))
    }

    /// A regular file behind `wsgi.file_wrapper` leaves Python at once: its descriptor is duplicated.
    fn real_file<'a>(
        &self,
        at: Attached<'a>,
        wrapper: &Object<'a>,
    ) -> Result<Option<FileRange>, PythonError<'a>> {
        let found = at.call(&at.attribute(&self.support, c"real_file")?, &[wrapper])?;
        if at.is_none(&found) {
            return Ok(None);
        }
        let number = |place| at.integer(&at.sequence_item(&found, place)?);
        let (descriptor, offset, length) = (number(0)?, number(1)?, number(2)?);
        let (Ok(descriptor), Ok(offset), Ok(length)) =
            (i32::try_from(descriptor), u64::try_from(offset), u64::try_from(length))
        else {
            return Ok(None);
        };
        // Python's own file object keeps the descriptor open during this call: it is borrowed from `wrapper`.
        match crate::interp::duplicate(descriptor) {
            Ok(file) => Ok(Some(FileRange { file: File::from(file), offset, length })),
            Err(error) => {
                tracing::warn!(
                    "wsgi.file_wrapper is read through Python: cannot duplicate descriptor: {error}"
                );
                Ok(None)
            }
        }
    }

    fn failed<'a>(
        &self,
        at: Attached<'a>,
        failure: Failure<'a>,
        responder: &Responder,
        broken: Option<BodyError>,
        (method, uri): (&Method, &Uri),
    ) {
        let number = self.number;
        if let Some(fault) = broken {
            // The client's doing: the application could not know better than to raise.
            responder.fail(at, Fault::Client(fault.clone()));
            tracing::info!("interpreter {number}: {method} {uri}: {fault}");
            return;
        }
        if responder.is_overdue(at) || failure.is_timeout(at, &self.support) {
            // Answered and logged when its time was up. What is told here is where that found it.
            responder.fail(at, Fault::Overdue);
            let (what, report) = failure.told(at, &self.support);
            tracing::info!("interpreter {number}: {method} {uri}: {what} after its --timeout\n{report}");
            return;
        }
        let client_left = responder.lost_client(at);
        if client_left && failure.is_only_the_client() {
            responder.fail(at, Fault::Client(BodyError::ClientLeft));
            tracing::info!("interpreter {number}: {method} {uri}: {CLIENT_LEFT}");
            return;
        }
        let (what, report) = failure.told(at, &self.support);
        let report = if report.is_empty() { report } else { format!("\n{report}") };
        let progress = responder.fail(at, Fault::Application("failed"));
        let after = match progress {
            Progress::HeadNotSent => "",
            Progress::HeadSent => " after its response had begun: connection aborted",
            Progress::Complete => " after its response was complete",
        };
        if client_left {
            // What it raised is most likely about the client; nobody was waiting for it.
            tracing::info!("interpreter {number}: {method} {uri}: {what} after its client had left{report}");
            return;
        }
        tracing::error!("interpreter {number}: {method} {uri}: {what}{after}{report}");
    }
}

/// Calls `close()` of what the application returned, if it has one.
fn close<'a>(at: Attached<'a>, parts: &Object<'a>, line: &mut dyn Line) -> Result<(), Failure<'a>> {
    // A plain list or tuple has none, and most applications return one: looking for it costs as much as a call.
    if at.plain_sequence_length(parts).is_some() {
        return Ok(());
    }
    match at.optional_attribute(parts, c"close")? {
        None => Ok(()),
        Some(close) if at.is_callable(&close) => {
            // It may take its time, and the response is complete.
            line.offered();
            Ok(at.call(&close, &[]).map(drop)?)
        }
        Some(close) => {
            let what = format!("close of the returned iterable cannot be called: {}", describe(at, &close));
            Err(Failure::broke(Clause::Specification, what))
        }
    }
}

/// What the end of a body was to its responder.
fn outcome<'a>(sent: Sent) -> Result<(), Failure<'a>> {
    match sent {
        Sent::Taken | Sent::Unwanted | Sent::Overdue | Sent::Discarded => Ok(()),
        Sent::Beyond => {
            let what = "response body is longer than its Content-Length, and was cut";
            Err(Failure::broke(Clause::ContentLength, what))
        }
        Sent::Unstarted => {
            let what = "no start_response before the first part of the body, or none that was accepted";
            Err(Failure::broke(Clause::Specification, what))
        }
    }
}
