//! A part of a file as a response's body.
//!
//! What the kernel has in memory is copied at once; the disk is waited for on tokio's blocking threads, never
//! on the reactor's. One piece at a time: a client that reads slowly costs one piece of memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use tokio::task::JoinHandle;

use crate::exchange::FileRange;

/// Bytes read at once from the disk. 256 KiB: the hop to another thread and back is then below a tenth of the
/// copying.
const PIECE: u64 = 256 * 1024;

/// Bytes copied at once from memory. 64 KiB: some 10 µs, for which the reactor can spare other connections.
const CACHED_PIECE: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct FilePieces {
    file: Arc<std::fs::File>,
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

    /// The next piece. `None` when the file ended before the range did.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        if self.reading.is_none()
            && let Some(piece) = read_cached(&self.file, self.offset, self.left.min(CACHED_PIECE))
        {
            return Poll::Ready(Ok(Some(self.advance(piece))));
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
        Poll::Ready(Ok(Some(self.advance(piece))))
    }

    fn advance(&mut self, piece: Bytes) -> Bytes {
        self.offset += piece.len() as u64;
        self.left -= piece.len() as u64;
        piece
    }
}

/// What can be read without waiting for a disk, if anything. Measured with a file of 20 KB: half the
/// CPU of a hop to another thread.
#[cfg(target_os = "linux")]
fn read_cached(file: &std::fs::File, offset: u64, length: u64) -> Option<Bytes> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut piece = vec![0; usize::try_from(length).ok()?];
    let read = preadv2(file, &mut [io::IoSliceMut::new(&mut piece)], offset, ReadWriteFlags::NOWAIT).ok()?;
    piece.truncate(read);
    (read > 0).then(|| Bytes::from(piece))
}

/// Linux alone can tell.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &std::fs::File, _: u64, _: u64) -> Option<Bytes> {
    None
}

fn read_at(file: &std::fs::File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    loop {
        match rustix::io::pread(file, spare_capacity(&mut piece), offset) {
            Ok(_) => return Ok(Bytes::from(piece)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
