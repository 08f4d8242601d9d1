//! The server's side of a serving thread in a worker process: an application to whoever calls it.
//!
//! Gives requests to the worker, several at once to one that is quick, and fills their replies with what comes back. A
//! worker that is gone costs the request that it has in hand; what it never came to goes back to the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ahead::{MOST, Woken};
use super::clock::Clock;
use super::codec::{self, Malformed, down, up};
use super::frame::{Frame, Frames, Lost};
use super::lap::{Hand, Lap, Progress, Sent, feed, pass_on};
use super::outbox::{Outbox, Wait};
use super::pace::Pace;
use super::worker::{LaneEnd, Worker};
use crate::application::{Appetite, Application, Ended, Line};
use crate::census::Thread;
use crate::exchange::{Exchange, Fault, FileRange};

/// Bytes that wait in a lane before the last request of a lap is sent. 32 KiB: with that one they fit into a socket, so
/// that this thread never waits for room while the worker waits for it.
pub(super) const AT_ONCE: usize = 32 * 1024;

/// A worker's thread, here.
#[derive(Debug)]
pub struct Relay {
    worker: Arc<Worker>,
    lane: Arc<LaneEnd>,
    frames: Frames,
    outbox: Outbox,
    post: Post,
    footing: Footing,
    pace: Pace,
    clock: Clock,
    /// Requests so far.
    sent: u64,
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

impl Relay {
    pub(super) fn new(worker: Arc<Worker>, post: Post) -> std::io::Result<Self> {
        let lane = worker.lane()?;
        let (frames, outbox, footing) = (Frames::with_files(), Outbox::default(), Footing::Sound);
        let (pace, clock) = (Pace::unknown(), Clock::new());
        Ok(Self { worker, lane, frames, outbox, post, footing, pace, clock, sent: 0 })
    }

    /// Some requests, from the worker's getting them until its thread is done with them.
    fn run(&mut self, lap: &mut Lap, line: &mut dyn Line) -> Result<(), Lost> {
        self.send(lap, line)?;
        while !lap.is_over() {
            let frame = self.hear(lap, line)?;
            self.take(frame, lap, line)?;
        }
        Ok(())
    }

    fn send(&mut self, lap: &mut Lap, line: &mut dyn Line) -> Result<(), Lost> {
        let kind = if lap.sent() == Sent::Alone { down::REQUEST } else { down::AHEAD };
        let mut count = 0;
        for (request, body) in lap.requests() {
            if count > 0 && self.outbox.waiting() > AT_ONCE {
                break;
            }
            self.outbox.put(kind, body, |out| codec::put_request(out, request));
            count += 1;
        }
        lap.keep(count, line);
        self.lane.in_hand.store(self.sent + 1, Ordering::Relaxed);
        self.sent += u64::try_from(count).unwrap_or(0);
        if kind == down::AHEAD {
            self.lane.ahead.give(count)?;
        }
        self.outbox.flush(&self.lane.socket, Wait::Until(0))?;
        Ok(())
    }

    /// What the worker says next. Blocks.
    fn hear(&mut self, lap: &mut Lap, line: &mut dyn Line) -> Result<Frame, Lost> {
        loop {
            if let Some(frame) = self.frames.ready() {
                return Ok(frame);
            }
            if lap.has_news() {
                line.offered();
            }
            if !lap.has_more() || self.frames.is_large() {
                return self.frames.next(&self.lane.socket);
            }
            let woken = self.lane.ahead.wait(&self.lane.socket);
            let has_come = self.frames.look(&self.lane.socket)?;
            if woken == Woken::TimeUp && (!has_come || lap.is_streaming()) {
                // The one in hand is slow, or nobody knows how long it goes on: the others need not wait for it.
                self.take_back(lap, line);
            }
        }
    }

    fn take_back(&self, lap: &mut Lap, line: &mut dyn Line) {
        let count = self.lane.ahead.take_back(lap.more());
        lap.take_back(count, line);
    }

    /// What the worker says. What makes no sense breaks the lap off.
    fn take(&mut self, frame: Frame, lap: &mut Lap, line: &mut dyn Line) -> Result<(), Malformed> {
        if frame.kind == up::SKIPPED {
            return lap.skip();
        }
        let Hand { mut request, revoker, progress, since } = lap.hand.take().ok_or(Malformed)?;
        let progress = progress.touched();
        match frame.kind {
            up::DONE => {
                // What has no answer gets one as it is dropped.
                drop(progress);
                let (moment, took) = codec::done(frame.contents)?;
                let told = self.clock.heard(moment).ok_or(Malformed)?;
                self.pace.took(Duration::from_nanos(took));
                let at = told.min(Instant::now()).max(since);
                if lap.proceed(at, line) {
                    self.lane.in_hand.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(());
            }
            up::WANT => {
                feed(&mut request, revoker.as_ref(), &mut self.outbox);
                // A worker that is gone: the next read finds that.
                let _ = self.outbox.flush(&self.lane.socket, Wait::Until(0));
                lap.hand = Some(Hand { request, revoker, progress, since });
            }
            _ => {
                let progress = self.reply(frame, progress)?;
                lap.hand = Some(Hand { request, revoker, progress, since });
            }
        }
        Ok(())
    }

    /// What the worker says of the reply to the request in hand.
    fn reply(&mut self, frame: Frame, progress: Progress) -> Result<Progress, Malformed> {
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
}

impl Application for Relay {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        // Until it has come to its end: a panic leaves nothing to rely on.
        self.footing = Footing::Lost;
        let mut next = Some(first);
        while let Some(exchange) = next {
            let appetite = if Lap::may_lead(&exchange) { self.pace.appetite() } else { Appetite::default() };
            let ahead = line.ahead(appetite);
            let mut lap = Lap::new(exchange, ahead);
            if let Err(lost) = self.run(&mut lap, line) {
                // Before it is killed: what it has not come to by now is another's.
                let unclaimed = match (lap.sent(), lost) {
                    (Sent::Several, _) => self.lane.ahead.take_back(MOST + 1),
                    (Sent::Alone, Lost::Unread) => 1,
                    (Sent::Alone, Lost::Closed | Lost::Broken(_)) => 0,
                };
                // Nothing more can be heard from the thread there, and nobody would tell it to end.
                self.worker.kill();
                return lap.give_up(unclaimed, line);
            }
            next = line.next();
        }
        self.footing = Footing::Sound;
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
