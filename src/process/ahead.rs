//! Requests that are sent to a worker ahead: whose each of them is, and how the server hears that they are done.
//!
//! A pipe holds a token for each. Whoever reads one has a request: the worker the one that it comes to next, the server
//! the last one. The kernel gives a token once, also when a process is killed. Another pipe is a bell: a reply alone
//! wakes nobody while others follow, which the worker ends by ringing, and the server by looking again.

use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

use super::frame::again;

/// Requests ahead at most. 32: the batch at which the cost of the hand-over stops falling, as in [`crate::bell`].
pub(super) const MOST: usize = 32;

/// When the server looks again, unrung. 1 ms: as the reactor does, so that no finished reply waits longer behind a slow
/// request.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// The server's ends.
#[derive(Debug)]
pub(super) struct Ahead {
    tokens: PipeReader,
    giving: PipeWriter,
    bell: PipeReader,
}

/// A worker's ends.
#[derive(Debug)]
pub(super) struct Behind {
    tokens: OwnedFd,
    bell: OwnedFd,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    Rung,
    TimeUp,
}

impl Ahead {
    pub(super) fn new() -> io::Result<(Self, Behind)> {
        let (tokens, giving) = pipe()?;
        let (bell, ringing) = pipe()?;
        for end in [tokens.as_fd(), bell.as_fd(), ringing.as_fd()] {
            ioctl_fionbio(end, true)?;
        }
        let theirs = Behind { tokens: tokens.try_clone()?.into(), bell: ringing.into() };
        Ok((Self { tokens, giving, bell }, theirs))
    }

    /// So many requests will be the worker's when it comes to them. Never blocks: a pipe holds more than [`MOST`].
    pub(super) fn give(&self, count: usize) -> Result<(), Errno> {
        let tokens = [0; MOST + 1];
        again(|| write(&self.giving, tokens.get(..count).unwrap_or(&tokens))).map(drop)
    }

    /// Takes back the last requests, so many at most. Returns how many: the worker has come to the others.
    pub(super) fn take_back(&self, most: usize) -> usize {
        let mut tokens = [0; MOST + 1];
        let most = most.min(tokens.len());
        // Empty: all are the worker's.
        again(|| read(&self.tokens, tokens.get_mut(..most).unwrap_or_default())).unwrap_or(0)
    }

    /// Waits until the worker rings, or is gone, or it is time to look at the lane all the same. Blocks.
    pub(super) fn wait(&self, lane: &impl AsFd) -> Woken {
        let mut awaited = [PollFd::new(&self.bell, PollFlags::IN), PollFd::new(lane, PollFlags::empty())];
        // Should it fail: a look more than was needed does no harm.
        if poll(&mut awaited, Some(&LOOK_AGAIN)) == Ok(0) {
            return Woken::TimeUp;
        }
        if awaited.first().is_some_and(|bell| bell.revents().contains(PollFlags::IN)) {
            let mut rings = [0; 16];
            let _ = read(&self.bell, &mut rings);
        }
        Woken::Rung
    }
}

impl Behind {
    /// From descriptors that were handed over in the order of [`Behind::ends`].
    pub(super) fn from_ends(tokens: OwnedFd, bell: OwnedFd) -> Self {
        Self { tokens, bell }
    }

    pub(super) fn ends(self) -> [OwnedFd; 2] {
        [self.tokens, self.bell]
    }

    /// Whether the request that this thread has come to is its own. Else the server has taken it back.
    pub(super) fn claims(&self) -> bool {
        again(|| read(&self.tokens, &mut [0; 1])) == Ok(1)
    }

    /// Wakes the server's thread at this lane. Never blocks: it is awake when it has not heard so many rings.
    pub(super) fn ring(&self) {
        let _ = again(|| write(&self.bell, &[0]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ahead_is_claimed_or_taken_back_and_never_both() {
        let (ours, theirs) = Ahead::new().unwrap();
        assert!(!theirs.claims());
        ours.give(4).unwrap();
        assert!(theirs.claims());
        assert_eq!(ours.take_back(2), 2);
        assert!(theirs.claims());
        assert_eq!(ours.take_back(MOST), 0);
        assert!(!theirs.claims());
        ours.give(MOST + 1).unwrap();
        assert_eq!(ours.take_back(usize::MAX), MOST + 1);
    }

    #[test]
    fn a_ring_is_heard_once() {
        let (ours, theirs) = Ahead::new().unwrap();
        let (lane, other) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.ring();
        theirs.ring();
        assert_eq!(ours.wait(&lane), Woken::Rung);
        assert_eq!(ours.wait(&lane), Woken::TimeUp);
        drop(other);
        assert_eq!(ours.wait(&lane), Woken::Rung);
    }
}
