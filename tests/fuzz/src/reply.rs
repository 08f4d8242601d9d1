//! What reaches the client, whatever the application does: framing, honesty about the body, and the next request on
//! the same connection.
//!
//! Input: a [`Talk`], out of the fuzzer's bytes. `model` says what must be heard, `script` is the application.

mod model;
mod script;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use chaussette::exchange::ResponseHead;
use chaussette::wsgi::response::{self, Head};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::site::{PIECES, Script, Shuts, converse};
use super::{client, split};
use model::Expected;
use script::Scripted;

/// Requests on one connection at most.
const TURNS: usize = 5;

/// One connection.
#[derive(Debug, Clone, Arbitrary)]
pub struct Talk {
    /// All requests at once, cut in pieces by this seed; else each when the one before is answered.
    pub pipelined: Option<u16>,
    /// Bytes that the client reads at a time, or all there are.
    pub reads: Option<u8>,
    pub turns: Vec<Turn>,
}

#[derive(Debug, Clone, Arbitrary)]
pub struct Turn {
    pub ask: Ask,
    pub answer: Answer,
}

/// A request.
#[derive(Debug, Clone, Arbitrary)]
pub struct Ask {
    pub method: Method,
    pub is_1_0: bool,
    pub connection: Option<Persistence>,
    pub body: Option<(Coding, Size)>,
    pub expects_continue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Method {
    Get,
    Head,
    Post,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Persistence {
    Close,
    KeepAlive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Coding {
    Length,
    Chunked,
}

/// Bytes of a body: every order of magnitude is as likely as the other.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Size {
    scale: u8,
    value: u8,
}

impl Size {
    pub fn bytes(self) -> usize {
        usize::from(self.value) << (self.scale % 11)
    }
}

/// What the application does with a request.
#[derive(Debug, Clone, Arbitrary)]
pub struct Answer {
    pub reads: Reads,
    pub hints: Vec<Vec<Header>>,
    pub status: Status,
    pub headers: Vec<Header>,
    pub length: Length,
    pub body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Reads {
    Nothing,
    All,
}

#[derive(Debug, Clone, Arbitrary)]
pub enum Status {
    Code(u16),
    /// As an application gives it to `start_response`.
    Text(String),
    /// A known code and any reason.
    Reason(u16, String),
}

#[derive(Debug, Clone, Arbitrary)]
pub enum Header {
    /// As an application gives it to `start_response`.
    Text(Name, String),
    /// As nothing but the waist's types would let it through.
    Raw(Name, Vec<u8>),
}

#[derive(Debug, Clone, Arbitrary)]
pub enum Name {
    Known(u8),
    Any(String),
}

#[derive(Debug, Clone, Arbitrary)]
pub enum Length {
    No,
    Exact,
    Less(Size),
    More(Size),
    Text(String),
}

#[derive(Debug, Clone, Arbitrary)]
pub enum Body {
    Whole(Size),
    Chunks {
        sizes: Vec<Size>,
        pace: Pace,
        end: End,
    },
    File {
        offset: Size,
        length: Size,
    },
    Fault(Fault),
    /// The reply is dropped.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Pace {
    AtOnce,
    OneATurn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum End {
    Finish,
    Fail,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Fault {
    Application,
    Server,
    TooLarge,
    Timeout,
    Malformed,
}

const NAMES: [&str; 16] = [
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Server",
    "Date",
    "Content-Type",
    "Set-Cookie",
    "Keep-Alive",
    "Trailer",
    "TE",
    "Upgrade",
    "Proxy-Connection",
    "X-A",
    "X_A",
    "Link",
    "ETag",
];

impl Name {
    fn text(&self) -> &str {
        match self {
            Self::Known(index) => NAMES[usize::from(*index) % NAMES.len()],
            Self::Any(text) => text,
        }
    }
}

/// Panics at a finding; else says how many requests were answered.
pub fn check(input: &[u8]) -> usize {
    let Ok(talk) = Talk::arbitrary_take_rest(Unstructured::new(input)) else { return 0 };
    check_talk(talk)
}

fn check_talk(mut talk: Talk) -> usize {
    talk.turns.truncate(TURNS);
    for turn in &mut talk.turns {
        turn.answer.hints.truncate(2);
    }
    let requests: Vec<_> = talk.turns.iter().enumerate().map(|(index, turn)| turn.ask.bytes(index)).collect();
    let stream = requests.concat();
    let pieces = match talk.pipelined {
        Some(seed) => split(&stream, seed, PIECES),
        None => requests.iter().map(Vec::as_slice).collect(),
    };
    let shuts = if talk.pipelined.is_some() { Shuts::AtOnce } else { Shuts::Later };
    let reads = talk.reads.map_or(usize::MAX, |reads| 1 + usize::from(reads) * 64);
    let mut application = Scripted::new(&talk.turns);
    let heard = converse(&Script { pieces, shuts, reads }, &mut application);
    let asked: Vec<_> = talk.turns.iter().map(|turn| turn.ask.asked()).collect();
    let answers = client::read(&heard.bytes, &asked);
    let mut is_last = false;
    let mut is_broken = false;
    for (index, turn) in talk.turns.iter().enumerate() {
        let expected = Expected::of(turn, index);
        match answers.get(index) {
            Some(answer) => {
                assert!(!is_last, "an answer behind the last one: {talk:?}");
                expected.check(turn, answer);
                is_last = !answer.persists();
                is_broken = !expected.is_whole();
            }
            None => {
                assert!(is_last, "turn {index} is not answered: {talk:?}\n{answers:?}");
                break;
            }
        }
    }
    // A reset is how a response says that it is broken, where nothing else can.
    assert!(!heard.is_reset || is_broken, "reset: {talk:?}\n{answers:?}");
    answers.len()
}

impl Ask {
    fn asked(&self) -> client::Asked {
        if self.method == Method::Head { client::Asked::Head } else { client::Asked::Other }
    }

    fn persists(&self) -> bool {
        match self.connection {
            None => !self.is_1_0,
            Some(connection) => connection == Persistence::KeepAlive,
        }
    }

    /// The request as it is sent. Its target says which one it is.
    fn bytes(&self, index: usize) -> Vec<u8> {
        let method = match self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        };
        let version = if self.is_1_0 { "1.0" } else { "1.1" };
        let mut text = format!("{method} /{index} HTTP/{version}\r\nHost: x\r\n");
        match self.connection {
            None => {}
            Some(Persistence::Close) => text.push_str("Connection: close\r\n"),
            Some(Persistence::KeepAlive) => text.push_str("Connection: keep-alive\r\n"),
        }
        if self.expects_continue {
            text.push_str("Expect: 100-continue\r\n");
        }
        let body = self.body(index);
        match self.body {
            None => text.push_str("\r\n"),
            Some((Coding::Chunked, _)) if !self.is_1_0 => {
                text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                let mut bytes = text.into_bytes();
                for chunk in body.chunks(10_000) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                return bytes;
            }
            Some(_) => text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len())),
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    fn body(&self, index: usize) -> Vec<u8> {
        self.body.map(|(_, size)| pattern(100 + index, size.bytes())).unwrap_or_default()
    }
}

/// A body by which it is known: bytes of all values, and no two bodies alike. Now and then it looks like a head, which
/// it must never be taken for.
pub fn pattern(which: usize, length: usize) -> Vec<u8> {
    static CYCLE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=255).chain(0..=255).collect());
    let mut first = which * 83 % 256;
    let mut pattern = Vec::with_capacity(length + 300);
    while pattern.len() < length {
        pattern.extend_from_slice(b"0\r\n\r\nHTTP/1.1 200 OK\r\netag: x\r\nX-a: x\r\n\r\n");
        // Runs of 251, each beginning one higher, so that no part of it looks like another one soon.
        pattern.extend_from_slice(&CYCLE[first..first + 251]);
        first = (first + 1) % 256;
    }
    pattern.truncate(length);
    pattern
}

impl Answer {
    /// Status and reason, as the application gets them past PEP 3333's rules.
    fn status(&self) -> (StatusCode, Option<Bytes>) {
        let code = |code: &u16| 100 + code % 900;
        let text = match &self.status {
            Status::Code(given) => format!("{}", code(given)),
            Status::Text(text) => text.clone(),
            Status::Reason(given, reason) => format!("{} {reason}", code(given)),
        };
        match response::status(&text) {
            Ok((status, reason)) => {
                let is_clean = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
                assert!(reason.iter().flatten().all(is_clean), "{text:?} was let through");
                (status, reason)
            }
            // 1xx are refused there, and once more by the front end.
            Err(_) => match &self.status {
                Status::Code(given) => (StatusCode::from_u16(code(given)).expect("a status"), None),
                _ => (StatusCode::OK, None),
            },
        }
    }

    /// The head, as the application gets it past PEP 3333's rules, and headers that nothing checked.
    fn head(&self, produced: usize) -> ResponseHead {
        let mut head = Head::new(self.status(), 0).expect("room for no header");
        add(&mut head, &self.headers);
        let length = match &self.length {
            Length::No => return *head.response,
            Length::Exact => produced.to_string(),
            Length::Less(size) => produced.saturating_sub(size.bytes()).to_string(),
            Length::More(size) => (produced + size.bytes()).to_string(),
            Length::Text(text) => text.clone(),
        };
        // Refused if it is none.
        let _ = head.add("Content-Length", &length);
        *head.response
    }
}

fn add(head: &mut Head, given: &[Header]) {
    for header in given.iter().take(8) {
        match header {
            Header::Text(name, value) => {
                let count = head.response.headers.len();
                if head.add(name.text(), value).is_err() {
                    assert_eq!(
                        head.response.headers.len(),
                        count,
                        "refused, and there all the same: {header:?}"
                    );
                }
            }
            Header::Raw(name, value) => {
                let name = HeaderName::from_bytes(name.text().as_bytes());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                    head.response.headers.append(name, value);
                }
            }
        }
    }
}

/// Headers that go ahead of a response.
fn hint(given: &[Header]) -> HeaderMap {
    let mut head = Head::new((StatusCode::OK, None), 0).expect("room for no header");
    add(&mut head, given);
    head.response.headers
}

/// Headers by name, values as a client sees them.
fn by_name(map: &HeaderMap) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in map {
        all.entry(name.as_str().to_owned()).or_default().push(client::trimmed(value.as_bytes()).to_vec());
    }
    all
}
