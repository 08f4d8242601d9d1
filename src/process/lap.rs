//! The requests that a worker's thread has at one time, as the server knows them, and how far their replies have come.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::codec::{self, Malformed, down};
use super::frame::Lost;
use super::outbox::Outbox;
use super::words::Loss;
use crate::application::Line;
use crate::exchange::{Exchange, Fault, NoReader, Reply, ReplyBody, Request, RequestBody, Revoker, Unsent};

/// Bytes of a request's body that one answer to a worker holds at most, but for the last part. 256 KiB: what the
/// channel before it holds.
const GATHERED: usize = 256 * 1024;

/// The request that the thread has come to.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) request: Box<Request>,
    pub(super) revoker: Option<Revoker>,
    pub(super) progress: Progress,
    pub(super) since: Instant,
}

impl Hand {
    fn new(Exchange { request, reply }: Exchange, since: Instant) -> Self {
        let revoker = match &request.body {
            RequestBody::Stream(_) => reply.revoker(),
            RequestBody::Empty | RequestBody::Whole(_) => None,
        };
        Self { request, revoker, progress: Progress::Nothing(reply), since }
    }
}

/// How they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// One, which is the worker's as soon as it reads it.
    Alone,
    /// With a token each.
    Several,
}

/// Requests that were sent at once.
#[derive(Debug)]
pub(super) struct Lap {
    /// None: the worker has come to the end, but for what it is to skip.
    pub(super) hand: Option<Hand>,
    /// Those that it has not come to, as far as is known.
    ahead: VecDeque<Exchange>,
    sent: Sent,
    /// Taken back, and not skipped yet.
    skips: usize,
    finished: usize,
}

impl Lap {
    /// Whether others may be sent with it: its body is here.
    pub(super) fn may_lead(first: &Exchange) -> bool {
        match &first.request.body {
            RequestBody::Empty => true,
            RequestBody::Whole(body) => body.len() <= super::relay::AT_ONCE,
            RequestBody::Stream(_) => false,
        }
    }

    pub(super) fn new(first: Exchange, ahead: Vec<Exchange>) -> Self {
        let sent = if ahead.is_empty() { Sent::Alone } else { Sent::Several };
        let hand = Some(Hand::new(first, Instant::now()));
        Self { hand, ahead: ahead.into(), sent, skips: 0, finished: 0 }
    }

    pub(super) fn sent(&self) -> Sent {
        self.sent
    }

    /// All of them, with their bodies as far as they are here.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&Request, Option<Bytes>)> {
        let first = self.hand.iter().map(|hand| &*hand.request);
        let requests = first.chain(self.ahead.iter().map(|exchange| &*exchange.request));
        requests.map(|request| match &request.body {
            RequestBody::Whole(bytes) => (request, Some(bytes.clone())),
            RequestBody::Empty | RequestBody::Stream(_) => (request, None),
        })
    }

    /// The first so many go, the others back.
    pub(super) fn keep(&mut self, count: usize, line: &mut dyn Line) {
        while self.ahead.len() + 1 > count
            && let Some(exchange) = self.ahead.pop_back()
        {
            line.take_back(exchange);
        }
    }

    /// Whether there are any but the one in hand.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }

    pub(super) fn more(&self) -> usize {
        self.ahead.len()
    }

    pub(super) fn is_over(&self) -> bool {
        self.hand.is_none() && self.skips == 0
    }

    /// Whether there is something for the front end to read.
    pub(super) fn has_news(&self) -> bool {
        self.finished > 0 || self.hand.as_ref().is_some_and(|hand| hand.progress.has_begun())
    }

    /// Whether a part of the reply to the one in hand has come, and more is to come.
    pub(super) fn is_streaming(&self) -> bool {
        self.hand.as_ref().is_some_and(|hand| matches!(hand.progress, Progress::Sending(_)))
    }

    /// The one in hand was done with, and the thread has come to the next. False: that was the last.
    pub(super) fn proceed(&mut self, at: Instant, line: &mut dyn Line) -> bool {
        self.finished += 1;
        let Some(next) = self.ahead.pop_front() else { return false };
        if let Some(service) = line.proceed(at) {
            next.reply.served_by(service);
        }
        self.hand = Some(Hand::new(next, at));
        true
    }

    /// The last so many are the server's again.
    pub(super) fn take_back(&mut self, count: usize, line: &mut dyn Line) {
        self.skips += count;
        self.ahead
            .drain(self.ahead.len().saturating_sub(count)..)
            .rev()
            .for_each(|back| line.take_back(back));
    }

    /// The worker has come to one that was taken back.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        self.skips = self.skips.checked_sub(1).ok_or(Malformed)?;
        Ok(())
    }

    /// It is gone: the last `unclaimed` are given back, and what it had is lost.
    pub(super) fn give_up(mut self, unclaimed: usize, line: &mut dyn Line) {
        let behind = unclaimed.min(self.ahead.len());
        self.ahead.drain(self.ahead.len() - behind..).rev().for_each(|back| line.take_back(back));
        let is_untouched = unclaimed > behind && self.ahead.is_empty();
        self.ahead.drain(..).for_each(|lost| lost.reply.fail(Fault::Lost));
        match self.hand {
            Some(Hand { request, progress: Progress::Nothing(reply), .. }) if is_untouched => {
                line.give_back(Exchange { request, reply });
            }
            Some(hand) => hand.progress.fail(Fault::Lost),
            None => {}
        }
    }
}

impl From<Malformed> for Lost {
    fn from(_: Malformed) -> Self {
        Self::Broken(std::io::ErrorKind::InvalidData.into())
    }
}

/// The next part of the request's body, all that is here. Waits for the client: that time is not the
/// application's.
pub(super) fn feed(request: &mut Request, revoker: Option<&Revoker>, outbox: &mut Outbox) {
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
        None => outbox.put(down::BODY, Some(join(parts)), |_| ()),
        Some(Ok(())) => outbox.put(down::BODY_END, None, |_| ()),
        Some(Err(error)) => {
            outbox.put(down::BODY_FAILED, None, |out| codec::put_body_error(out, &error));
        }
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => parts.concat().into(),
    }
}

/// Passes a part on, waiting for room. An error: nobody reads it.
pub(super) fn pass_on(body: &mut ReplyBody, part: Bytes) -> Result<(), Loss> {
    let sent = match body.try_send(part) {
        Ok(()) => return Ok(()),
        Err(Unsent::NoReader(why)) => Err(why),
        Err(Unsent::Full(part)) => body.send(part),
    };
    sent.map_err(loss)
}

pub(super) fn loss(why: NoReader) -> Loss {
    match why {
        NoReader::Discarded => Loss::Discarded,
        NoReader::ClientGone => Loss::Gone,
        NoReader::Revoked => Loss::Revoked,
    }
}

/// How far a reply has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing has come from the worker.
    Nothing(Reply),
    /// It has the request.
    Waiting(Reply),
    Sending(ReplyBody),
    Over,
}

impl Progress {
    pub(super) fn touched(self) -> Self {
        match self {
            Self::Nothing(reply) => Self::Waiting(reply),
            other => other,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        matches!(self, Self::Sending(_) | Self::Over)
    }

    pub(super) fn fail(self, fault: Fault) {
        match self {
            Self::Nothing(reply) | Self::Waiting(reply) => reply.fail(fault),
            Self::Sending(body) => body.fail(fault),
            Self::Over => {}
        }
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        match self {
            Self::Nothing(reply) | Self::Waiting(reply) if reply.is_revoked() => Some(Loss::Revoked),
            Self::Nothing(reply) | Self::Waiting(reply) => (!reply.is_wanted()).then_some(Loss::Gone),
            Self::Sending(body) => body.reader().err().map(loss),
            Self::Over => None,
        }
    }
}
