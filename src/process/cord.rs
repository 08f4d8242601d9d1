//! A cord: orders to a process and its words, on one socket for its whole life. Few and small, so in JSON.
//!
//! When it is cut, the other end is gone: a server knows that a process has ended, a process that it is an orphan.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frames, Lost};
use super::outbox::{Outbox, Wait};

/// The kinds of its frames: without a descriptor, or with some.
const SAID: u8 = 0;
const HANDED: u8 = 1;

/// The end that speaks. Any thread may.
#[derive(Debug)]
pub struct Cord {
    socket: UnixStream,
    outbox: Mutex<Outbox>,
}

impl Cord {
    /// Its two ends here: one that speaks, one that hears.
    pub fn new(socket: UnixStream) -> io::Result<(Self, Ear)> {
        let heard = socket.try_clone()?;
        let cord = Self { socket, outbox: Mutex::default() };
        Ok((cord, Ear { socket: heard, frames: Frames::with_files() }))
    }

    /// Says it, with a descriptor. An error: the other end is gone.
    pub fn say(&self, what: &impl Serialize, file: Option<OwnedFd>) -> io::Result<()> {
        self.hand(what, file)
    }

    /// Says it, with descriptors: [`Ear::hear`] gives the first, [`Ear::file`] the others.
    pub(super) fn hand(
        &self,
        what: &impl Serialize,
        files: impl IntoIterator<Item = OwnedFd>,
    ) -> io::Result<()> {
        let mut files = files.into_iter().peekable();
        let text = serde_json::to_vec(what)?;
        let mut outbox = self.outbox.lock();
        let kind = if files.peek().is_some() { HANDED } else { SAID };
        outbox.put(kind, Some(text.into()), |_| ());
        files.for_each(|file| outbox.attach(file));
        outbox.flush(&self.socket, Wait::Until(0))?;
        Ok(())
    }

    /// Cuts it: both ends hear of it.
    pub fn cut(&self) {
        // It is cut already, then.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// The end that hears.
#[derive(Debug)]
pub struct Ear {
    socket: UnixStream,
    frames: Frames,
}

impl Ear {
    /// What is said next, and its descriptor. `None`: the other end is gone, or talks nonsense. Blocks.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Option<(T, Option<OwnedFd>)> {
        let frame = match self.frames.next(&self.socket) {
            Ok(frame) => frame,
            Err(Lost::Closed | Lost::Unread | Lost::Broken(_)) => return None,
        };
        let heard = serde_json::from_slice(&frame.contents).ok()?;
        let file = if frame.kind == HANDED { self.frames.file() } else { None };
        Some((heard, file))
    }

    /// The next descriptor that came with what was heard last.
    pub(super) fn file(&mut self) -> Option<OwnedFd> {
        self.frames.file()
    }

    /// To wait for more with others.
    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }
}
