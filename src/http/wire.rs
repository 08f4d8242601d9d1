//! The socket as hyper sees it.
//!
//! Owns the stream and the bytes that were read but not passed on. Gives hyper one request at a time, and
//! only bytes that [`Inspector`] approved; in place of a bad head it gives one that stands for the refusal.
//! While a request is being answered an end of input is kept back, because hyper would take it for the end
//! of the connection: a client may shut its side and still wait for its answer (RFC 9112 §9.6).

mod output;

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::StatusCode;
use hyper::rt::{Read, ReadBufCursor};
use tokio::io::{AsyncRead, ReadBuf};

use super::Front;
use super::head::{Inspector, Seen, Then};
use super::link::{Awaited, Errand, Exchange, Link, Verdict};
use super::refusal::Refusal;
use super::socket::Socket;
use super::syntax::plain;

/// Bytes read at once. 64 KiB: what fast uploads fill; one buffer for all connections.
pub(super) const READ: usize = 64 * 1024;

/// Bytes taken in behind an unanswered request. 16 KiB: a hundred pipelined requests; more waits in the kernel.
const AHEAD: usize = 16 * 1024;

/// Bytes of a refused request's first line that are logged.
const LINE: usize = 1024;

#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    front: Arc<Front>,
    link: Arc<Link>,
    inspector: Inspector,
    /// Read, and not passed to hyper.
    held: BytesMut,
    /// How much at the start of `held` hyper may have.
    approved: usize,
    input: Input,
    exchange: Exchange,
    /// Of interim responses, what is not written yet.
    interim: BytesMut,
    /// Of a head that hyper wrote, what is not written yet, with the application's names.
    head: BytesMut,
    /// The socket took nothing of what hyper last wrote.
    is_stalled: bool,
    /// Bytes written since the link was told.
    written: usize,
    /// Bytes written since the present request began.
    answered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// The client shut its sending side.
    Ended,
    /// A request was refused: nothing after it is read.
    Refused,
    /// Our sending side is shut: what comes is thrown away.
    ThrownAway(u64),
}

impl Wire {
    pub(super) fn new(socket: Socket, front: Arc<Front>, link: Arc<Link>) -> Self {
        let inspector = Inspector::new(front.limits.head());
        Self {
            socket,
            front,
            link,
            inspector,
            held: BytesMut::new(),
            approved: 0,
            input: Input::Open,
            exchange: Exchange::None,
            interim: BytesMut::new(),
            head: BytesMut::new(),
            is_stalled: false,
            written: 0,
            answered: 0,
        }
    }

    /// Passes on what is approved.
    fn deliver(&mut self, cursor: &mut ReadBufCursor<'_>) {
        let here = self.approved.min(cursor.remaining());
        cursor.put_slice(self.held.get(..here).unwrap_or_default());
        self.held.advance(here);
        self.approved -= here;
        if self.held.is_empty() {
            // An idle connection keeps no buffer.
            self.held = BytesMut::new();
        }
    }

    /// Looks at what is held.
    fn inspect(&mut self) {
        let seen = self.inspector.advance(&self.held);
        self.held.advance(seen.skipped);
        self.approved = seen.approved;
        self.learn(&seen);
    }

    /// Acts on what the inspector found.
    fn learn(&mut self, seen: &Seen) {
        if seen.opened {
            let target = seen.target.clone().map(|target| self.rewrite(target));
            self.exchange = Exchange::Open;
            self.answered = 0;
            self.link.open(Errand { refusal: None, target });
        }
        self.link.owes(self.inspector.owed());
        match seen.then {
            Then::More => {}
            Then::End if self.exchange == Exchange::Unread => {
                self.exchange = Exchange::None;
                self.link.read_to_end();
            }
            Then::End => {}
            Then::Refused(refusal) if self.inspector.is_in_head() => self.refuse(refusal),
            // hyper has the head, so the exchange learns it as an error of the body.
            Then::Refused(_) => self.input = Input::Refused,
        }
    }

    /// Writes the target of the head that is held as hyper's `Uri` takes it, and the version that hyper knows. Returns the target as it was sent.
    fn rewrite(&mut self, target: Range<usize>) -> Bytes {
        let mut rest = self.held.split_off(target.end);
        if let Some(minor) = rest.get_mut(b" HTTP/1.".len())
            && *minor != b'0'
        {
            *minor = b'1';
        }
        let sent = self.held.split_off(target.start).freeze();
        self.held.extend_from_slice(&plain(&sent));
        self.approved += self.held.len() - target.end;
        self.held.unsplit(rest);
        sent
    }

    /// Puts a head in the place of the one that is refused. hyper reads it, and the exchange answers it.
    fn refuse(&mut self, refusal: Refusal) {
        let stand_in: &[u8] = match self.held.starts_with(b"HEAD ") {
            true => b"HEAD / HTTP/1.1\r\n\r\n",
            false => b"GET / HTTP/1.1\r\n\r\n",
        };
        let line = self.front.access.as_ref().map(|_| first_line(&self.held));
        self.held = BytesMut::from(stand_in);
        self.approved = stand_in.len();
        self.input = Input::Refused;
        self.exchange = Exchange::Open;
        self.link.refuse(refusal, line);
    }

    /// Reads into `held`. 0 at the end of the input.
    fn poll_fill(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut scratch = self.front.scratch.lock();
        let most = most.min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        self.held.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// While a request that is read to its end waits for its answer: notes what comes, and passes nothing on.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = self.exchange != Exchange::None && self.inspector.is_at_end();
        while waits && self.input == Input::Open && self.held.len() < AHEAD {
            match self.poll_fill(cx, AHEAD) {
                Poll::Ready(Ok(0)) => self.ended(),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn ended(&mut self) {
        self.input = Input::Ended;
        self.link.note_left();
    }

    /// The next bytes of a request, straight from the socket to hyper when nothing is held.
    fn poll_next(&mut self, cx: &mut Context<'_>, cursor: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            if ready!(self.poll_more(cx, READ))? {
                self.inspect();
            }
            return Poll::Ready(Ok(()));
        }
        let mut scratch = self.front.scratch.lock();
        let most = cursor.remaining().min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
        match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.waits(),
        }
        let bytes = buffer.filled();
        let is_end = bytes.is_empty();
        let seen = self.inspector.advance(bytes);
        let rest = bytes.get(seen.skipped..).unwrap_or_default();
        if seen.target.is_some() {
            // hyper is given something else: from what is held, then.
            self.approved = seen.approved;
            self.held.extend_from_slice(rest);
        } else {
            let (now, later) = rest.split_at_checked(seen.approved).unwrap_or((rest, &[]));
            cursor.put_slice(now);
            self.held.extend_from_slice(later);
        }
        drop(scratch);
        if is_end {
            self.ended();
            return Poll::Ready(Ok(()));
        }
        if !seen.opened {
            self.link.received(seen.approved);
        }
        self.learn(&seen);
        Poll::Ready(Ok(()))
    }

    /// More of a request that is partly held. Whether there was any.
    fn poll_more(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<bool>> {
        match self.poll_fill(cx, most) {
            Poll::Ready(Ok(0)) => {
                self.ended();
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Ok(read)) => {
                self.link.received(read);
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.waits(),
        }
    }

    fn waits<T>(&self) -> Poll<T> {
        self.link.awaits(match (self.inspector.is_in_head(), self.held.is_empty()) {
            (true, true) => Awaited::Request,
            (true, false) => Awaited::Head,
            (false, _) => Awaited::Body,
        });
        Poll::Pending
    }

    /// What hyper's wish to read comes to.
    fn next(&mut self) -> io::Result<Next> {
        self.obey()?;
        if self.approved > 0 {
            return Ok(Next::Deliver);
        }
        let is_open = self.exchange != Exchange::None;
        match self.input {
            _ if is_open && self.inspector.is_at_end() => Ok(Next::Wait),
            Input::Refused if is_open && self.inspector.is_in_head() => Ok(Next::Wait),
            Input::Refused if is_open => Err(io::ErrorKind::InvalidData.into()),
            Input::Refused | Input::ThrownAway(_) => Ok(Next::End),
            _ if self.inspector.is_at_end() => {
                if !self.held.is_empty() && self.front.drain.is_draining() {
                    // Pipelined behind the last answer: not begun any more.
                    self.link.awaits(Awaited::Request);
                    return Ok(Next::Wait);
                }
                self.inspector.begin();
                if !self.held.is_empty() {
                    self.inspect();
                }
                self.next()
            }
            Input::Ended if self.inspector.is_in_head() && !self.held.is_empty() => {
                self.refuse(Refusal::bad_request("the request's head is incomplete"));
                Ok(Next::Deliver)
            }
            Input::Ended => Ok(Next::End),
            Input::Open => Ok(Next::Read),
        }
    }

    /// Acts on what the connection decided.
    fn obey(&mut self) -> io::Result<()> {
        match self.link.verdict() {
            Verdict::HeadTimeout if self.inspector.is_in_head() && self.input == Input::Open => {
                self.refuse(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the request's head took longer than --header-timeout",
                ));
                Ok(())
            }
            Verdict::BodyTimeout => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// While there is no hyper: waits until there is something for it. False: the client has closed.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match self.next()? {
                Next::Deliver => return Poll::Ready(Ok(true)),
                Next::Read => {
                    if ready!(self.poll_more(cx, READ))? {
                        self.inspect();
                    }
                }
                Next::Wait => return Poll::Pending,
                Next::End => return Poll::Ready(Ok(false)),
            }
        }
    }

    /// Whether the first bytes of a request lie in the kernel, and the reactor has not told of them yet.
    pub(super) fn has_input(&self) -> bool {
        self.held.is_empty() && self.socket.has_input()
    }
}

/// What came of a request's first line, its beginning if it is long.
fn first_line(bytes: &[u8]) -> Bytes {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    Bytes::copy_from_slice(&bytes[..end.min(LINE)])
}

enum Next {
    Deliver,
    /// Nothing more before the request is answered, or at all.
    Wait,
    End,
    Read,
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = cursor.remaining();
        while cursor.remaining() == room {
            match this.next()? {
                Next::Deliver => this.deliver(&mut cursor),
                Next::Read => ready!(this.poll_next(cx, &mut cursor))?,
                // A flush watches meanwhile.
                Next::Wait => return Poll::Pending,
                Next::End => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.is_reset() {
            self.socket.reset_on_close();
        }
    }
}
