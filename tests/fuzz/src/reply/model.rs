//! What must be heard of one turn: RFC 9110 and 9112, and for broken bodies what src/http/response.rs says.

use std::collections::BTreeMap;

use super::super::client::{Asked, Framing, Response};
use super::script::{CONTENT, FILE, chunks};
use super::{Body, End, Fault, Turn, by_name, pattern};

/// The server's own: no application has a say in them.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "proxy-connection"];

pub enum Expected {
    /// The application's response.
    Response(Given),
    /// The server's own answer.
    Own(u16),
}

pub struct Given {
    status: u16,
    reason: Vec<u8>,
    /// Without those that are the server's, and without Content-Length.
    headers: BTreeMap<String, Vec<Vec<u8>>>,
    body: Vec<u8>,
    /// The Content-Length that must be there, if it is known.
    declared: Option<usize>,
    is_whole: bool,
    has_body: bool,
    wants_to_close: bool,
    /// How the application writes names, where that is unusual.
    names: Vec<Vec<u8>>,
}

impl Expected {
    pub fn of(turn: &Turn, index: usize) -> Self {
        let answer = &turn.answer;
        let (produced, finishes, length) = match &answer.body {
            Body::Whole(size) => (pattern(index, size.bytes()), true, size.bytes()),
            Body::Chunks { sizes, end, .. } => {
                let all = chunks(sizes, index).concat();
                let length = all.len();
                (all, *end == End::Finish, length)
            }
            Body::File { offset, length } => {
                let (start, length) = (offset.bytes().min(FILE), length.bytes());
                (CONTENT[start..FILE.min(start + length)].to_vec(), true, length)
            }
            Body::Fault(fault) => {
                return Self::Own(match fault {
                    Fault::Application | Fault::Server => 500,
                    Fault::TooLarge => 413,
                    Fault::Timeout => 408,
                    Fault::Malformed => 400,
                });
            }
            Body::Silence => return Self::Own(500),
        };
        let head = answer.head(length);
        let (status, reason) = (head.status, head.reason);
        let names = head.names.iter().map(|name| name.to_vec()).collect();
        // The one wish for its connection that is granted.
        let wants_to_close = head.headers.get("connection").is_some_and(|wish| wish == "close");
        let mut headers = by_name(&head.headers);
        headers.retain(|name, _| !HOP_BY_HOP.contains(&&name[..]));
        let declared = match headers.remove("content-length").as_deref() {
            None => None,
            Some([one]) if !one.is_empty() && one.iter().all(u8::is_ascii_digit) => {
                match String::from_utf8_lossy(one).parse::<u64>() {
                    Ok(declared) => Some(usize::try_from(declared).unwrap_or(usize::MAX)),
                    Err(_) => return Self::Own(500),
                }
            }
            Some(_) => return Self::Own(500),
        };
        if status.is_informational() {
            return Self::Own(500);
        }
        let usual = status.canonical_reason().unwrap_or_default().as_bytes();
        let reason = reason.map_or(usual.to_vec(), |reason| reason.to_vec());
        let has_body = turn.ask.asked() == Asked::Other && !matches!(status.as_u16(), 204 | 205 | 304);
        let promised = declared.or(matches!(answer.body, Body::File { .. }).then_some(length));
        let (body, is_whole) = match promised {
            _ if !has_body => (Vec::new(), true),
            Some(promised) => (produced[..promised.min(produced.len())].to_vec(), promised <= produced.len()),
            None => (produced, finishes),
        };
        let declared = match status.as_u16() {
            204 | 205 | 304 => None,
            // To HEAD nothing is what an application says that leaves the rest to the server.
            _ if turn.ask.asked() == Asked::Head && declared.is_none() => {
                promised.filter(|length| *length > 0)
            }
            _ => promised,
        };
        Self::Response(Given {
            status: status.as_u16(),
            reason,
            headers,
            body,
            declared,
            is_whole,
            has_body,
            wants_to_close,
            names,
        })
    }

    /// Whether all of the answer comes.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Response(given) => given.is_whole,
        }
    }

    pub fn check(&self, turn: &Turn, answer: &Response) {
        let shown = || format!("{answer:?}\nto {turn:?}");
        let hints: Vec<_> = turn.answer.hints.iter().map(|hint| by_name(&super::hint(hint))).collect();
        let heard: Vec<_> = answer.hints.iter().map(|hint| grouped(hint)).collect();
        // RFC 9110 §15.2: HTTP/1.0 knows no interim responses.
        let hints = if turn.ask.is_1_0 { Vec::new() } else { hints };
        assert_eq!(heard, hints, "{}", shown());
        assert!(answer.continues <= usize::from(turn.ask.expects_continue), "{}", shown());
        assert!(turn.ask.persists() || !answer.persists(), "goes on after a last request: {}", shown());
        match self {
            Self::Own(status) => {
                assert_eq!(answer.status, *status, "{}", shown());
                assert!(answer.is_whole, "{}", shown());
                assert_eq!(
                    answer.header("content-type"),
                    Some(&b"text/plain; charset=utf-8"[..]),
                    "{}",
                    shown()
                );
                let is_refusal = *status < 500;
                assert!(!is_refusal || !answer.persists(), "{}", shown());
                assert!(is_refusal || self.persists(turn, answer), "closes without need: {}", shown());
            }
            Self::Response(given) => {
                given.check(turn, answer);
                assert!(self.persists(turn, answer), "closes without need: {}", shown());
            }
        }
    }

    /// Whether the connection goes on where it can.
    fn persists(&self, turn: &Turn, answer: &Response) -> bool {
        // Of a large body that nobody read the rest need not be taken in.
        let is_small = turn.ask.body.is_none_or(|(_, size)| size.bytes() <= 200 * 1024);
        let may_close = matches!(self, Self::Response(given) if given.wants_to_close);
        let can = turn.ask.persists()
            && !may_close
            && answer.is_whole
            && answer.framing != Framing::Close
            && is_small;
        answer.persists() || !can
    }
}

impl Given {
    fn check(&self, turn: &Turn, answer: &Response) {
        let shown = || format!("{answer:?}\nto {turn:?}");
        assert_eq!(answer.status, self.status, "{}", shown());
        assert_eq!(answer.reason, self.reason, "{}", shown());
        let mut heard = grouped(&answer.headers);
        for name in ["content-length", "transfer-encoding", "connection"] {
            heard.remove(name);
        }
        for name in ["server", "date"] {
            if !self.headers.contains_key(name) {
                assert!(heard.remove(name).is_some_and(|values| values.len() == 1), "no {name}: {}", shown());
            }
        }
        assert_eq!(heard, self.headers, "{}", shown());
        assert!(!self.wants_to_close || !answer.persists(), "{}", shown());
        for name in &self.names {
            // Written in two ways, it is the first one's.
            let name = self.names.iter().find(|first| first.eq_ignore_ascii_case(name)).unwrap_or(name);
            assert!(answer.names.contains(name), "{} is written otherwise: {}", name.escape_ascii(), shown());
        }
        assert!(
            answer.body == self.body,
            "{} bytes instead of {}: {}",
            answer.body.len(),
            self.body.len(),
            shown()
        );
        // RFC 1945 §7.2.2: where the connection's end is the body's, a broken one cannot be told on a unix socket.
        let is_told = answer.framing != Framing::Close || !turn.ask.is_1_0;
        assert!(answer.is_whole == self.is_whole || !is_told, "whole: {}: {}", self.is_whole, shown());
        match (answer.framing, self.declared) {
            (Framing::Length(length), Some(declared)) => assert_eq!(length, declared, "{}", shown()),
            (Framing::None, Some(declared)) => {
                let length = answer.header("content-length").map(<[u8]>::to_vec);
                let length = length.and_then(|length| String::from_utf8(length).ok()?.parse().ok());
                assert_eq!(length, Some(declared), "a HEAD's length: {}", shown());
            }
            (Framing::Chunked | Framing::Close, Some(_)) => panic!("another framing: {}", shown()),
            (Framing::Close, None) => assert!(turn.ask.is_1_0, "{}", shown()),
            (_, None) => {}
        }
        assert!(self.has_body || answer.body.is_empty(), "{}", shown());
        assert!(answer.framing != Framing::Chunked || !turn.ask.is_1_0, "{}", shown());
    }
}

fn grouped(headers: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        all.entry(name.clone()).or_default().push(value.clone());
    }
    all
}
