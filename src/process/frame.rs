//! Frames on a stream socket: a length, a kind, that many bytes, and descriptors beside them (`SCM_RIGHTS`).
//!
//! Owns the reading. A small frame is copied out of one buffer that many of them may have come into by one read; a
//! large one is read to where it stays.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};

/// Bytes before the contents: their length in four, and a kind.
pub(super) const HEAD: usize = 5;

/// Bytes that are read at once. 64 KiB: a request or a reply with all but the largest pages.
const BUFFER: usize = 64 * 1024;

/// Bytes of a frame at most. 1 GiB: above whatever is sent; what is more was never meant as a length.
const MOST: usize = 1 << 30;

/// Descriptors that come with one read at most.
pub(super) const FILES: usize = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) contents: Bytes,
}

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The other end was closed.
    #[error("closed")]
    Closed,
    /// It was closed before it read what was sent last.
    #[error("closed before it read what was sent")]
    Unread,
    #[error("{0}")]
    Broken(io::Error),
}

impl From<Errno> for Lost {
    fn from(error: Errno) -> Self {
        match error {
            Errno::CONNRESET | Errno::PIPE => Self::Unread,
            other => Self::Broken(other.into()),
        }
    }
}

/// What has been read of a socket.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Where in it what was read begins and ends.
    start: usize,
    end: usize,
    files: Files,
}

/// Descriptors that have come.
#[derive(Debug)]
enum Files {
    /// None ever do.
    Unexpected,
    Kept(VecDeque<OwnedFd>),
}

impl Frames {
    /// Of a socket on which no descriptors come: what would come is closed.
    pub(super) fn bare() -> Self {
        Self { buffer: vec![0; BUFFER], start: 0, end: 0, files: Files::Unexpected }
    }

    pub(super) fn with_files() -> Self {
        Self { files: Files::Kept(VecDeque::new()), ..Self::bare() }
    }

    /// The descriptor that came first of those that nobody took.
    pub(super) fn file(&mut self) -> Option<OwnedFd> {
        match &mut self.files {
            Files::Unexpected => None,
            Files::Kept(files) => files.pop_front(),
        }
    }

    /// Whether the next frame is here already.
    pub(super) fn has_next(&self) -> bool {
        self.head().is_some_and(|(_, length)| HEAD + length <= self.end - self.start)
    }

    /// The next frame that is here already.
    pub(super) fn ready(&mut self) -> Option<Frame> {
        let (kind, length) = self.head()?;
        let contents = self.buffer.get(self.start + HEAD..self.end)?.get(..length)?;
        let frame = Frame { kind, contents: Bytes::copy_from_slice(contents) };
        self.start += HEAD + length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Some(frame)
    }

    /// The next frame. Blocks.
    pub(super) fn next(&mut self, socket: impl AsFd) -> Result<Frame, Lost> {
        loop {
            if let Some(frame) = self.ready() {
                return Ok(frame);
            }
            match self.head() {
                Some((_, length)) if length > MOST => {
                    return Err(Lost::Broken(io::Error::from(io::ErrorKind::InvalidData)));
                }
                Some((kind, length)) if HEAD + length > self.buffer.len() => {
                    return self.large(&socket, kind, length);
                }
                _ => self.fill(&socket, RecvFlags::empty())?,
            }
        }
    }

    /// Kind and length of the frame that is here in part at least.
    fn head(&self) -> Option<(u8, usize)> {
        let head: [u8; HEAD] = self.buffer.get(self.start..self.end)?.get(..HEAD)?.try_into().ok()?;
        let [a, b, c, d, kind] = head;
        Some((kind, usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?))
    }

    /// Whether the frame that comes next is read to where it stays: [`Frames::next`] does that.
    pub(super) fn is_large(&self) -> bool {
        self.head().is_some_and(|(_, length)| HEAD + length > self.buffer.len())
    }

    /// Reads what has come, without waiting. False: nothing has.
    pub(super) fn look(&mut self, socket: impl AsFd) -> Result<bool, Lost> {
        match self.fill(&socket, RecvFlags::DONTWAIT) {
            Ok(()) => Ok(true),
            Err(Lost::Broken(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(lost) => Err(lost),
        }
    }

    fn fill(&mut self, socket: &impl AsFd, flags: RecvFlags) -> Result<(), Lost> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let Some(room) = self.buffer.get_mut(self.end..) else { return Err(Lost::Closed) };
        let length = match &mut self.files {
            Files::Unexpected => again(|| recv(socket, &mut *room, flags).map(|(_, got)| got))?,
            Files::Kept(files) => again(|| with_files(socket, room, files, flags))?,
        };
        if length == 0 {
            return Err(Lost::Closed);
        }
        self.end += length;
        Ok(())
    }

    /// A frame that has no room in the buffer. No more than it is read: what comes after it may have descriptors.
    fn large(&mut self, socket: &impl AsFd, kind: u8, length: usize) -> Result<Frame, Lost> {
        let here = self.buffer.get(self.start + HEAD..self.end).unwrap_or_default();
        let mut filled = here.len();
        let mut contents = Vec::with_capacity(length);
        contents.extend_from_slice(here);
        contents.resize(length, 0);
        (self.start, self.end) = (0, 0);
        while let Some(room) = contents.get_mut(filled..).filter(|room| !room.is_empty()) {
            match again(|| recv(socket, &mut *room, RecvFlags::empty()).map(|(_, got)| got))? {
                0 => return Err(Lost::Closed),
                got => filled += got,
            }
        }
        Ok(Frame { kind, contents: contents.into() })
    }
}

fn with_files(
    socket: &impl AsFd,
    room: &mut [u8],
    files: &mut VecDeque<OwnedFd>,
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(room)], &mut control, FLAGS | flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            files.extend(passed.inspect(close_on_exec));
        }
    }
    Ok(received.bytes)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FLAGS: RecvFlags = RecvFlags::empty();

/// Where the kernel does not do it as it passes one on.
fn close_on_exec(file: &OwnedFd) {
    if FLAGS.is_empty() {
        // Should it fail, a program that the application starts has one descriptor more.
        let _ = rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC);
    }
}

/// Once more when a signal came between.
pub(super) fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
