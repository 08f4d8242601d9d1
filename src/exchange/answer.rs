//! The reactor's end of a reply: its head, then its body as it comes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::Fault;
use super::reply::{Interest, ROOM, Response, ResponseBody, Slot, Start, Witness};

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No worker took the request: its client left, or the queue was given up.
    NeverTaken,
    Failed(Fault),
}

/// The reactor's end of a reply. Dropped: the client is gone.
#[derive(Debug)]
pub struct Answer {
    pub(super) slot: Arc<Slot>,
}

impl Answer {
    /// Waits for the response's head, and passes on what is hinted before it. A request that no worker has taken
    /// is given up once `left` says that its client is gone; `left` is asked each time the task is polled.
    pub async fn response(
        self,
        left: impl Fn() -> bool,
        hint: impl Fn(&HeaderMap),
    ) -> Result<Response, Missing> {
        let (head, start) = poll_fn(|context| {
            let mut state = self.slot.state.lock();
            state.hints.drain(..).for_each(|headers| hint(&headers));
            match state.head.take() {
                Some(Ok((head, start))) => Poll::Ready(Ok((head, state.gather(start)))),
                Some(Err(Fault::Server(_))) if !self.is_taken() => Poll::Ready(Err(Missing::NeverTaken)),
                Some(Err(fault)) => Poll::Ready(Err(Missing::Failed(fault))),
                None if !self.is_taken() && left() => Poll::Ready(Err(Missing::NeverTaken)),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        let body = match start {
            Start::Whole(bytes) => ResponseBody::Whole(bytes),
            Start::File(file) => ResponseBody::File(file),
            Start::Stream => ResponseBody::Stream(ChunkReader { answer: self }),
        };
        Ok(Response { head, body })
    }

    /// Whom to ask who served it, later.
    #[must_use]
    pub fn witness(&self) -> Witness {
        Witness { slot: Arc::clone(&self.slot) }
    }

    fn is_taken(&self) -> bool {
        self.slot.taken.load(Ordering::Relaxed)
    }

    /// Nobody wants this answer any more, though the connection may live on.
    pub fn abandon(&self) {
        self.slot.lose(Interest::Gone);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // What is discarded has lost its reader in good order.
        if self.slot.interest() == Interest::Wanted {
            self.abandon();
        }
    }
}

/// The reactor's end of a streamed body. Dropped: the client is gone.
#[derive(Debug)]
pub struct ChunkReader {
    answer: Answer,
}

impl ChunkReader {
    /// The response has no body: what is sent of one is thrown away.
    pub fn discard(self) {
        self.answer.slot.lose(Interest::Discarded);
    }

    /// The next chunk; `None` after a complete body; a fault when the body is broken.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let slot = &self.answer.slot;
        let mut state = slot.state.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            let was_full = state.waiting >= ROOM;
            state.waiting -= chunk.len();
            if was_full {
                slot.room.notify_all();
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(fault)) => Poll::Ready(Some(Err(fault.clone()))),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
