//! A connection as its client sees it, with an application that answers with what it was asked.
//!
//! Input: two bytes that say how the stream is split, and the stream. In it 0xFE and a byte n stand for n KiB of
//! `x`, so that short inputs become large bodies.

use std::collections::BTreeMap;

use bytes::Bytes;
use chaussette::exchange::{BodyError, BodyReader, Exchange, Fault, Reply, RequestBody, ResponseHead};
use chaussette::wsgi::environ;
use http::{HeaderMap, Method, StatusCode, Uri};

use super::client::{self, Asked};
use super::oracle::{self, End, Framing, Reading, Request};
use super::request::{expects_the_unknown, percent_decoded};
use super::site::{Application, Heard, PIECES, Script, Shuts, converse};
use super::{limits, split};

/// Bytes of a stream at most, after expansion.
const LONGEST: usize = 1024 * 1024;

/// Panics at a finding; else says how many requests were answered.
pub fn check(input: &[u8]) -> usize {
    let Some((seed, stream)) = input.split_first_chunk() else { return 0 };
    let Some(stream) = expanded(stream) else { return 0 };
    check_stream(&stream, u16::from_be_bytes(*seed))
}

fn check_stream(stream: &[u8], seed: u16) -> usize {
    check_pieces(stream, split(stream, seed, PIECES), usize::from(seed) + 100)
}

/// The same answers to a stream and to its pieces, however many bytes the client then reads at a time, and those that
/// the RFC asks for.
pub fn check_pieces(stream: &[u8], pieces: Vec<&[u8]>, reads: usize) -> usize {
    let expected = Expected::of(&oracle::read(stream, &limits()), stream);
    let text = stream[..stream.len().min(4000)].escape_ascii().to_string();
    let whole = Script { pieces: vec![stream], shuts: Shuts::AtOnce, reads: usize::MAX };
    let split = Script { pieces, shuts: Shuts::Later, reads };
    let [whole, split] = [whole, split].map(|script| {
        let heard = converse(&script, &mut Echo::default());
        (expected.check(&heard, &text), timeless(heard.bytes))
    });
    let (to_whole, to_split) = (whole.1.escape_ascii(), split.1.escape_ascii());
    assert!(whole.1 == split.1, "the split decides: {text}\nwhole: {to_whole}\nsplit: {to_split}");
    whole.0
}

fn expanded(input: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Vec::new();
    let mut rest = input;
    while let [first, more @ ..] = rest {
        rest = more;
        match (first, more) {
            (0xfe, [count, more @ ..]) => {
                stream.extend(std::iter::repeat_n(b'x', usize::from(*count) * 1024));
                rest = more;
            }
            _ => stream.push(*first),
        }
    }
    (stream.len() <= LONGEST).then_some(stream)
}

/// Without the time of day.
fn timeless(mut heard: Vec<u8>) -> Vec<u8> {
    let mut from = 0;
    while let Some(at) = heard[from..].windows(6).position(|window| window.eq_ignore_ascii_case(b"\ndate:")) {
        let start = from + at + 1;
        let end =
            heard[start..].iter().position(|byte| *byte == b'\n').map_or(heard.len(), |end| start + end + 1);
        heard.drain(start..end);
        from = start - 1;
    }
    heard
}

/// What must be heard.
struct Expected {
    asked: Vec<Asked>,
    /// Bodies of the good answers, in order.
    good: Vec<Vec<u8>>,
    /// What comes behind them.
    last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing: the connection closes.
    Close,
    /// An answer that says what is wrong, and the close.
    Refusal(&'static [u16]),
}

/// Any refusal of a head.
const BAD_HEAD: &[u16] = &[400, 413, 414, 431, 501, 505];

impl Expected {
    fn of(reading: &Reading, stream: &[u8]) -> Self {
        let limit = limits().max_body.unwrap_or(u64::MAX);
        let mut expected = Self { asked: Vec::new(), good: Vec::new(), last: Last::Close };
        let count = reading.requests.len();
        for (index, request) in reading.requests.iter().enumerate() {
            let end = if index + 1 == count { reading.end } else { End::Clean };
            expected.asked.push(if request.method == b"HEAD" { Asked::Head } else { Asked::Other });
            let announced = matches!(request.framing, Framing::Length(length) if length > limit);
            let refusal: &[u16] = match end {
                _ if announced => &[413],
                _ if expects_the_unknown(request) => &[417],
                _ if request.body.len() as u64 > limit => &[413],
                End::BadBody(_) | End::InBody => &[400],
                End::Clean | End::InHead | End::BadHead(_) => &[],
            };
            if !refusal.is_empty() {
                expected.last = Last::Refusal(refusal);
                return expected;
            }
            expected.good.push(echoed(request));
            if !request.persists() {
                return expected;
            }
        }
        if matches!(reading.end, End::InHead | End::BadHead(_)) {
            // RFC 9110 §9.3.2 holds for whoever believes to have sent a HEAD.
            let is_head = stream[reading.rest..].starts_with(b"HEAD ");
            expected.asked.push(if is_head { Asked::Head } else { Asked::Other });
            expected.last = Last::Refusal(BAD_HEAD);
        }
        expected
    }

    fn check(&self, heard: &Heard, text: &str) -> usize {
        let answers = client::read(&heard.bytes, &self.asked);
        let shown = heard.bytes.escape_ascii();
        assert!(!heard.is_reset, "reset: {text}\nheard: {shown}");
        let (good, rest) = answers.split_at(self.good.len().min(answers.len()));
        assert_eq!(good.len(), self.good.len(), "too few answers: {text}\nheard: {shown}");
        for ((answer, body), asked) in good.iter().zip(&self.good).zip(&self.asked) {
            assert_eq!(answer.status, 200, "{answer:?}: {text}");
            assert!(answer.is_whole, "{answer:?}: {text}");
            match asked {
                Asked::Head => {
                    assert_eq!(
                        answer.header("content-length"),
                        Some(body.len().to_string().as_bytes()),
                        "{text}"
                    );
                }
                Asked::Other => assert!(
                    answer.body == *body,
                    "{}\ninstead of {}: {text}",
                    answer.body.escape_ascii(),
                    body.escape_ascii()
                ),
            }
        }
        match (rest, self.last) {
            ([], Last::Close) => {}
            ([answer], Last::Refusal(statuses)) => {
                assert!(statuses.contains(&answer.status), "{answer:?} instead of {statuses:?}: {text}");
                assert_eq!(answer.header("connection"), Some(&b"close"[..]), "{answer:?}: {text}");
                assert!(answer.is_whole, "{answer:?}: {text}");
            }
            _ => panic!("{rest:?} instead of {:?}: {text}\nheard: {shown}", self.last),
        }
        answers.len()
    }
}

/// What the application is to make of a request.
fn echoed(request: &Request) -> Vec<u8> {
    let (path, query) = request.path_and_query();
    let mut headers = request.by_name();
    headers.retain(|name, _| !name.contains(&b'_'));
    if request.framing == Framing::Chunked {
        headers.retain(|name, _| !matches!(&name[..], b"transfer-encoding" | b"trailer"));
    }
    if let Some((authority, _)) = request.absolute() {
        headers.insert(b"host".to_vec(), vec![authority.to_vec()]);
    }
    let path = if path == b"*" { Vec::new() } else { percent_decoded(&path) };
    text([&request.method, &path, &query], headers, &request.body)
}

/// The same, from what the application is given.
fn echo(request: &Given, body: &[u8]) -> Vec<u8> {
    let (method, path) = (request.method.as_str().as_bytes(), environ::path_info(&request.uri));
    let mut headers = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &request.headers {
        headers.entry(name.as_str().as_bytes().to_vec()).or_default().push(value.as_bytes().to_vec());
    }
    let query = environ::query_string(&request.uri, request.target.as_deref());
    text([method, &path, query], headers, body)
}

fn text(line: [&[u8]; 3], mut headers: BTreeMap<Vec<u8>, Vec<Vec<u8>>>, body: &[u8]) -> Vec<u8> {
    // A body that came in chunks has a length if it was there as a whole, and only then.
    let length = body.len().to_string().into_bytes();
    headers.retain(|name, values| name != b"content-length" || !values[0].ends_with(&length));
    let mut text = line.join(&b' ');
    text.push(b'\n');
    for (name, values) in headers {
        for value in values {
            text.extend_from_slice(&[&name[..], b": ", &value, b"\n"].concat());
        }
    }
    text.push(b'\n');
    text.extend_from_slice(body);
    text
}

/// Answers with the request.
#[derive(Default)]
struct Echo {
    open: Vec<Open>,
}

/// A request without its body.
struct Given {
    method: Method,
    uri: Uri,
    target: Option<Bytes>,
    headers: HeaderMap,
}

struct Open {
    request: Given,
    body: Vec<u8>,
    reader: BodyReader,
    reply: Reply,
}

impl Application for Echo {
    fn take(&mut self, exchange: Exchange) {
        let Exchange { request, reply } = exchange;
        let given = Given {
            method: request.method,
            uri: request.uri,
            target: request.target,
            headers: request.headers,
        };
        match request.body {
            RequestBody::Empty => answer(reply, &given, &[]),
            RequestBody::Whole(body) => answer(reply, &given, &body),
            RequestBody::Stream(reader) => {
                self.open.push(Open { request: given, body: Vec::new(), reader, reply });
            }
        }
    }

    fn turn(&mut self) -> bool {
        let Some(mut open) = self.open.pop() else { return false };
        match open.reader.try_read() {
            None => {
                self.open.push(open);
                false
            }
            Some(read) => {
                match read {
                    Ok(Some(chunk)) => {
                        open.body.extend_from_slice(&chunk);
                        self.open.push(open);
                    }
                    Ok(None) => answer(open.reply, &open.request, &open.body),
                    Err(error) => broken(open.reply, error),
                }
                true
            }
        }
    }
}

fn answer(reply: Reply, request: &Given, body: &[u8]) {
    let response =
        ResponseHead { status: StatusCode::OK, reason: None, headers: HeaderMap::new(), names: Vec::new() };
    reply.respond(response, Bytes::from(echo(request, body)));
}

fn broken(reply: Reply, error: BodyError) {
    reply.fail(Fault::from(error));
}
