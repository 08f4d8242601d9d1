//! What an application may give to `start_response`: pure rules (PEP 3333 "The start_response() Callable").

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

/// Headers that concern one connection only (RFC 9110 §7.6.1): they are the server's.
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

/// Why a status or header was refused: the application sees it as ValueError.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("status must be three digits, a space and a reason, as \"200 OK\": {0:?}")]
    Status(String),
    #[error("status must be between 200 and 999 (1xx responses are the server's): {0:?}")]
    Interim(String),
    #[error("header name is not a token (RFC 9110 section 5.1): {0:?}")]
    Name(String),
    #[error("header value holds control characters or characters beyond latin-1: {name}: {value:?}")]
    Value { name: String, value: String },
    #[error("hop-by-hop header is the server's to send: {0:?}")]
    HopByHop(String),
    #[error("Content-Length is not a number, or was given twice with different values: {0:?}")]
    ContentLength(String),
}

/// `"200 OK"` → status and reason phrase. The reason may be empty; the space may then be missing.
pub fn status(text: &str) -> Result<(StatusCode, Option<Bytes>), HeadError> {
    let wrong = || HeadError::Status(text.to_owned());
    let (code, reason) = text.split_at_checked(3).ok_or_else(wrong)?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let code = StatusCode::from_bytes(code.as_bytes()).map_err(|_| wrong())?;
    if code.is_informational() {
        return Err(HeadError::Interim(text.to_owned()));
    }
    let reason = match reason.strip_prefix(' ') {
        Some(reason) => reason,
        None if reason.is_empty() => reason,
        None => return Err(wrong()),
    };
    if code.canonical_reason() == Some(reason) {
        return Ok((code, None));
    }
    let reason =
        latin1(reason).filter(|bytes| bytes.iter().all(|byte| is_field_byte(*byte))).ok_or_else(wrong)?;
    Ok((code, Some(Bytes::from(reason))))
}

/// Adds one header to `headers`, in the order given.
pub fn header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), HeadError> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadError::Name(name.to_owned()))?;
    if HOP_BY_HOP.contains(&parsed.as_str()) {
        return Err(HeadError::HopByHop(name.to_owned()));
    }
    let wrong = || HeadError::Value { name: name.to_owned(), value: value.to_owned() };
    // Optional whitespace around a value is not part of it (RFC 9110 §5.5).
    let bytes = latin1(value.trim_matches([' ', '\t'])).ok_or_else(wrong)?;
    let value = HeaderValue::from_bytes(&bytes).map_err(|_| wrong())?;
    if parsed == http::header::CONTENT_LENGTH {
        return content_length(headers, value);
    }
    headers.append(parsed, value);
    Ok(())
}

fn content_length(headers: &mut HeaderMap, value: HeaderValue) -> Result<(), HeadError> {
    let wrong = || HeadError::ContentLength(String::from_utf8_lossy(value.as_bytes()).into_owned());
    let digits = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if !digits || value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).is_none() {
        return Err(wrong());
    }
    if headers.get(http::header::CONTENT_LENGTH).is_some_and(|earlier| earlier != value) {
        return Err(wrong());
    }
    headers.insert(http::header::CONTENT_LENGTH, value);
    Ok(())
}

/// A native string's bytes; `None` when a character is beyond latin-1.
fn latin1(text: &str) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return Some(text.as_bytes().to_vec());
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Visible characters, space, tab and obs-text (RFC 9112 §4).
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_status_needs_no_reason_of_its_own() {
        assert_eq!(status("200 OK"), Ok((StatusCode::OK, None)));
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        let (code, reason) = status("299 Weird Reason").unwrap();
        assert_eq!((code.as_u16(), reason.as_deref()), (299, Some(&b"Weird Reason"[..])));
        let (_, reason) = status("200 Sehr sch\u{f6}n").unwrap();
        assert_eq!(reason.as_deref(), Some(&b"Sehr sch\xf6n"[..]));
    }

    #[test]
    fn a_malformed_status_is_refused() {
        for text in ["", "20", "200OK", "abc OK", "2x0 OK", "200 O\r\nK", "200 \u{20ac}", "099 Low"] {
            assert!(matches!(status(text), Err(HeadError::Status(_))), "{text:?}");
        }
        assert!(matches!(status("100 Continue"), Err(HeadError::Interim(_))));
    }

    #[test]
    fn headers_keep_their_order_and_number() {
        let mut headers = HeaderMap::new();
        header(&mut headers, "Set-Cookie", "a=1").unwrap();
        header(&mut headers, "Set-Cookie", "b=2").unwrap();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn a_header_cannot_be_injected() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("X", "a\r\nSet-Cookie: b"), ("X", "a\nb"), ("X", "a\0b"), ("X", "\u{20ac}")] {
            assert!(matches!(header(&mut headers, name, value), Err(HeadError::Value { .. })), "{value:?}");
        }
        for name in ["", "a b", "a:b", "X\r\nY", "\u{e9}"] {
            assert!(matches!(header(&mut headers, name, "x"), Err(HeadError::Name(_))), "{name:?}");
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn hop_by_hop_headers_are_refused() {
        let mut headers = HeaderMap::new();
        for name in ["Connection", "transfer-encoding", "Upgrade", "Keep-Alive", "TE", "Trailer"] {
            assert!(matches!(header(&mut headers, name, "x"), Err(HeadError::HopByHop(_))), "{name}");
        }
    }

    #[test]
    fn content_length_is_one_number() {
        let mut headers = HeaderMap::new();
        for value in ["", "-1", "+1", "1a", "1,1", "99999999999999999999"] {
            assert!(header(&mut headers, "Content-Length", value).is_err(), "{value}");
        }
        header(&mut headers, "Content-Length", "5").unwrap();
        header(&mut headers, "content-length", "5").unwrap();
        assert!(header(&mut headers, "Content-Length", "6").is_err());
        assert_eq!(headers.get_all("content-length").iter().count(), 1);
    }
}
