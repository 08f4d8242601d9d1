//! A part of a file as a response's body.
//!
//! Reads on tokio's blocking threads, never on the reactor's, one piece ahead of nothing: a client that reads
//! slowly costs one piece of memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use tokio::task::JoinHandle;

use crate::exchange::FileRange;

/// Bytes read at once. 256 KiB: the hop to another thread and back is then below a tenth of the copying.
const PIECE: u64 = 256 * 1024;

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
        self.offset += piece.len() as u64;
        self.left -= piece.len() as u64;
        Poll::Ready(Ok(Some(piece)))
    }
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
