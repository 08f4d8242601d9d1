//! One accepted stream under tokio, TCP or unix.
//!
//! Owns the descriptor. Knows no HTTP.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::aside::Window;
use super::file::send_file;
use crate::listener::Stream;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Registers an accepted, non-blocking stream with the reactor.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(stream) => {
                // A response leaves in one write: waiting for more to send only delays its last packet.
                stream.set_nodelay(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            Stream::Unix(stream) => UnixStream::from_std(stream).map(Self::Unix),
        }
    }

    fn as_socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    /// Whether something can be read at this very moment, whatever the reactor knows.
    pub(super) fn has_input(&self) -> bool {
        self.receive(&mut [0], RecvFlags::PEEK).is_ok_and(|received| received > 0)
    }

    /// Looks at what has come without taking it; 0 at the end of the input.
    pub(super) fn poll_peek(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let peeked = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || self.receive(into, RecvFlags::PEEK))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || self.receive(into, RecvFlags::PEEK))
                }
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }

    /// Takes what was looked at before.
    pub(super) fn take(&self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match self.receive(into, RecvFlags::empty())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                taken => into = into.get_mut(taken..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn receive(&self, into: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let (received, _) = rustix::net::recv(&*self.as_socket(), into, flags | RecvFlags::DONTWAIT)?;
        Ok(received)
    }

    /// Writes bytes behind which more follow at once: they need no packet of their own.
    pub(super) fn poll_write_more(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| {
            let mut control = SendAncillaryBuffer::default();
            Ok(sendmsg(socket, slices, &mut control, SendFlags::MORE | SendFlags::NOSIGNAL)?)
        })
    }

    /// Sends some of a file.
    pub(super) fn poll_send_file(&self, cx: &mut Context<'_>, window: &Window) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |socket| send_file(socket, window))
    }

    /// Tries a system call that does not wait, when the socket takes something.
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        call: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let tried = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || call(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || call(stream.as_fd()))
                }
            };
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                tried => return Poll::Ready(tried),
            }
        }
    }

    /// Makes closing throw away what is not sent yet and tell the client so.
    pub(super) fn reset_on_close(&self) {
        // Fails only for a socket that is gone, which is as well.
        let _ = self.as_socket().set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our sending side of this one connection: an accepted stream is ours alone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
