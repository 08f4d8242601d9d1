//! The server's side of a serving thread in a worker process: an application to whoever calls it.
//!
//! Gives each request to the worker, and fills its reply with what comes back. A worker that is gone costs the request
//! that it has in hand; one that it never read goes back to the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::codec::{self, Malformed, down, up};
use super::frame::{Frame, Frames, Lost};
use super::outbox::{Outbox, Wait};
use super::words::Loss;
use super::worker::{LaneEnd, Worker};
use crate::application::{Application, Ended, Line};
use crate::census::Thread;
use crate::exchange::{
    Exchange, Fault, FileRange, NoReader, Reply, ReplyBody, Request, RequestBody, Revoker, Unsent,
};

/// Bytes of a request's body that one answer to a worker holds at most, but for the last part. 256 KiB: what the
/// channel before it holds.
const GATHERED: usize = 256 * 1024;

/// A worker's thread, here.
#[derive(Debug)]
pub struct Relay {
    worker: Arc<Worker>,
    lane: Arc<LaneEnd>,
    frames: Frames,
    outbox: Outbox,
    post: Post,
    footing: Footing,
}

/// Which of its worker's threads it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Post {
    Home,
    Guest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    Sound,
    /// Nothing can be given to the worker any more.
    Lost,
}

/// Why a request did not come to its end.
enum Broken {
    /// The worker has read nothing of it.
    Undelivered(Exchange),
    Underway,
}

impl Relay {
    pub(super) fn new(worker: Arc<Worker>, post: Post) -> std::io::Result<Self> {
        let lane = worker.lane()?;
        let (frames, outbox) = (Frames::with_files(), Outbox::default());
        Ok(Self { worker, lane, frames, outbox, post, footing: Footing::Sound })
    }

    /// One request, from the worker's getting it until its thread is done with it.
    fn carry(&mut self, exchange: Exchange, line: &mut dyn Line) -> Result<(), Broken> {
        let Exchange { mut request, reply } = exchange;
        let whole = match &request.body {
            RequestBody::Whole(bytes) => Some(bytes.clone()),
            RequestBody::Empty | RequestBody::Stream(_) => None,
        };
        self.outbox.put(down::REQUEST, whole, |out| codec::put_request(out, &request));
        self.lane.sent.fetch_add(1, Ordering::Relaxed);
        if self.outbox.flush(&self.lane.socket, Wait::Until(0)).is_err() {
            return Err(Broken::Undelivered(Exchange { request, reply }));
        }
        let revoker = match &request.body {
            RequestBody::Stream(_) => reply.revoker(),
            RequestBody::Empty | RequestBody::Whole(_) => None,
        };
        let mut progress = Progress::Nothing(reply);
        loop {
            let frame = match self.frames.ready() {
                Some(frame) => Ok(frame),
                None => {
                    if progress.has_begun() {
                        line.offered();
                    }
                    self.frames.next(&self.lane.socket)
                }
            };
            let frame = match (frame, progress) {
                (Ok(frame), now) => {
                    progress = now.touched();
                    frame
                }
                (Err(Lost::Unread), Progress::Nothing(reply)) => {
                    return Err(Broken::Undelivered(Exchange { request, reply }));
                }
                (Err(_), now) => {
                    now.fail(Fault::Lost);
                    return Err(Broken::Underway);
                }
            };
            if frame.kind == up::DONE {
                return Ok(());
            }
            let taken = if frame.kind == up::WANT {
                self.feed(&mut request, revoker.as_ref()).map(|()| progress)
            } else {
                self.take(frame, progress)
            };
            progress = taken.map_err(|_| Broken::Underway)?;
        }
    }

    /// What the worker says of the request. What makes no sense breaks it off.
    fn take(&mut self, frame: Frame, progress: Progress) -> Result<Progress, Malformed> {
        let contents = frame.contents;
        Ok(match (frame.kind, progress) {
            (up::WHOLE, Progress::Waiting(reply)) => {
                let (head, body) = codec::head(contents)?;
                reply.respond(head, body);
                Progress::Over
            }
            (up::FILE, Progress::Waiting(reply)) => {
                let (offset, length) = codec::window(contents.clone())?;
                let (head, _) = codec::head(contents.slice(16..))?;
                let file = self.frames.file().ok_or(Malformed)?.into();
                reply.respond_file(head, FileRange { file, offset, length });
                Progress::Over
            }
            (up::START, Progress::Waiting(reply)) => {
                let (head, _) = codec::head(contents)?;
                Progress::Sending(reply.start(head))
            }
            (up::PART, Progress::Sending(mut body)) => {
                if let Err(why) = pass_on(&mut body, contents) {
                    self.worker.lose(&self.lane, why);
                }
                Progress::Sending(body)
            }
            (up::END, Progress::Sending(body)) => {
                body.finish();
                Progress::Over
            }
            (up::FAULT, now) => {
                now.fail(codec::fault(contents)?);
                Progress::Over
            }
            (up::HINT, Progress::Waiting(reply)) => {
                reply.hint(codec::hint(contents)?);
                Progress::Waiting(reply)
            }
            (up::PROBE, now) => {
                if let Some(why) = now.loss() {
                    self.worker.lose(&self.lane, why);
                }
                now
            }
            // It goes on for a while with what nobody reads.
            (up::PART | up::END | up::HINT, Progress::Over) => Progress::Over,
            (_, now) => {
                now.fail(Fault::Lost);
                return Err(Malformed);
            }
        })
    }

    /// The next part of the request's body, all that is here. Waits for the client: that time is not the
    /// application's.
    fn feed(&mut self, request: &mut Request, revoker: Option<&Revoker>) -> Result<(), Malformed> {
        let mut gathered = 0;
        let mut next = match &mut request.body {
            RequestBody::Stream(body) => match (body.try_read(), revoker) {
                (Some(part), _) => part,
                (None, Some(revoker)) => revoker.while_waiting(|| body.read()),
                (None, None) => body.read(),
            },
            RequestBody::Empty | RequestBody::Whole(_) => Ok(None),
        };
        let mut parts = Vec::new();
        let end = loop {
            match next {
                Ok(Some(part)) => {
                    gathered += part.len();
                    parts.push(part);
                }
                Ok(None) if parts.is_empty() => break Some(Ok(())),
                Err(error) if parts.is_empty() => break Some(Err(error)),
                // Told when it is asked for next.
                Ok(None) | Err(_) => break None,
            }
            let RequestBody::Stream(body) = &mut request.body else { break None };
            next = match body.try_read() {
                Some(part @ Ok(Some(_))) if gathered < GATHERED => part,
                Some(Ok(Some(part))) => {
                    parts.push(part);
                    break None;
                }
                _ => break None,
            };
        };
        match end {
            None => self.outbox.put(down::BODY, Some(join(parts)), |_| ()),
            Some(Ok(())) => self.outbox.put(down::BODY_END, None, |_| ()),
            Some(Err(error)) => {
                self.outbox.put(down::BODY_FAILED, None, |out| codec::put_body_error(out, &error));
            }
        }
        // A worker that is gone: the next read finds that.
        let _ = self.outbox.flush(&self.lane.socket, Wait::Until(0));
        Ok(())
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => parts.concat().into(),
    }
}

/// Passes a part on, waiting for room. An error: nobody reads it.
fn pass_on(body: &mut ReplyBody, part: Bytes) -> Result<(), Loss> {
    let sent = match body.try_send(part) {
        Ok(()) => return Ok(()),
        Err(Unsent::NoReader(why)) => Err(why),
        Err(Unsent::Full(part)) => body.send(part),
    };
    sent.map_err(loss)
}

fn loss(why: NoReader) -> Loss {
    match why {
        NoReader::Discarded => Loss::Discarded,
        NoReader::ClientGone => Loss::Gone,
        NoReader::Revoked => Loss::Revoked,
    }
}

/// How far a reply has come.
enum Progress {
    /// Nothing has come from the worker.
    Nothing(Reply),
    /// It has the request.
    Waiting(Reply),
    Sending(ReplyBody),
    Over,
}

impl Progress {
    fn touched(self) -> Self {
        match self {
            Self::Nothing(reply) => Self::Waiting(reply),
            other => other,
        }
    }

    fn has_begun(&self) -> bool {
        matches!(self, Self::Sending(_) | Self::Over)
    }

    fn fail(self, fault: Fault) {
        match self {
            Self::Nothing(reply) | Self::Waiting(reply) => reply.fail(fault),
            Self::Sending(body) => body.fail(fault),
            Self::Over => {}
        }
    }

    fn loss(&self) -> Option<Loss> {
        match self {
            Self::Nothing(reply) | Self::Waiting(reply) if reply.is_revoked() => Some(Loss::Revoked),
            Self::Nothing(reply) | Self::Waiting(reply) => (!reply.is_wanted()).then_some(Loss::Gone),
            Self::Sending(body) => body.reader().err().map(loss),
            Self::Over => None,
        }
    }
}

impl Application for Relay {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        let mut next = Some(first);
        while let Some(exchange) = next {
            match self.carry(exchange, line) {
                Ok(()) => next = line.next(),
                Err(broken) => {
                    self.footing = Footing::Lost;
                    // Nothing more can be heard from the thread there, and nobody would tell it to end.
                    self.worker.kill();
                    if let Broken::Undelivered(exchange) = broken {
                        line.give_back(exchange);
                    }
                    return;
                }
            }
        }
    }

    fn can_serve(&self) -> bool {
        self.footing == Footing::Sound
    }

    fn thread(&self) -> Thread {
        Thread { identifier: self.lane.number, state: u64::from(self.worker.pid().unsigned_abs()) }
    }

    fn end(self) -> Ended {
        if self.post == Post::Home && self.footing == Footing::Sound {
            self.worker.dismiss();
        }
        self.worker.close(&self.lane);
        if self.post == Post::Home {
            // What is not gone in time is killed: the supervisor sees to that.
            self.worker.wait();
        }
        Ended::Cleanly
    }
}
