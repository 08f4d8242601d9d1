//! From bytes to the environ, without a socket: the strict reader, hyper behind it, and the rules of the environ.
//!
//! Input: two bytes that say how the stream is split, and the stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use chaussette::http::fuzzing::{Inspected, Message, inspect, parse, prepare};
use chaussette::wsgi::environ;
use http::request::Parts;

use super::oracle::{self, End, Framing, Request};
use super::{limits, split};

/// Panics at a finding; else says how many requests were good.
pub fn check(input: &[u8]) -> usize {
    let Some((seed, stream)) = input.split_first_chunk() else { return 0 };
    check_stream(stream, u16::from_be_bytes(*seed))
}

fn check_stream(stream: &[u8], seed: u16) -> usize {
    let limits = limits();
    let whole = inspect([stream], &limits);
    for seed in [1, seed] {
        let pieces = split(stream, seed, 1000);
        assert_eq!(
            inspect(pieces.iter().copied(), &limits),
            whole,
            "split by {seed}: {}",
            stream.escape_ascii()
        );
    }
    let expected = oracle::read(stream, &limits);
    agree(&whole, &expected.requests, expected.end, stream);
    let mut good = 0;
    for (message, request) in whole.messages.iter().zip(&expected.requests) {
        if !message.is_whole {
            continue;
        }
        let (parts, body) = parse(message, &limits)
            .unwrap_or_else(|why| panic!("approved, but {why}: {}", message.approved.escape_ascii()));
        assert!(body == request.body, "hyper and the RFC see different bodies: {}", stream.escape_ascii());
        same_head(&parts, request);
        prepared(parts, body, message, request);
        good += 1;
    }
    good
}

/// The strict reader sees the requests that the RFC sees, and refuses what it refuses.
fn agree(found: &Inspected, requests: &[Request], end: End, stream: &[u8]) {
    let text = stream.escape_ascii();
    let refused = matches!(end, End::BadHead(_) | End::BadBody(_));
    assert_eq!(found.refusal.is_some(), refused, "{:?}, but {end:?}: {text}", found.refusal);
    if let Some((status, _)) = found.refusal {
        assert!([400, 413, 414, 431, 501, 505].contains(&status), "{status}: {text}");
    }
    assert_eq!(found.messages.len(), requests.len(), "{found:?}, but {requests:?}, {end:?}: {text}");
    for (index, (message, request)) in found.messages.iter().zip(requests).enumerate() {
        assert_eq!(message.start, request.start, "request {index}: {text}");
        let is_whole = index + 1 < requests.len() || !matches!(end, End::InBody | End::BadBody(_));
        assert_eq!(message.is_whole, is_whole, "request {index}: {text}");
        if is_whole {
            assert!(message.approved == stream[request.start..request.end], "request {index}: {text}");
        } else {
            assert!(stream[request.start..].starts_with(&message.approved), "request {index}: {text}");
        }
    }
}

/// hyper has the same head, word by word.
fn same_head(parts: &Parts, request: &Request) {
    assert_eq!(parts.method.as_str().as_bytes(), request.method, "{request:?}");
    assert_eq!(parts.version == http::Version::HTTP_10, request.is_1_0, "{request:?}");
    let mut headers = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &parts.headers {
        headers.entry(name.as_str().as_bytes().to_vec()).or_default().push(value.as_bytes().to_vec());
    }
    assert_eq!(headers, request.by_name(), "{request:?}");
    assert_eq!(parts.uri.host().is_some(), request.absolute().is_some(), "{request:?}");
}

fn prepared(mut parts: Parts, body: Bytes, message: &Message, request: &Request) {
    let max_body = limits().max_body;
    let too_large = matches!(request.framing, Framing::Length(length) if Some(length) > max_body);
    let expects = expects_the_unknown(request);
    match prepare(&mut parts, body, max_body) {
        Err(status) => {
            let expected = if too_large { 413 } else { 417 };
            assert!(too_large || expects, "refused with {status}: {request:?}");
            assert_eq!(status, expected, "{request:?}");
        }
        Ok(()) => {
            assert!(!too_large && !expects, "not refused: {request:?}");
            let sent = message.target.clone().map(|target| &message.approved[target]);
            same_environ(&pairs(&parts, sent), request);
        }
    }
}

/// RFC 9110 §10.1.1. HTTP/1.0 knows no expectations.
pub fn expects_the_unknown(request: &Request) -> bool {
    let mut members = request.values("expect").flat_map(|line| line.split(|byte| *byte == b','));
    let is_known = |member: &[u8]| member.is_empty() || member.eq_ignore_ascii_case(b"100-continue");
    !request.is_1_0 && members.any(|member| !is_known(member.trim_ascii()))
}

/// What of the environ a request decides, as `wsgi/dict` puts it together. A key that comes twice is a finding.
fn pairs(parts: &Parts, sent: Option<&[u8]>) -> BTreeMap<String, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    let mut set = |key: &str, value: &[u8]| {
        let before = pairs.insert(key.to_owned(), value.to_vec());
        assert!(before.is_none(), "{key} comes twice: {parts:?}");
    };
    set("REQUEST_METHOD", parts.method.as_str().as_bytes());
    set("PATH_INFO", &environ::path_info(&parts.uri));
    set("QUERY_STRING", environ::query_string(&parts.uri, sent));
    set("REQUEST_URI", environ::request_uri(&parts.uri, sent));
    set("SERVER_PROTOCOL", environ::server_protocol(parts.version).as_bytes());
    for name in parts.headers.keys() {
        let Some(key) = environ::header_key(name) else { continue };
        let values: Vec<_> = parts.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        set(&key, &values.join(environ::separator(name)));
    }
    pairs
}

/// PEP 3333 and RFC 3875 §4.1, from the request as the RFC sees it.
fn same_environ(pairs: &BTreeMap<String, Vec<u8>>, request: &Request) {
    let (path, query) = request.path_and_query();
    let mut expected = BTreeMap::from([
        ("REQUEST_METHOD".to_owned(), request.method.clone()),
        // RFC 9112 §3.3: of the server as a whole there is no path.
        ("PATH_INFO".to_owned(), if path == b"*" { Vec::new() } else { percent_decoded(&path) }),
        ("QUERY_STRING".to_owned(), query),
        ("SERVER_PROTOCOL".to_owned(), if request.is_1_0 { b"HTTP/1.0" } else { b"HTTP/1.1" }.to_vec()),
    ]);
    expected.insert("REQUEST_URI".to_owned(), request.target.clone());
    for (name, values) in request.by_name() {
        let key = String::from_utf8(name).expect("a token").to_ascii_uppercase();
        let glue = if key == "COOKIE" { &b"; "[..] } else { b", " };
        let key = match &key[..] {
            "CONTENT-TYPE" | "CONTENT-LENGTH" => key.replace('-', "_"),
            // What a proxy vouches for under its name with `-`; what CGI programs take for their own proxy.
            _ if key.contains('_') || key == "PROXY" => continue,
            // Of chunks that are no more.
            "TRANSFER-ENCODING" => continue,
            "TRAILER" if request.framing == Framing::Chunked => continue,
            _ => format!("HTTP_{}", key.replace('-', "_")),
        };
        expected.insert(key, values.join(glue));
    }
    if request.framing == Framing::Chunked {
        expected.insert("CONTENT_LENGTH".to_owned(), request.body.len().to_string().into_bytes());
    }
    if let Some((authority, _)) = request.absolute() {
        expected.insert("HTTP_HOST".to_owned(), authority.to_vec());
    }
    assert_eq!(*pairs, expected, "{request:?}");
    for (key, value) in pairs {
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_lowercase()), "{key:?}");
        // PATH_INFO is the one that is decoded: %0d%0a in it is the application's to mind.
        let is_clean = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        assert!(is_clean || key == "PATH_INFO", "{key}: {}", value.escape_ascii());
    }
}

/// RFC 3986 §2.1; what is not a percent-encoded byte stays as it is.
pub fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let [first, more @ ..] = rest {
        let digit = |at: usize| more.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two digits"));
                rest = &more[2..];
            }
            _ => {
                decoded.push(*first);
                rest = more;
            }
        }
    }
    decoded
}
