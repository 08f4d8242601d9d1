//! Frames on their way out: gathered, then written by one call.
//!
//! Owns what was not written yet. Small contents are copied together; large ones are written from where they lie.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bytes::{BufMut as _, Bytes};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

use super::frame::{FILES, HEAD};

/// Bytes of contents that are copied at most. 16 KiB: a copy costs less than a second vector of a write.
const COPIED: usize = 16 * 1024;

/// Vectors of one write at most (IOV_MAX is 1,024).
const VECTORS: usize = 64;

/// A socket whose reader is gone must not end the process, whatever the application has made of SIGPIPE.
#[cfg(not(target_vendor = "apple"))]
const QUIETLY: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const QUIETLY: SendFlags = SendFlags::empty();

/// Whether a write may wait for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Never,
    /// Until no more than this many bytes are left.
    Until(usize),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The socket is full.
    Some,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Before `gathered`.
    parts: VecDeque<Bytes>,
    gathered: Vec<u8>,
    /// Bytes of the first of them that are written.
    done: usize,
    /// Bytes of all of them that are not.
    waiting: usize,
    /// They go with the next byte.
    files: Vec<OwnedFd>,
}

impl Outbox {
    /// Adds a frame whose contents `write` makes, followed by `rest`.
    pub(super) fn put(&mut self, kind: u8, rest: Option<Bytes>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.gathered.len();
        self.gathered.put_u32_le(0);
        self.gathered.put_u8(kind);
        write(&mut self.gathered);
        let rest = rest.unwrap_or_default();
        let length = self.gathered.len() - start - HEAD + rest.len();
        if let Some(head) = self.gathered.get_mut(start..start + 4) {
            head.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        self.waiting += HEAD + length;
        if rest.len() > COPIED {
            self.parts.push_back(std::mem::take(&mut self.gathered).into());
            self.parts.push_back(rest);
        } else {
            self.gathered.extend_from_slice(&rest);
        }
    }

    /// A descriptor for the frame that was put last.
    pub(super) fn attach(&mut self, file: OwnedFd) {
        self.files.push(file);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Writes. What an error leaves is lost.
    pub(super) fn flush(&mut self, socket: impl AsFd, wait: Wait) -> Result<Written, Errno> {
        while self.waiting > 0 {
            let flags = match wait {
                Wait::Until(left) if self.waiting <= left => return Ok(Written::Some),
                Wait::Until(_) => QUIETLY,
                Wait::Never => QUIETLY | SendFlags::DONTWAIT,
            };
            match self.write(&socket, flags) {
                Ok(length) => self.advance(length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Written::Some),
                Err(error) => {
                    *self = Self::default();
                    return Err(error);
                }
            }
        }
        Ok(Written::All)
    }

    fn write(&mut self, socket: &impl AsFd, flags: SendFlags) -> Result<usize, Errno> {
        if self.parts.is_empty() && self.files.is_empty() {
            return send(socket, self.gathered.get(self.done..).unwrap_or_default(), flags);
        }
        let parts = self.parts.iter().map(|part| &part[..]).chain([&self.gathered[..]]).take(VECTORS);
        let mut vectors: Vec<_> = parts.map(IoSlice::new).collect();
        let mut left = &mut vectors[..];
        IoSlice::advance_slices(&mut left, self.done);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let passed: Vec<_> = self.files.iter().map(|file| file.as_fd()).collect();
        if !passed.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&passed));
        }
        let length = sendmsg(socket, left, &mut control, flags)?;
        self.files.clear();
        Ok(length)
    }

    fn advance(&mut self, length: usize) {
        self.waiting -= length;
        self.done += length;
        while let Some(part) = self.parts.front().filter(|part| part.len() <= self.done) {
            self.done -= part.len();
            self.parts.pop_front();
        }
        if self.waiting == 0 {
            self.gathered.clear();
            self.done = 0;
        }
    }
}
