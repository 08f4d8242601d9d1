//! The wire's way out: what hyper writes, and what goes around it.
//!
//! Owns the order on the socket: interim responses first, a file in the place of its stand-in. Tells the link how
//! the client keeps up, and lets hyper's close destroy no answer that is under way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::rt::Write;
use tokio::io::AsyncWrite;

use super::{Input, READ, Wire};
use crate::http::aside::{renamed, stands_in};
use crate::http::file::read_window;
use crate::http::link::{Awaited, Exchange, Flushed};

/// An answer beyond this may still lie in our kernel when the connection closes. 64 KiB: what a client's kernel takes
/// in before its program reads; a close with ceremony costs two more system calls.
const LARGE: u64 = 64 * 1024;

/// Head and body up to this size are copied together: send(2) of so little costs less than writev(2) of both (measured: 0.2 µs). 2 KiB: a
/// head and a short answer.
const SMALL: usize = 2048;

/// Bytes thrown away after a refusal so that the client comes to read it. 64 MiB: an upload that does not
/// look for the answer before its end; costs time, not memory, and ends after two seconds anyway.
const THROWN_AWAY: u64 = 64 * 1024 * 1024;

impl Wire {
    fn progress(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = written {
            self.written += written;
            self.answered += written as u64;
        }
        if self.is_stalled != written.is_pending() {
            self.is_stalled = written.is_pending();
            match self.is_stalled {
                true => self.link.stalls(),
                false => self.link.wrote(std::mem::take(&mut self.written)),
            }
        }
        written
    }

    /// Writes interim responses, which go before what hyper writes.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.aside.has_any() {
            self.interim.unsplit(self.link.aside.interim());
        }
        while !self.interim.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &self.interim);
            match ready!(self.progress(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.interim.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what hyper gives.
    fn poll_write_plain(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if slices.len() < 2 || total > SMALL {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        let mut scratch = self.front.scratch.lock();
        let mut rest = scratch.get_mut(..).unwrap_or_default();
        for slice in slices {
            io::Write::write_all(&mut rest, slice)?;
        }
        Pin::new(&mut self.socket).poll_write(cx, scratch.get(..total).unwrap_or_default())
    }

    /// Writes what hyper gives, with the application's names in the place of hyper's. A head comes alone and first.
    fn poll_write_renamed(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let names = self.link.aside.names();
        if !names.is_empty() {
            self.head = renamed(slices.first().map_or(&[], |slice| slice), &names);
        }
        if self.head.is_empty() {
            return self.poll_write_aside(cx, slices);
        }
        let mut head = std::mem::take(&mut self.head);
        let mut all = vec![IoSlice::new(&head)];
        all.extend(slices.iter().skip(1).map(|slice| IoSlice::new(slice)));
        let written = self.poll_write_aside(cx, &all);
        if let Poll::Ready(Ok(written)) = written {
            head.advance(written.min(head.len()));
        }
        self.head = head;
        written
    }

    /// Writes what hyper gives, the file itself where a stand-in for it comes.
    fn poll_write_aside(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let plain = slices.iter().position(|slice| stands_in(slice)).unwrap_or(slices.len());
        let (plain, rest) = slices.split_at(plain);
        if plain.iter().any(|slice| !slice.is_empty()) {
            return match rest {
                [] => Pin::new(&mut self.socket).poll_write_vectored(cx, plain),
                _ => self.socket.poll_write_more(cx, plain),
            };
        }
        let Some(window) = self.link.aside.window() else {
            return Poll::Ready(Err(io::Error::other("a stand-in without its file")));
        };
        let sent = match ready!(self.socket.poll_send_file(cx, &window)) {
            // Some file systems have no sendfile(2): EINVAL, or one of these.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                let piece = read_window(&window)?;
                ready!(Pin::new(&mut self.socket).poll_write(cx, &piece))
            }
            sent => sent,
        };
        if let Ok(sent) = sent {
            self.link.aside.sent(sent);
        }
        Poll::Ready(sent)
    }

    /// Whether a plain close could destroy the answer on its way: bytes that nobody read, or that come after the
    /// close, make the kernel send a reset (RFC 9112 §9.6). A small answer is with the client's kernel by then.
    fn must_linger(&self) -> bool {
        match self.input {
            Input::Ended => false,
            Input::Refused | Input::ThrownAway(_) => true,
            Input::Open => {
                !self.held.is_empty()
                    || !(self.inspector.is_at_end() || self.inspector.is_in_head())
                    || self.answered > LARGE
            }
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let written = match !this.head.is_empty() || this.link.aside.has_any() {
            true => this.poll_write_renamed(cx, slices),
            false => this.poll_write_plain(cx, slices),
        };
        this.progress(written)
    }

    /// hyper calls it when it has nothing left to write, and so at the end of each poll in which a request waits.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        if !this.link.awaits_flush() {
            return this.watch(cx);
        }
        let is_read = this.inspector.is_at_end() || this.input == Input::Refused;
        let after = if is_read { Exchange::None } else { Exchange::Unread };
        match this.link.flushed(after) {
            Flushed::Answer => this.exchange = after,
            Flushed::Part => cx.waker().wake_by_ref(),
            Flushed::Nothing => {}
        }
        let has_more = !this.held.is_empty() || this.input != Input::Open;
        if this.exchange == Exchange::None && has_more {
            // Nothing else would make hyper read again.
            cx.waker().wake_by_ref();
        }
        this.watch(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.must_linger() {
            // Dropping the stream closes it.
            return Poll::Ready(Ok(()));
        }
        let mut thrown = match this.input {
            Input::ThrownAway(thrown) => thrown,
            _ => {
                ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
                this.held = BytesMut::new();
                0
            }
        };
        while thrown < THROWN_AWAY {
            this.input = Input::ThrownAway(thrown);
            this.held.clear();
            match this.poll_fill(cx, READ) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(read)) => thrown += read as u64,
                Poll::Pending => {
                    this.link.awaits(Awaited::Close);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
