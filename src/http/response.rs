//! From the waist's response to hyper's: RFC 9112 §6 towards the client, whatever the application said.
//!
//! Owns what leaves: framing headers, the body and its length. hyper writes more body than Content-Length
//! says and ends a failed stream as if it were complete, so the counting is done here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SERVER,
};
use hyper::{Method, StatusCode, Uri, Version};

use super::aside::Piece;
use super::body::UNREAD;
use super::file::FilePieces;
use super::link::{Link, Verdict};
use super::refusal::Refusal;
use crate::exchange::{ChunkReader, Fault, Response, ResponseBody};

/// What the server calls itself unless the application says otherwise.
const NAME: HeaderValue = HeaderValue::from_static("chaussette");

/// Behind what is said of a body whose length is not the one that was announced.
const LENGTH_CLAUSE: &str = "(PEP 3333, \"Handling the Content-Length Header\")";

/// Seconds after which a refused client may come again: the queue turns over in less.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The connection's, not the message's (RFC 9110 §7.6.1): an application has no say in them.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "proxy-connection"];

fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Most names are told by their first letter.
    matches!(name.as_bytes().first(), Some(b'c' | b'k' | b'p' | b't' | b'u')) && HOP_BY_HOP.contains(&name)
}

/// What of a request its response depends on.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.uri)
    }
}

pub(super) type Reply = hyper::Response<Outgoing>;

/// The application's response, made honest.
pub(super) fn build(response: Response, asked: Asked, link: &Arc<Link>) -> Reply {
    let Response { head, body } = response;
    if head.status.is_informational() {
        tracing::error!("{asked}: application gave status {}, which is not a response", head.status.as_u16());
        return failure(StatusCode::INTERNAL_SERVER_ERROR, link);
    }
    let mut headers = head.headers;
    if headers.keys().any(is_hop_by_hop) {
        remove_hop_by_hop(&mut headers);
    }
    let declared = match declared_length(&headers) {
        Ok(declared) => declared,
        Err(value) => {
            tracing::error!("{asked}: application gave an invalid Content-Length: {value:?}");
            return failure(StatusCode::INTERNAL_SERVER_ERROR, link);
        }
    };
    let source = match body {
        body if !may_have_body(&asked.method, head.status) => {
            bodiless(&asked.method, head.status, &body, &mut headers);
            if let ResponseBody::Stream(chunks) = body {
                chunks.discard();
            }
            Source::Empty
        }
        ResponseBody::Whole(bytes) => Source::Whole(bytes),
        ResponseBody::Stream(chunks) => Source::Stream(chunks),
        ResponseBody::File(range) => Source::File(FilePieces::new(range)),
    };
    let mut reply = hyper::Response::new(Outgoing::Empty);
    if let (Source::Stream(_), None, Version::HTTP_10) = (&source, declared, asked.version) {
        // HTTP/1.0 knows no chunks: the body ends with the connection, and a broken one with a reset.
        *reply.version_mut() = Version::HTTP_10;
    }
    let outgoing = Outgoing::new(source, declared, asked, Arc::clone(link));
    *reply.status_mut() = head.status;
    if let Some(reason) = reason(head.status, head.reason) {
        reply.extensions_mut().insert(reason);
    }
    link.aside.name(head.names);
    *reply.headers_mut() = headers;
    *reply.body_mut() = outgoing;
    finish(&mut reply, link);
    reply
}

/// Leaves of the connection's headers none but the one wish that is granted: a response may always be the last one.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let wants_to_close = headers.get(CONNECTION).is_some_and(|wish| wish == "close");
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
    if wants_to_close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Headers that all responses share.
fn finish(reply: &mut Reply, link: &Arc<Link>) {
    reply.headers_mut().entry(SERVER).or_insert(NAME);
    // RFC 9112 §9.6: said when it is known. Of a body this large the rest will not be taken in.
    if link.is_draining() || link.owed() > UNREAD {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// hyper would add `keep-alive` to our `close` where HTTP/1.0 asked for it, unless the response is of HTTP/1.0, too.
pub(super) fn for_version(asked: Version, reply: &mut Reply) {
    if asked == Version::HTTP_10 && reply.headers().contains_key(CONNECTION) {
        *reply.version_mut() = Version::HTTP_10;
    }
}

/// An answer of the server's own.
fn plain(status: StatusCode, text: String, link: &Arc<Link>) -> Reply {
    let mut reply =
        hyper::Response::new(Outgoing::Whole { bytes: Bytes::from(text), link: Arc::clone(link) });
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    finish(&mut reply, link);
    reply
}

/// Refuses a request. The connection closes: nothing behind a bad request can be trusted.
pub(super) fn refuse(refusal: Refusal, link: &Arc<Link>) -> Reply {
    let mut reply = plain(refusal.status, format!("{}: {}.\n", refusal.status, refusal.why), link);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// No worker took the request.
pub(super) fn unavailable(link: &Arc<Link>) -> Reply {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut reply = plain(status, format!("{status}: the server is busy, try again.\n"), link);
    reply.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    reply
}

/// The application or a worker failed.
pub(super) fn failure(status: StatusCode, link: &Arc<Link>) -> Reply {
    plain(status, format!("{status}\n"), link)
}

/// The Content-Length the application gave. An error if it is none, or more than one.
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, HeaderValue> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && values.next().is_none();
    match value.to_str().ok().filter(|_| is_number).and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(value.clone()),
    }
}

/// RFC 9110 §6.4.1, and §15.3.6 for 205.
fn may_have_body(method: &Method, status: StatusCode) -> bool {
    let without = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    *method != Method::HEAD && !without.contains(&status)
}

/// Content-Length where there is no body: HEAD tells what GET would (RFC 9110 §8.6), 204 must not have it,
/// 205 says 0, and 304 need not.
fn bodiless(method: &Method, status: StatusCode, body: &ResponseBody, headers: &mut HeaderMap) {
    match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT => {
            headers.remove(CONTENT_LENGTH);
        }
        _ if *method == Method::HEAD && !headers.contains_key(CONTENT_LENGTH) => {
            let length = match body {
                ResponseBody::Whole(bytes) => bytes.len() as u64,
                ResponseBody::File(range) => range.length,
                ResponseBody::Stream(_) => 0,
            };
            // An empty body may be the application's way to answer HEAD: then nothing is known of GET's.
            if length > 0 {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        _ => {}
    }
}

/// The reason phrase if it is not the usual one. hyper would write `<none>` for a status it does not know.
fn reason(status: StatusCode, given: Option<Bytes>) -> Option<ReasonPhrase> {
    match given {
        Some(reason) => ReasonPhrase::try_from(reason).ok(),
        None if status.canonical_reason().is_none() => Some(ReasonPhrase::from_static(b"")),
        None => None,
    }
}

enum Source {
    Empty,
    Whole(Bytes),
    Stream(ChunkReader),
    File(FilePieces),
}

/// A response's body as hyper takes it.
#[derive(Debug)]
pub(super) enum Outgoing {
    Empty,
    /// As long as its Content-Length.
    Whole {
        bytes: Bytes,
        link: Arc<Link>,
    },
    Counted(Box<Counted>),
}

/// A body that is counted while it goes.
#[derive(Debug)]
pub(super) struct Counted {
    pieces: Pieces,
    /// Bytes to go, when a length was declared.
    left: Option<u64>,
    declared: Option<u64>,
    /// Bytes that went.
    gone: u64,
    asked: Asked,
    link: Arc<Link>,
}

#[derive(Debug)]
enum Pieces {
    Bytes(Bytes),
    Stream(ChunkReader),
    File(FilePieces),
    /// The connection is to be aborted once the client has what came before.
    Broken(String),
}

/// The connection ends without a proper end of the body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Aborted(pub(super) String);

impl Outgoing {
    /// Bytes of a body that is there as a whole.
    pub(super) fn whole(&self) -> u64 {
        match self {
            Self::Whole { bytes, .. } => bytes.len() as u64,
            Self::Empty | Self::Counted(_) => 0,
        }
    }

    fn new(source: Source, declared: Option<u64>, asked: Asked, link: Arc<Link>) -> Self {
        match source {
            Source::Empty => Self::Whole { bytes: Bytes::new(), link },
            Source::Whole(bytes) if declared.is_none_or(|declared| declared == bytes.len() as u64) => {
                Self::Whole { bytes, link }
            }
            Source::Whole(bytes) => Counted::body(Pieces::Bytes(bytes), declared, asked, link),
            Source::Stream(chunks) => Counted::body(Pieces::Stream(chunks), declared, asked, link),
            Source::File(mut file) => {
                let declared = declared.unwrap_or(file.left());
                if file.left() > declared {
                    longer(&asked, declared);
                    file.limit(declared);
                }
                Counted::body(Pieces::File(file), Some(declared), asked, link)
            }
        }
    }
}

fn longer(asked: &Asked, declared: u64) {
    tracing::error!(
        "{asked}: response body is longer than its Content-Length, cut: {declared} bytes {LENGTH_CLAUSE}"
    );
}

impl Counted {
    fn body(pieces: Pieces, declared: Option<u64>, asked: Asked, link: Arc<Link>) -> Outgoing {
        Outgoing::Counted(Box::new(Self { pieces, left: declared, declared, gone: 0, asked, link }))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Aborted>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let piece = match &mut self.pieces {
            Pieces::Broken(why) => {
                if !self.link.may_break() {
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(Aborted(std::mem::take(why)))));
            }
            Pieces::Bytes(bytes) => {
                Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()).map(Piece::Bytes))
            }
            Pieces::Stream(chunks) => match chunks.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => Ok(Some(Piece::Bytes(chunk))),
                Poll::Ready(Some(Err(Fault::Client(error)))) => {
                    // Nobody is left to tell, and it is nobody's mistake here.
                    return Poll::Ready(Some(Err(Aborted(error.to_string()))));
                }
                Poll::Ready(Some(Err(fault))) => Err(fault.to_string()),
                Poll::Ready(None) => Ok(None),
                Poll::Pending if self.link.verdict() == Verdict::Gone => {
                    return Poll::Ready(Some(Err(Aborted("the client left".to_owned()))));
                }
                Poll::Pending => return Poll::Pending,
            },
            Pieces::File(file) => {
                ready!(file.poll_piece(cx, &self.link.aside)).map_err(|error| format!("file: {error}"))
            }
        };
        match (piece, self.left) {
            (Ok(Some(piece)), Some(left)) => Poll::Ready(Some(Ok(self.count(piece, left)))),
            (Ok(Some(piece)), None) => {
                self.gone += piece.remaining() as u64;
                Poll::Ready(Some(Ok(piece)))
            }
            (Ok(None), None) => Poll::Ready(None),
            (Ok(None), Some(left)) => {
                let declared = self.declared.unwrap_or(left);
                self.abort(format!(
                    "response body ended before its Content-Length: {} of {declared} bytes {LENGTH_CLAUSE}",
                    declared - left
                ));
                self.poll_piece(cx)
            }
            (Err(why), _) => {
                self.abort(why);
                self.poll_piece(cx)
            }
        }
    }

    /// Cuts what is beyond the declared length.
    fn count(&mut self, mut piece: Piece, left: u64) -> Piece {
        let length = piece.remaining() as u64;
        if length > left {
            longer(&self.asked, self.declared.unwrap_or(left));
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.left = Some(left.saturating_sub(length));
        self.gone += length.min(left);
        piece
    }

    fn abort(&mut self, why: String) {
        tracing::error!("{}: connection aborted: {why}", self.asked);
        if self.asked.version == Version::HTTP_10 && self.declared.is_none() {
            // A close would look like the end of the body.
            self.link.reset();
        }
        self.pieces = Pieces::Broken(why);
    }
}

impl Body for Outgoing {
    type Data = Piece;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Aborted>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Self::Whole { bytes, .. } => {
                Poll::Ready(Some(Ok(Frame::data(Piece::Bytes(std::mem::take(bytes))))))
            }
            Self::Counted(counted) => {
                let piece = ready!(counted.poll_piece(cx));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole { bytes, .. } => bytes.is_empty(),
            Self::Counted(counted) => counted.left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::Counted(counted) => counted.left.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        match self {
            Self::Empty => {}
            Self::Whole { link, .. } => link.given(0),
            Self::Counted(counted) => counted.link.given(counted.gone),
        }
    }
}

/// The answer to a fault that came before the head.
pub(super) fn from_fault(fault: &Fault, asked: &Asked, link: &Arc<Link>) -> Result<Reply, Aborted> {
    match fault {
        Fault::Client(error) => super::connection::refuse_body(error, link),
        // Logged where it happened, with the traceback.
        Fault::Application(_) => Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, link)),
        Fault::Overdue => Ok(failure(StatusCode::GATEWAY_TIMEOUT, link)),
        Fault::Lost => Ok(failure(StatusCode::BAD_GATEWAY, link)),
        Fault::Server(why) => {
            tracing::error!("{asked}: {why}");
            Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, link))
        }
    }
}
