//! How a request becomes names and values of the environ: pure rules (PEP 3333 "environ Variables", RFC 3875 §4.1).

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName};
use http::{Uri, Version};
use percent_encoding::percent_decode_str;

/// The environ key of a request header; `None` when the header must not appear.
///
/// A name with `_` is dropped: `X_User` would become the same key as `X-User`, which a proxy in front may
/// vouch for. `Proxy` is dropped: `HTTP_PROXY` in a CGI-like environment redirects clients (CVE-2016-5385).
pub fn header_key(name: &HeaderName) -> Option<String> {
    if name == CONTENT_TYPE {
        return Some("CONTENT_TYPE".to_owned());
    }
    if name == CONTENT_LENGTH {
        return Some("CONTENT_LENGTH".to_owned());
    }
    if name.as_str().contains('_') || name.as_str() == "proxy" {
        return None;
    }
    let mut key = String::with_capacity("HTTP_".len() + name.as_str().len());
    key.push_str("HTTP_");
    key.extend(name.as_str().chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }));
    Some(key)
}

/// What joins several lines of one header: `, ` (RFC 9110 §5.3), but `; ` for cookies (RFC 6265 §5.4).
pub fn separator(name: &HeaderName) -> &'static [u8] {
    if name == COOKIE { b"; " } else { b", " }
}

/// `PATH_INFO`: the path, percent-decoded to bytes. Of `OPTIONS *` it is empty, as is the path of the URI
/// that it asks for (RFC 9112 §3.3): RFC 3875 §4.1.5 wants a `/` at the front of any other.
pub fn path_info(uri: &Uri) -> Cow<'_, [u8]> {
    match uri.path() {
        "*" => Cow::Borrowed(b""),
        path => percent_decode_str(path).into(),
    }
}

/// `QUERY_STRING`: as it was sent, without the `?`, and without the fragment that has no place in a target.
pub fn query_string<'a>(uri: &'a Uri, sent: Option<&'a [u8]>) -> &'a [u8] {
    let Some(sent) = sent else { return uri.query().unwrap_or("").as_bytes() };
    let target = sent.split(|byte| *byte == b'#').next().unwrap_or_default();
    target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default()
}

/// `REQUEST_URI` and `RAW_URI`: the request target as it was sent.
pub fn request_uri<'a>(uri: &'a Uri, sent: Option<&'a [u8]>) -> &'a [u8] {
    sent.unwrap_or_else(|| uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes())
}

/// `SERVER_PROTOCOL`.
pub fn server_protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_becomes_an_upper_case_key_with_underscores() {
        assert_eq!(
            header_key(&HeaderName::from_static("x-forwarded-for")).as_deref(),
            Some("HTTP_X_FORWARDED_FOR")
        );
    }

    #[test]
    fn content_type_and_length_have_no_prefix() {
        assert_eq!(header_key(&CONTENT_TYPE).as_deref(), Some("CONTENT_TYPE"));
        assert_eq!(header_key(&CONTENT_LENGTH).as_deref(), Some("CONTENT_LENGTH"));
    }

    #[test]
    fn a_header_with_an_underscore_never_shadows_one_with_a_hyphen() {
        assert_eq!(header_key(&HeaderName::from_static("x_user")), None);
    }

    #[test]
    fn a_proxy_header_never_becomes_http_proxy() {
        assert_eq!(header_key(&HeaderName::from_static("proxy")), None);
    }

    #[test]
    fn a_path_is_decoded_to_bytes_and_a_query_is_not() {
        let uri: Uri = "/caf%C3%A9%2Fx%zz?q=%20".parse().unwrap();
        assert_eq!(&*path_info(&uri), b"/caf\xc3\xa9/x%zz");
        assert_eq!(query_string(&uri, None), b"q=%20");
        assert_eq!(request_uri(&uri, None), b"/caf%C3%A9%2Fx%zz?q=%20");
    }

    #[test]
    fn what_was_sent_stands_where_the_uri_had_to_be_another() {
        let uri: Uri = "http://x/a?b=%22".parse().unwrap();
        let sent = &b"http://x/a?b=\"?#c?d"[..];
        assert_eq!(query_string(&uri, Some(sent)), b"b=\"?");
        assert_eq!(request_uri(&uri, Some(sent)), sent);
        assert_eq!(query_string(&uri, Some(b"http://x/a#b?c")), b"");
    }

    #[test]
    fn the_whole_server_has_no_path_and_says_so_in_the_target() {
        let uri: Uri = "*".parse().unwrap();
        assert_eq!((&*path_info(&uri), request_uri(&uri, None)), (&b""[..], &b"*"[..]));
    }

    #[test]
    fn an_absolute_target_without_a_path_has_the_path_of_the_root() {
        for target in ["http://h", "http://h?x=1", "http://h/?x"] {
            let parsed: Uri = target.parse().unwrap();
            assert_eq!(&*path_info(&parsed), b"/", "{target}");
        }
    }

    #[test]
    fn cookies_are_joined_by_semicolons() {
        assert_eq!(separator(&COOKIE), b"; ");
        assert_eq!(separator(&http::header::ACCEPT), b", ");
    }
}
