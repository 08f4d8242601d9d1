//! What reaches the client around hyper: interim responses, names as they were written, files that the kernel sends.
//!
//! Owns what is to be written and is not in hyper's hands. hyper has no interim response but 100, and writes bytes
//! only: a part of a file is therefore a [`Piece::Window`] for it, a slice of a stand-in that nobody ever reads,
//! and the wire sends the file in its place with sendfile(2). The order is hyper's, so nothing can overtake.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes, BytesMut};
use hyper::header::{HeaderMap, HeaderName};
use parking_lot::Mutex;

/// Bytes of a file sent at once. 256 KiB: some 30 µs of copying into a local socket, for which the reactor can spare
/// other connections; what the kernel reads ahead by itself is of that order.
pub(super) const WINDOW: usize = 256 * 1024;

/// Never read and never written, so its pages are never there.
static STAND_IN: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; WINDOW].into_boxed_slice());

/// What a response's body is to hyper.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    /// So many bytes of the part of a file that was announced with [`Aside::open`].
    Window(usize),
}

impl Piece {
    /// Cuts what is beyond `length`. A window is never beyond: a file is limited before it is opened.
    pub(super) fn truncate(&mut self, length: usize) {
        if let Self::Bytes(bytes) = self {
            bytes.truncate(length);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Window(left) => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Window(left) => STAND_IN.get(..*left).unwrap_or(&STAND_IN),
        }
    }

    fn advance(&mut self, bytes: usize) {
        match self {
            Self::Bytes(whole) => whole.advance(bytes),
            Self::Window(left) => *left -= bytes,
        }
    }
}

/// Whether hyper means a part of a file by these bytes.
pub(super) fn stands_in(bytes: &[u8]) -> bool {
    !bytes.is_empty() && STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

/// A part of a file, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) left: usize,
}

#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Asked at each write, so apart from the rest. All of it happens on the reactor's thread.
    has_any: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// To be written before anything that hyper writes.
    interim: BytesMut,
    /// Names in the next head that hyper writes otherwise than the application did.
    names: Vec<Bytes>,
    /// What the stand-ins in hyper's hands mean, in order.
    windows: VecDeque<Window>,
}

impl Inside {
    fn has_any(&self) -> bool {
        !self.interim.is_empty() || !self.names.is_empty() || !self.windows.is_empty()
    }
}

impl Aside {
    /// Whether anything is to be written around hyper.
    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Relaxed)
    }

    /// An interim response is to be written: 103 with these headers (RFC 8297).
    pub(super) fn hint(&self, headers: &HeaderMap) {
        let mut inside = self.inside.lock();
        inside.interim.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        for (name, value) in headers {
            title_case(name, &mut inside.interim);
            inside.interim.extend_from_slice(b": ");
            inside.interim.extend_from_slice(value.as_bytes());
            inside.interim.extend_from_slice(b"\r\n");
        }
        inside.interim.extend_from_slice(b"\r\n");
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// What is to be written of interim responses.
    pub(super) fn interim(&self) -> BytesMut {
        let mut inside = self.inside.lock();
        let interim = std::mem::take(&mut inside.interim);
        self.has_any.store(inside.has_any(), Ordering::Relaxed);
        interim
    }

    /// The head that hyper writes next has these names.
    pub(super) fn name(&self, names: Vec<Bytes>) {
        if !names.is_empty() {
            self.inside.lock().names = names;
            self.has_any.store(true, Ordering::Relaxed);
        }
    }

    /// The names in the head that is to be written now.
    pub(super) fn names(&self) -> Vec<Bytes> {
        let mut inside = self.inside.lock();
        let names = std::mem::take(&mut inside.names);
        self.has_any.store(inside.has_any(), Ordering::Relaxed);
        names
    }

    /// hyper is given a stand-in for this part of a file.
    pub(super) fn open(&self, window: Window) {
        self.inside.lock().windows.push_back(window);
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// The part of a file that comes next.
    pub(super) fn window(&self) -> Option<Window> {
        self.inside.lock().windows.front().cloned()
    }

    /// So much of it was sent.
    pub(super) fn sent(&self, bytes: usize) {
        let mut inside = self.inside.lock();
        if let Some(window) = inside.windows.front_mut() {
            window.offset += bytes as u64;
            window.left = window.left.saturating_sub(bytes);
            if window.left == 0 {
                inside.windows.pop_front();
            }
        }
        self.has_any.store(inside.has_any(), Ordering::Relaxed);
    }
}

/// As hyper writes names, so that one response looks like the other.
fn title_case(name: &HeaderName, into: &mut BytesMut) {
    let mut starts = true;
    for byte in name.as_str().bytes() {
        into.extend_from_slice(&[if starts { byte.to_ascii_uppercase() } else { byte }]);
        starts = byte == b'-';
    }
}

/// Writes the names in a head as the application did. Field names are case-insensitive (RFC 9110 §5.1), but people
/// and old clients look for `ETag` and `DAV`. The length stays the same.
pub(super) fn renamed(head: &[u8], names: &[Bytes]) -> BytesMut {
    let mut head = BytesMut::from(head);
    for line in head.split_mut(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let Some(written) = line.get_mut(..colon) else { continue };
        if let Some(name) = names.iter().find(|name| name.eq_ignore_ascii_case(written)) {
            written.copy_from_slice(name);
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(left: usize) -> Window {
        Window { file: Arc::new(File::open("/dev/null").unwrap()), offset: 5, left }
    }

    #[test]
    fn a_window_looks_like_its_bytes_and_is_known_by_its_place() {
        let mut piece = Piece::Window(WINDOW);
        assert!(stands_in(piece.chunk()));
        piece.advance(WINDOW - 3);
        assert_eq!((piece.remaining(), piece.chunk().len()), (3, 3));
        assert!(stands_in(piece.chunk()));
        assert!(!stands_in(&[0; 16]));
        assert!(!stands_in(Piece::Window(0).chunk()));
        assert!(!stands_in(Piece::Bytes(Bytes::from_static(b"x")).chunk()));
    }

    #[test]
    fn windows_are_sent_in_order_and_to_their_end() {
        let aside = Aside::default();
        aside.open(window(10));
        aside.open(window(20));
        aside.sent(4);
        assert_eq!(aside.window().map(|next| (next.offset, next.left)), Some((9, 6)));
        aside.sent(6);
        assert_eq!(aside.window().map(|next| (next.offset, next.left)), Some((5, 20)));
        assert!(aside.has_any());
        aside.sent(20);
        assert!(aside.window().is_none() && !aside.has_any());
    }

    #[test]
    fn names_are_written_as_the_application_did() {
        let head = b"HTTP/1.1 200 OK\r\nEtag: Etag: x\r\nContent-Type: a\r\nDav: 1\r\n\r\n";
        let names = [Bytes::from_static(b"ETag"), Bytes::from_static(b"DAV")];
        assert_eq!(
            &renamed(head, &names)[..],
            b"HTTP/1.1 200 OK\r\nETag: Etag: x\r\nContent-Type: a\r\nDAV: 1\r\n\r\n"
        );
    }

    #[test]
    fn an_interim_response_is_written_as_hyper_writes_heads() {
        let aside = Aside::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-a-link", "</a.css>; rel=preload".parse().unwrap());
        aside.hint(&headers);
        assert!(aside.has_any());
        assert_eq!(
            &aside.interim()[..],
            b"HTTP/1.1 103 Early Hints\r\nX-A-Link: </a.css>; rel=preload\r\n\r\n"
        );
        assert!(!aside.has_any());
    }
}
