//! A reply whose reader, and a request whose body, is in another process.
//!
//! Owns the seam only. Who gives out such replies knows their order: each call names the request it is for, and what
//! comes for another one than it has in hand is dropped.

use std::fmt::Debug;

use bytes::Bytes;
use http::HeaderMap;

use super::{BodyError, Fault, FileRange, NoReader, ResponseHead, Unsent};

/// Where replies go. Never blocks, but for [`Outlet::send`].
pub trait Outlet: Debug + Send + Sync {
    fn hint(&self, request: u64, headers: &HeaderMap);

    fn respond(&self, request: u64, head: &ResponseHead, body: Bytes);

    fn respond_file(&self, request: u64, head: &ResponseHead, file: FileRange);

    /// The head; the body follows in parts.
    fn start(&self, request: u64, head: &ResponseHead);

    /// A part, if there is room.
    fn try_send(&self, request: u64, chunk: Bytes) -> Result<(), Unsent>;

    /// A part, waiting for room. Blocks.
    fn send(&self, request: u64, chunk: Bytes) -> Result<(), NoReader>;

    /// The end of the body; or, with a fault, of the reply, wherever it is.
    fn end(&self, request: u64, end: Result<(), Fault>);

    /// Whether anybody reads, as far as is known here.
    fn reader(&self, request: u64) -> Result<(), NoReader>;

    /// Asks whether anybody does: [`Outlet::reader`] will know.
    fn probe(&self, request: u64);

    /// What was sent shall go.
    fn flush(&self);
}

/// Where a request's body comes from, when it is asked for.
pub trait Inlet: Debug + Send {
    /// The next part, `None` at the end. Blocks.
    fn read(&mut self) -> Result<Option<Bytes>, BodyError>;
}
