//! The grammar of a request's head, RFC 9110 and 9112: what a line, a target, a host and a length may be.
//!
//! Pure functions on bytes.

use std::net::Ipv6Addr;

use hyper::StatusCode;
use memchr::memchr;

use super::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Chunked,
    /// Not only `chunked`, but `chunked` last.
    Unknown,
    /// No `chunked` so far: the body's end cannot be known.
    Unframed,
    /// No list of codings, or `chunked` not last, or twice.
    Malformed,
}

/// A request line's method, target and version: RFC 9112 §3, single spaces between them.
pub(super) fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (method, rest) = split_space(line, line.iter().position(|&byte| !is_token(byte))?)?;
    let (target, version) = split_space(rest, memchr(b' ', rest)?)?;
    (!method.is_empty()).then_some((method, target, version))
}

/// What is before and behind the space at `at`.
fn split_space(line: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let (before, rest) = line.split_at_checked(at)?;
    Some((before, rest.strip_prefix(b" ")?))
}

/// A header or trailer line: its name, and its value without the white space around it.
pub(super) fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::bad_request("a header line begins with white space"));
    }
    let end = line.iter().position(|&byte| !is_token(byte));
    let Some((name, value)) = end.and_then(|at| line.split_at_checked(at)) else {
        return Err(Refusal::bad_request("a header line has no colon"));
    };
    let Some(value) = value.strip_prefix(b":").filter(|_| !name.is_empty()) else {
        return Err(Refusal::bad_request("a header name has an invalid character"));
    };
    let value = trim(value);
    // Without an early way out, so that it runs on 16 bytes at a time.
    let clean =
        value.iter().fold(true, |clean, &byte| clean & ((byte >= 0x20) & (byte != 0x7f) | (byte == b'\t')));
    if !clean {
        return Err(Refusal::bad_request("a header value has a control character"));
    }
    Ok((name, value))
}

/// What any form of a request target is made of: visible ASCII. RFC 3986 allows less, but `"<>{|}^`\` come from
/// browsers and curl, and mean nothing else to anybody.
pub(super) fn is_target(target: &[u8]) -> bool {
    let visible = target.iter().fold(true, |visible, &byte| visible & (byte > 0x20) & (byte < 0x7f));
    visible && !target.is_empty()
}

/// Whether a target says more than hyper's `Uri` keeps of it, or what that does not take: any form but a plain path
/// and query.
pub(super) fn is_unusual(target: &[u8]) -> bool {
    target.first() != Some(&b'/') || target.iter().any(|byte| is_strange(*byte) || *byte == b'#')
}

/// What hyper's `Uri` refuses in a path or in a query.
fn is_strange(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// A target as hyper's `Uri` takes it, which is the same to whoever decodes it.
pub(super) fn plain(target: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(target.len());
    for &byte in target {
        match is_strange(byte) {
            true => plain.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => plain.push(byte),
        }
    }
    plain
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// RFC 3986 reg-name.
const HOST: [bool; 256] = alphanumeric_and(b"-._~%!$&'()*+,;=");

const fn alphanumeric_and(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
}

/// RFC 9112 §3.2: origin-form, absolute-form, `*` for OPTIONS. authority-form belongs to CONNECT, which an
/// origin server need not have (RFC 9110 §9.3.6).
pub(super) fn check_target(method: &[u8], target: &[u8]) -> Result<(), Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "this server is no proxy: CONNECT is not implemented",
        ));
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" if method == b"OPTIONS" => Ok(()),
        b"*" => Err(Refusal::bad_request("the request target * belongs to OPTIONS")),
        _ => {
            let rest = strip_scheme(target).ok_or_else(|| {
                Refusal::bad_request("the request target is neither a path nor an http URI")
            })?;
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            let authority = rest.get(..end).unwrap_or_default();
            // RFC 9110 §4.2.4: userinfo in a request's URI is an error or an attempt to mislead. hyper's `Uri`
            // knows no percent-encoded names.
            if memchr(b'%', authority).is_some() { Err(BAD_HOST) } else { check_host(authority) }
        }
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

const BAD_HOST: Refusal = Refusal::bad_request("the request's host is invalid");

/// RFC 9110 §7.2: uri-host [ ":" port ]. An http URI's host is never empty (§4.2.1).
pub(super) fn check_host(value: &[u8]) -> Result<(), Refusal> {
    let port = match value {
        [b'[', rest @ ..] => {
            let (address, rest) =
                memchr(b']', rest).and_then(|end| rest.split_at_checked(end)).ok_or(BAD_HOST)?;
            rest.strip_prefix(b"]").filter(|_| is_ipv6(address)).ok_or(BAD_HOST)?
        }
        _ => {
            let is_host = |byte: &u8| HOST.get(usize::from(*byte)).copied().unwrap_or(false);
            let end = value.iter().position(|byte| !is_host(byte)).unwrap_or(value.len());
            let (name, rest) = value.split_at_checked(end).ok_or(BAD_HOST)?;
            Some(rest).filter(|_| !name.is_empty() && is_encoded(name)).ok_or(BAD_HOST)?
        }
    };
    match port {
        [] => Ok(()),
        [b':', digits @ ..] if is_port(digits) => Ok(()),
        _ => Err(BAD_HOST),
    }
}

/// RFC 3986 §3.2.2, but for the address formats that are still to come.
fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Whether each percent sign begins a percent-encoded byte (RFC 3986 §2.1).
fn is_encoded(name: &[u8]) -> bool {
    name.split(|&byte| byte == b'%')
        .skip(1)
        .all(|rest| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

/// RFC 3986 §3.2.3: digits, perhaps none. There are 65536 ports.
fn is_port(digits: &[u8]) -> bool {
    let port = digits.iter().try_fold(0_u32, |port, &digit| {
        Some(port * 10 + u32::from(digit.wrapping_sub(b'0')))
            .filter(|port| digit.is_ascii_digit() && *port <= u32::from(u16::MAX))
    });
    port.is_some()
}

/// RFC 9110 §8.6: 1*DIGIT, no sign, no list.
pub(super) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad_request("the Content-Length is malformed"));
    }
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the Content-Length is beyond any limit");
    let mut length: u64 = 0;
    for digit in value {
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or_else(too_large)?;
    }
    // The two highest values mean something else to hyper.
    if length > u64::MAX - 2 { Err(too_large()) } else { Ok(length) }
}

/// RFC 9112 §6.1: the codings of one field line, after those of the lines before it. RFC 9110 §5.6.1 would have
/// empty elements ignored; where a framing depends on it, readers differ, and so nobody is believed.
pub(super) fn coding(value: &[u8], before: Option<Coding>) -> Coding {
    let mut all = before;
    for part in value.split(|&byte| byte == b',') {
        let part = trim(part);
        all = Some(match (all, part.eq_ignore_ascii_case(b"chunked")) {
            _ if !is_coding(part) => Coding::Malformed,
            (None, true) => Coding::Chunked,
            (None | Some(Coding::Unframed), false) => Coding::Unframed,
            // Something, then chunked: framed, but not decodable by us.
            (Some(Coding::Unframed), true) => Coding::Unknown,
            // Anything after chunked.
            (Some(Coding::Chunked | Coding::Unknown | Coding::Malformed), _) => Coding::Malformed,
        });
    }
    all.unwrap_or(Coding::Malformed)
}

/// RFC 9112 §7: a token, perhaps with parameters.
fn is_coding(part: &[u8]) -> bool {
    let name = trim(part.split(|&byte| byte == b';').next().unwrap_or_default());
    !name.is_empty() && name.iter().all(|&byte| is_token(byte))
}
