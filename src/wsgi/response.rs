//! What an application may give to `start_response`: pure rules (PEP 3333 "The start_response() Callable").

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, StatusCode};

use super::clause::Clause;
use crate::exchange::ResponseHead;

/// Headers that concern one connection only (RFC 9110 §7.6.1, RFC 2616 §13.5.1): they are the server's.
/// Of `Connection` and `Keep-Alive` see [`wish`].
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that the front end adds at most: Server and Connection.
const SERVERS_OWN: usize = 2;

/// Characters of a refused value that a message shows: enough to find it in the application.
const SHOWN: usize = 80;

/// Why a status or header was refused: the application sees it as ValueError.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("status must be three digits, one space and a reason, as \"200 OK\": {0:?}")]
    Status(String),
    #[error("status must be between 200 and 999 (1xx responses are the server's): {0:?}")]
    Interim(String),
    #[error("header name is not a token (RFC 9110 section 5.1): {0:?}")]
    Name(String),
    #[error("header value holds control characters or characters beyond latin-1: {name}: {value:?}")]
    Value { name: String, value: String },
    #[error("hop-by-hop header is the server's to send: {name}: {value:?}")]
    HopByHop { name: String, value: String },
    #[error("Content-Length is not a number, or was given twice with different values: {0:?}")]
    ContentLength(String),
    #[error("more header names than a response can hold: {0}")]
    TooMany(usize),
}

impl HeadError {
    /// The clause that was broken.
    pub fn clause(&self) -> Clause {
        match self {
            Self::ContentLength(_) => Clause::ContentLength,
            _ => Clause::StartResponse,
        }
    }
}

/// Places in the list of an application's headers that are remembered. 16: what frameworks and their middleware send.
const PLACES: usize = 16;

/// Bytes of a header's name and value that are remembered, at most: what is longer is mostly different each time.
const REPEATED: usize = 256;

/// What applications say in each response, made ready once: at each place in the list of headers, what was there last.
#[derive(Debug, Default)]
pub struct Repeated(Vec<Place>);

#[derive(Debug, Default)]
struct Place {
    name: String,
    value: String,
    /// Made when it comes for the second time: what never repeats costs two copies of a short text.
    field: Option<Field>,
}

impl Repeated {
    /// The field of one header of the list, if it is one that may be said again.
    fn field(&mut self, at: usize, name: &str, value: &str) -> Result<Field, HeadError> {
        if at >= PLACES || name.len() + value.len() > REPEATED {
            return Field::new(name, value);
        }
        if self.0.len() <= at {
            self.0.resize_with(at + 1, Place::default);
        }
        let Some(place) = self.0.get_mut(at) else { return Field::new(name, value) };
        let again = place.name == name && place.value == value;
        if let Some(field) = place.field.as_ref().filter(|_| again) {
            return Ok(field.clone());
        }
        let field = Field::new(name, value)?;
        if again {
            place.field = Some(field.clone());
        } else if !matches!(&field, Field::Plain { name, .. } if *name == SET_COOKIE) {
            place.name.clear();
            place.name.push_str(name);
            place.value.clear();
            place.value.push_str(value);
            place.field = None;
        }
        Ok(field)
    }
}

/// One header as an application gave it.
#[derive(Debug, Clone)]
enum Field {
    Plain {
        name: HeaderName,
        value: HeaderValue,
        /// The name as it is to be written, where that is not Usual-Case.
        written: Option<Bytes>,
    },
    Length(u64, HeaderValue),
    Wish(Wish),
}

impl Field {
    fn new(name: &str, value: &str) -> Result<Self, HeadError> {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadError::Name(shown(name)))?;
        if is_of_connection(&parsed) {
            let wish = match parsed.as_str() {
                "connection" | "keep-alive" => wish(&parsed, value),
                _ => None,
            };
            let refused = || HeadError::HopByHop { name: shown(name), value: shown(value) };
            return wish.map(Self::Wish).ok_or_else(refused);
        }
        let wrong = || HeadError::Value { name: shown(name), value: shown(value) };
        // Optional whitespace around a value is not part of it (RFC 9110 §5.5).
        let bytes = latin1(value.trim_matches([' ', '\t'])).ok_or_else(wrong)?;
        let value = HeaderValue::from_bytes(&bytes).map_err(|_| wrong())?;
        if parsed == CONTENT_LENGTH {
            return match length(&value) {
                Some(length) => Ok(Self::Length(length, value)),
                None => Err(not_a_length(&value)),
            };
        }
        let written = (!is_usual(name)).then(|| Bytes::copy_from_slice(name.as_bytes()));
        Ok(Self::Plain { name: parsed, value, written })
    }
}

/// The length that a Content-Length says.
fn length(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn not_a_length(value: &HeaderValue) -> HeadError {
    HeadError::ContentLength(shown(&String::from_utf8_lossy(value.as_bytes())))
}

/// A head under construction, and what of it decides about the body.
#[derive(Debug)]
pub struct Head {
    /// Boxed: from here to the front end it changes hands several times.
    pub response: Box<ResponseHead>,
    /// What Content-Length says.
    pub declared: Option<u64>,
    /// What it wished for its connection.
    pub wish: Option<Wish>,
}

/// What an application said about its connection. PEP 3333 lets a server refuse that; but Mercurial and
/// WsgiDAV send `Connection: close` where they left a request's body unread, and pages that stream events
/// send `Connection: keep-alive`: to obey the one and to drop the other harms nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Close,
    KeepAlive,
}

impl Head {
    /// A head with room for `count` headers.
    pub fn new(status: (StatusCode, Option<Bytes>), count: usize) -> Result<Self, HeadError> {
        Self::within(HeaderMap::new(), status, count)
    }

    /// A head with room for `count` headers in a map that is empty, and has perhaps room already.
    pub fn within(
        mut headers: HeaderMap,
        (status, reason): (StatusCode, Option<Bytes>),
        count: usize,
    ) -> Result<Self, HeadError> {
        // And for what the front end adds: growing costs as much as all insertions before it.
        headers.try_reserve(count.saturating_add(SERVERS_OWN)).map_err(|_| HeadError::TooMany(count))?;
        Ok(Self {
            response: Box::new(ResponseHead { status, reason, headers, names: Vec::new() }),
            declared: None,
            wish: None,
        })
    }

    /// Adds one header, in the order given.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), HeadError> {
        self.put(Field::new(name, value)?)
    }

    /// Adds the header at place `at` of a list, which is perhaps one that such a list had there before.
    pub fn add_repeated(
        &mut self,
        repeated: &mut Repeated,
        at: usize,
        (name, value): (&str, &str),
    ) -> Result<(), HeadError> {
        self.put(repeated.field(at, name, value)?)
    }

    fn put(&mut self, field: Field) -> Result<(), HeadError> {
        let headers = &mut self.response.headers;
        match field {
            Field::Plain { name, value, written } => {
                self.response.names.extend(written);
                let count = headers.keys_len();
                headers.try_append(name, value).map_err(|_| HeadError::TooMany(count))?;
            }
            Field::Length(length, value) => match self.declared {
                None => {
                    self.declared = Some(length);
                    headers.insert(CONTENT_LENGTH, value);
                }
                // Said twice and the same: once is enough (RFC 9110 §8.6).
                Some(earlier) if length == earlier => {}
                Some(_) => return Err(not_a_length(&value)),
            },
            Field::Wish(wish) => {
                if wish == Wish::Close {
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                // Of the two, close wins (RFC 9112 §9.3).
                self.wish = if self.wish == Some(Wish::Close) { self.wish } else { Some(wish) };
            }
        }
        Ok(())
    }
}

fn is_of_connection(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Most names are told by their first letter.
    matches!(name.as_bytes().first(), Some(b'c' | b'k' | b'p' | b't' | b'u')) && HOP_BY_HOP.contains(&name)
}

/// What a `Connection` or `Keep-Alive` header wishes; `None` when it asks for something else, such as an upgrade.
fn wish(name: &HeaderName, value: &str) -> Option<Wish> {
    if *name != CONNECTION {
        return Some(Wish::KeepAlive);
    }
    let mut wish = None;
    for option in value.split(',').map(|option| option.trim_matches([' ', '\t'])) {
        if option.eq_ignore_ascii_case("close") {
            wish = Some(Wish::Close);
        } else if option.eq_ignore_ascii_case("keep-alive") {
            wish = wish.or(Some(Wish::KeepAlive));
        } else {
            return None;
        }
    }
    wish
}

/// `"200 OK"` → status and reason phrase. The reason may be empty, as RFC 9112 §4 has it; the space may not
/// be missing, and no other space may surround the two (PEP 3333).
pub fn status(text: &str) -> Result<(StatusCode, Option<Bytes>), HeadError> {
    let wrong = || HeadError::Status(shown(text));
    let (code, reason) = text.split_at_checked(3).ok_or_else(wrong)?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let code = StatusCode::from_bytes(code.as_bytes()).map_err(|_| wrong())?;
    if code.is_informational() {
        return Err(HeadError::Interim(shown(text)));
    }
    let reason = reason.strip_prefix(' ').ok_or_else(wrong)?;
    if code.canonical_reason() == Some(reason) {
        return Ok((code, None));
    }
    let plain = |bytes: &Cow<'_, [u8]>| bytes.iter().all(|byte| is_reason_byte(*byte));
    let bare = !reason.starts_with(' ') && !reason.ends_with(' ');
    let reason = latin1(reason).filter(plain).filter(|_| bare).ok_or_else(wrong)?;
    Ok((code, Some(Bytes::from(reason.into_owned()))))
}

/// Whether a header name is written as the front end writes it by itself: Usual-Case.
fn is_usual(name: &str) -> bool {
    let mut starts = true;
    name.bytes().all(|byte| {
        let usual = if starts { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
        starts = byte == b'-';
        usual
    })
}

/// A native string's bytes; `None` when a character is beyond latin-1.
fn latin1(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>().map(Cow::Owned)
}

/// Visible characters, space and obs-text (RFC 9112 §4), and no tab: PEP 3333 allows no control characters.
/// (Values may hold tabs: HTTP allows them, and wsgiref does.)
fn is_reason_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head::new((StatusCode::OK, None), 0).unwrap()
    }

    #[test]
    fn a_usual_status_needs_no_reason_of_its_own() {
        assert_eq!(status("200 OK"), Ok((StatusCode::OK, None)));
    }

    #[test]
    fn names_that_are_written_otherwise_are_kept() {
        let mut head = head();
        for name in ["Content-Type", "ETag", "X-1a", "www-authenticate", "DAV"] {
            head.add(name, "x").unwrap();
        }
        assert_eq!(head.response.names, ["ETag", "www-authenticate", "DAV"]);
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        let (code, reason) = status("299 Weird Reason").unwrap();
        assert_eq!((code.as_u16(), reason.as_deref()), (299, Some(&b"Weird Reason"[..])));
        let (_, reason) = status("200 Sehr sch\u{f6}n").unwrap();
        assert_eq!(reason.as_deref(), Some(&b"Sehr sch\xf6n"[..]));
        let (_, reason) = status("200 ").unwrap();
        assert_eq!(reason.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_malformed_status_is_refused() {
        let texts = ["", "20", "200", "200OK", "abc OK", "2x0 OK", "200 O\r\nK", "200 \u{20ac}", "099 Low"];
        let spaced = [" 200 OK", "200  OK", "200 OK ", "200\tOK", "200 O\tK", "200 OK\n", "200 \u{7f}"];
        for text in texts.into_iter().chain(spaced) {
            assert!(matches!(status(text), Err(HeadError::Status(_))), "{text:?}");
        }
        assert!(matches!(status("100 Continue"), Err(HeadError::Interim(_))));
    }

    #[test]
    fn headers_keep_their_order_and_number() {
        let mut head = head();
        head.add("Set-Cookie", "a=1").unwrap();
        head.add("Set-Cookie", "b=2").unwrap();
        let cookies: Vec<_> = head.response.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn a_header_cannot_be_injected() {
        let mut head = head();
        for (name, value) in [("X", "a\r\nSet-Cookie: b"), ("X", "a\nb"), ("X", "a\0b"), ("X", "\u{20ac}")] {
            assert!(matches!(head.add(name, value), Err(HeadError::Value { .. })), "{value:?}");
        }
        for name in ["", "a b", "a:b", "X\r\nY", "\u{e9}"] {
            assert!(matches!(head.add(name, "x"), Err(HeadError::Name(_))), "{name:?}");
        }
        assert!(head.response.headers.is_empty());
    }

    #[test]
    fn hop_by_hop_headers_are_refused() {
        let mut head = head();
        let names =
            ["transfer-encoding", "Upgrade", "TE", "Trailer", "Proxy-Authenticate", "Proxy-Connection"];
        for (name, value) in names.map(|name| (name, "x")).into_iter().chain([
            ("Connection", "upgrade"),
            ("Connection", "close, upgrade"),
            ("Connection", ""),
        ]) {
            assert!(matches!(head.add(name, value), Err(HeadError::HopByHop { .. })), "{name}: {value}");
        }
    }

    #[test]
    fn a_wish_to_close_is_kept_and_one_to_stay_is_dropped() {
        for (values, wish) in [
            (&["close"][..], Wish::Close),
            (&["Close"], Wish::Close),
            (&["keep-alive"], Wish::KeepAlive),
            (&["Keep-Alive, close"], Wish::Close),
            (&["close", "keep-alive"], Wish::Close),
        ] {
            let mut head = head();
            for value in values {
                head.add("Connection", value).unwrap();
            }
            assert_eq!(head.wish, Some(wish), "{values:?}");
            let kept = head.response.headers.get(CONNECTION).map(HeaderValue::as_bytes);
            assert_eq!(kept, (wish == Wish::Close).then_some(&b"close"[..]), "{values:?}");
        }
        let mut head = head();
        head.add("Keep-Alive", "timeout=5").unwrap();
        assert!(head.response.headers.is_empty());
    }

    #[test]
    fn content_length_is_one_number() {
        let mut head = head();
        for value in ["", "-1", "+1", "1a", "1,1", "99999999999999999999"] {
            assert!(matches!(head.add("Content-Length", value), Err(HeadError::ContentLength(_))), "{value}");
        }
        head.add("Content-Length", "5").unwrap();
        head.add("content-length", "5").unwrap();
        assert!(head.add("Content-Length", "6").is_err());
        assert_eq!(head.response.headers.get_all("content-length").iter().count(), 1);
        assert_eq!(head.declared, Some(5));
    }

    #[test]
    fn what_repeats_is_what_was_said() {
        let responses = [
            vec![
                ("Content-Type", "text/plain"),
                ("Content-Length", "5"),
                ("ETag", "a"),
                ("Connection", "close"),
            ],
            vec![("Content-Type", "text/plain"), ("Content-Length", "6"), ("ETag", "a"), ("Set-Cookie", "b")],
            vec![("Content-Type", "text/html"), ("Content-Length", "6"), ("ETag", "a"), ("Set-Cookie", "b")],
            vec![("ETag", "a"), ("Set-Cookie", "b"), ("Set-Cookie", "c")],
        ];
        let mut repeated = Repeated::default();
        // Each four times, so that each has been seen and kept before another one comes.
        for response in responses.iter().flat_map(|response| std::iter::repeat_n(response, 4)) {
            let (mut made, mut kept) = (head(), head());
            for (at, &(name, value)) in response.iter().enumerate() {
                made.add(name, value).unwrap();
                kept.add_repeated(&mut repeated, at, (name, value)).unwrap();
            }
            assert_eq!(made.response.headers, kept.response.headers);
            assert_eq!(made.response.names, kept.response.names);
            assert_eq!((made.declared, made.wish), (kept.declared, kept.wish));
        }
        let secrets = repeated.0.iter().filter(|place| place.name == "Set-Cookie");
        assert_eq!(secrets.count(), 0);
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let mut repeated = Repeated::default();
        for _ in 0..3 {
            let refused = head().add_repeated(&mut repeated, 0, ("X", "a\nb"));
            assert!(matches!(refused, Err(HeadError::Value { .. })));
            let mut head = head();
            head.add_repeated(&mut repeated, 1, ("Content-Length", "5")).unwrap();
            let refused = head.add_repeated(&mut repeated, 2, ("Content-Length", "6"));
            assert!(matches!(refused, Err(HeadError::ContentLength(_))));
        }
    }

    #[test]
    fn more_headers_than_a_response_can_hold_are_refused_and_not_a_panic() {
        let too_many = |count| matches!(Head::new((StatusCode::OK, None), count), Err(HeadError::TooMany(_)));
        assert!(too_many(100_000) && too_many(usize::MAX));
        let mut head = head();
        let refused = (0..100_000).find_map(|n| head.add(&format!("x-{n}"), "y").err());
        assert!(matches!(refused, Some(HeadError::TooMany(_))));
    }

    #[test]
    fn a_message_shows_the_beginning_of_what_was_refused() {
        let text = status(&"\u{e9}".repeat(5000)).unwrap_err().to_string();
        assert!(text.len() < 400, "{}", text.len());
    }
}
