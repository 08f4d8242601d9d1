//! A part of a file as a response's body.
//!
//! Of a large file, what the kernel has in memory goes from there to the socket by sendfile(2); of a small one it is
//! copied, and leaves together with the head. The disk is waited for on tokio's blocking threads, never on the
//! reactor's. One piece at a time: a client that reads slowly costs one piece of memory.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use tokio::task::JoinHandle;

use super::aside::{Aside, Piece, WINDOW, Window};
use crate::exchange::FileRange;

/// Bytes read at once from the disk. 256 KiB: the hop to another thread and back is then below a tenth of the
/// copying.
const PIECE: u64 = 256 * 1024;

/// Bytes copied at once from memory. 64 KiB: some 10 µs, for which the reactor can spare other connections.
const CACHED_PIECE: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct FilePieces {
    file: Arc<File>,
    offset: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePieces {
    pub(super) fn new(range: FileRange) -> Self {
        Self { file: Arc::new(range.file), offset: range.offset, left: range.length, reading: None }
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Nothing beyond the next `bytes` is sent.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.left = self.left.min(bytes);
    }

    /// The next piece. `None` when the file ended before the range did.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        aside: &Aside,
    ) -> Poll<io::Result<Option<Piece>>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        if self.reading.is_none() {
            if let Some(window) = self.cached_window() {
                let length = window.left;
                aside.open(window);
                self.advance(length);
                return Poll::Ready(Ok(Some(Piece::Window(length))));
            }
            if let Some(piece) = read_cached(&self.file, self.offset, self.left.min(CACHED_PIECE)) {
                self.advance(piece.len());
                return Poll::Ready(Ok(Some(Piece::Bytes(piece))));
            }
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (file, offset, length) = (Arc::clone(&self.file), self.offset, self.left.min(PIECE));
            tokio::task::spawn_blocking(move || read_at(&file, offset, length))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let piece = read.map_err(io::Error::other)??;
        if piece.is_empty() {
            return Poll::Ready(Ok(None));
        }
        self.advance(piece.len());
        Poll::Ready(Ok(Some(Piece::Bytes(piece))))
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.left -= bytes as u64;
    }

    /// What can be sent from the kernel's memory, if it is worth it and there. sendfile(2) would wait for a disk:
    /// the ends of the window tell whether it must, since the kernel reads and forgets files in larger parts.
    fn cached_window(&self) -> Option<Window> {
        if self.left <= CACHED_PIECE {
            return None;
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX).min(WINDOW);
        let ends = [self.offset, self.offset + left as u64 - 1];
        ends.into_iter().all(|at| is_cached(&self.file, at)).then(|| Window {
            file: Arc::clone(&self.file),
            offset: self.offset,
            left,
        })
    }
}

/// What can be read without waiting for a disk, if anything. Measured with a file of 20 KB: half the
/// CPU of a hop to another thread.
fn read_cached(file: &File, offset: u64, length: u64) -> Option<Bytes> {
    let mut piece = vec![0; usize::try_from(length).ok()?];
    let read = read_nowait(file, offset, &mut piece)?;
    piece.truncate(read);
    (read > 0).then(|| Bytes::from(piece))
}

fn is_cached(file: &File, at: u64) -> bool {
    read_nowait(file, at, &mut [0]) == Some(1)
}

#[cfg(target_os = "linux")]
fn read_nowait(file: &File, offset: u64, into: &mut [u8]) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT).ok()
}

/// Linux alone can tell.
#[cfg(not(target_os = "linux"))]
fn read_nowait(_: &File, _: u64, _: &mut [u8]) -> Option<usize> {
    None
}

/// Sends some of a window on a socket without waiting; the kernel copies nothing through this process.
#[cfg(target_os = "linux")]
pub(super) fn send_file(socket: impl AsFd, window: &Window) -> io::Result<usize> {
    let mut offset = window.offset;
    match rustix::fs::sendfile(socket, &window.file, Some(&mut offset), window.left) {
        Ok(0) => Err(shrunk()),
        Ok(sent) => Ok(sent),
        Err(error) => Err(error.into()),
    }
}

/// Only Linux tells what is in memory, so no window is ever opened elsewhere.
#[cfg(not(target_os = "linux"))]
pub(super) fn send_file(_: impl AsFd, _: &Window) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Some bytes of a window, for a file system that sendfile(2) does not serve.
pub(super) fn read_window(window: &Window) -> io::Result<Bytes> {
    let length = (window.left as u64).min(CACHED_PIECE);
    let piece = read_at(&window.file, window.offset, length)?;
    if piece.is_empty() { Err(shrunk()) } else { Ok(piece) }
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was being sent")
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    loop {
        match rustix::io::pread(file, spare_capacity(&mut piece), offset) {
            Ok(_) => return Ok(Bytes::from(piece)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
