//! A request's body from hyper to the application.
//!
//! Gathers a small body whole before a worker is bothered, so that a slow client never holds an interpreter;
//! pumps a large one through the waist's bounded channel. A client that left is not an end of the body.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::Front;
use crate::exchange::{BodyError, BodySender, RequestBody, body_channel};

/// Bodies up to this size arrive whole before a worker is asked. 64 KiB: forms and API calls; 1,000 slow
/// clients hold at most 64 MiB.
const WHOLE: usize = 64 * 1024;

/// Chunks below this size are copied, because they keep all of the buffer they were read into. 4 KiB: half
/// of hyper's smallest read buffer.
const SMALL: usize = 4 * 1024;

/// Bytes of an unread body still to come with which the connection is kept for another request. 256 KiB: costs
/// less than a new connection. With more, the answer says that the connection closes.
pub(super) const UNREAD: u64 = 256 * 1024;

/// Bytes of an unread body that are taken in: [`UNREAD`], and what may lie in our own buffers.
const DRAIN: u64 = UNREAD + 512 * 1024;

/// A body that is still coming, and where it goes.
#[derive(Debug)]
pub(super) struct Pump {
    incoming: Incoming,
    sender: BodySender,
    received: u64,
}

/// Waits until the body is complete, or larger than what is gathered.
pub(super) async fn gather(
    mut incoming: Incoming,
    front: &Front,
) -> Result<(RequestBody, Option<Pump>), BodyError> {
    if incoming.is_end_stream() {
        return Ok((RequestBody::Empty, None));
    }
    // No more room than the body says that it needs.
    let announced = usize::try_from(incoming.size_hint().lower()).unwrap_or(WHOLE);
    let mut gathered = BytesMut::new();
    while let Some(chunk) = next(&mut incoming, front).await? {
        if gathered.is_empty() && incoming.is_end_stream() {
            check_size(chunk.len() as u64, front)?;
            return Ok((RequestBody::Whole(chunk), None));
        }
        if gathered.is_empty() {
            gathered.reserve(announced.clamp(chunk.len(), WHOLE.max(chunk.len())));
        }
        gathered.extend_from_slice(&chunk);
        check_size(gathered.len() as u64, front)?;
        if gathered.len() >= WHOLE && !incoming.is_end_stream() {
            let received = gathered.len() as u64;
            let (sender, reader) = body_channel(Arc::clone(front.routes.bell()));
            sender.send(gathered.freeze());
            return Ok((RequestBody::Stream(reader), Some(Pump { incoming, sender, received })));
        }
    }
    Ok(match gathered.is_empty() {
        true => (RequestBody::Empty, None),
        false => (RequestBody::Whole(gathered.freeze()), None),
    })
}

impl Pump {
    /// Hands over the rest of the body as it comes and as there is room.
    pub(super) async fn run(mut self, front: &Front) {
        let end = loop {
            if self.sender.ready().await.is_err() {
                break None;
            }
            let read = tokio::select! {
                biased;
                () = self.sender.reader_gone() => break None,
                read = next(&mut self.incoming, front) => read,
            };
            match read {
                Ok(Some(chunk)) => {
                    self.received += chunk.len() as u64;
                    if let Err(error) = check_size(self.received, front) {
                        break Some(Err(error));
                    }
                    self.sender.send(if chunk.len() < SMALL {
                        Bytes::copy_from_slice(&chunk)
                    } else {
                        chunk
                    });
                }
                Ok(None) => break Some(Ok(())),
                Err(error) => break Some(Err(error)),
            }
        };
        match end {
            Some(end) => self.sender.finish(end),
            None => drain(self.incoming, front).await,
        }
    }
}

/// Nobody reads the body any more: takes in what is little, so that the connection lives on. Dropping the
/// rest makes hyper close it after the response.
async fn drain(mut incoming: Incoming, front: &Front) {
    let mut taken = 0;
    while taken < DRAIN {
        match next(&mut incoming, front).await {
            Ok(Some(chunk)) => taken += chunk.len() as u64,
            Ok(None) | Err(_) => return,
        }
    }
}

/// The next chunk; `None` at the end of the body. Trailers are dropped: PEP 3333 has no place for them.
async fn next(incoming: &mut Incoming, front: &Front) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(chunk) = frame.into_data()
                    && !chunk.is_empty()
                {
                    return Ok(Some(chunk));
                }
            }
            Err(error) => return Err(body_error(&error, front)),
        }
    }
    Ok(None)
}

fn check_size(received: u64, front: &Front) -> Result<(), BodyError> {
    match front.limits.max_body {
        Some(limit) if received > limit => Err(BodyError::TooLarge { limit }),
        _ => Ok(()),
    }
}

/// hyper passes on what the wire said, as the source of its own error.
fn body_error(error: &hyper::Error, front: &Front) -> BodyError {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return match cause.kind() {
                io::ErrorKind::TimedOut => {
                    BodyError::Timeout { seconds: front.limits.body_timeout.as_secs() }
                }
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => BodyError::Malformed,
                _ => BodyError::ClientLeft,
            };
        }
        source = cause.source();
    }
    BodyError::ClientLeft
}
