//! The grammar of a request's head, RFC 9110 and 9112: what a line, a target, a host and a length may be.
//!
//! Pure functions on bytes.

use hyper::StatusCode;
use memchr::memchr;

use super::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Chunked,
    /// Not only `chunked`, but `chunked` last.
    Unknown,
    /// `chunked` is not last, or not once: the body's end cannot be known.
    Unframed,
}

/// A header or trailer line: its name, and its value without the white space around it.
pub(super) fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::bad_request("a header line begins with white space"));
    }
    let Some((name, value)) = memchr(b':', line).and_then(|at| line.split_at_checked(at)) else {
        return Err(Refusal::bad_request("a header line has no colon"));
    };
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Refusal::bad_request("a header name has an invalid character"));
    }
    let value = trim(value.get(1..).unwrap_or_default());
    // Without an early way out, so that it runs on 16 bytes at a time.
    let clean =
        value.iter().fold(true, |clean, &byte| clean & ((byte >= 0x20) & (byte != 0x7f) | (byte == b'\t')));
    if !clean {
        return Err(Refusal::bad_request("a header value has a control character"));
    }
    Ok((name, value))
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

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

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
            // RFC 9110 §4.2.4: userinfo in a request's URI is an error or an attempt to mislead.
            check_host(rest.get(..end).unwrap_or_default())
        }
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// RFC 9110 §7.2: uri-host [ ":" port ]. An http URI's host is never empty (§4.2.1).
pub(super) fn check_host(value: &[u8]) -> Result<(), Refusal> {
    let bad = || Refusal::bad_request("the request's host is invalid");
    let (host, port) = match value {
        [b'[', ..] => {
            let end = memchr(b']', value).ok_or_else(bad)?;
            let inside = value.get(1..end).unwrap_or_default();
            let is_literal = !inside.is_empty()
                && inside.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            (if is_literal { inside } else { return Err(bad()) }, value.get(end + 1..).unwrap_or_default())
        }
        _ => {
            let end = memchr(b':', value).unwrap_or(value.len());
            value.split_at_checked(end).ok_or_else(bad)?
        }
    };
    let is_name = !host.is_empty() && host.iter().all(|&byte| is_host_byte(byte));
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_name && is_port { Ok(()) } else { Err(bad()) }
}

/// RFC 3986 reg-name, and the colons that are left of an IPv6 literal.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(&byte)
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

/// RFC 9112 §6.1: the codings of one field line, after those of the lines before it.
pub(super) fn coding(value: &[u8], before: Option<Coding>) -> Coding {
    let mut all = before;
    for part in value.split(|&byte| byte == b',') {
        let is_chunked = trim(part).eq_ignore_ascii_case(b"chunked");
        all = Some(match (all, is_chunked) {
            (None, true) => Coding::Chunked,
            (None, false) => Coding::Unframed,
            // Something, then chunked: framed, but not decodable by us.
            (Some(Coding::Unframed), true) => Coding::Unknown,
            // Anything after chunked.
            (Some(_), _) => Coding::Unframed,
        });
    }
    all.unwrap_or(Coding::Unframed)
}
