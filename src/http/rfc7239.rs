//! The grammar of the `Forwarded` header, RFC 7239 §4, and of the nodes that it and X-Forwarded-For name, §6.
//!
//! Pure functions on bytes, each linear in them. A value that breaks the grammar is none.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::syntax::is_token;

/// What one proxy says of the request that it received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) client: Option<Cow<'a, [u8]>>,
    pub(super) proto: Option<Cow<'a, [u8]>>,
    pub(super) host: Option<Cow<'a, [u8]>>,
    by: Option<Cow<'a, [u8]>>,
}

/// The elements of all lines of the header, the first proxy's first. Nothing if any of it breaks the grammar:
/// from there on it could mean anything.
pub(super) fn elements<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Element<'a>>> {
    let mut elements = Vec::new();
    for line in lines {
        let mut rest = skip_space(line);
        while let [first, behind @ ..] = rest {
            // Empty list elements mean nothing (RFC 9110 §5.6.1.2).
            if *first == b',' {
                rest = skip_space(behind);
                continue;
            }
            let (element, behind) = element(rest)?;
            elements.push(element);
            rest = skip_space(behind);
            if !matches!(rest, [] | [b',', ..]) {
                return None;
            }
        }
    }
    Some(elements)
}

/// forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ), and what is behind it.
fn element(mut rest: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let mut element = Element::default();
    loop {
        if rest.first().is_some_and(|&byte| is_token(byte)) {
            let (name, behind) = token(rest)?;
            let (value, behind) = value(behind.strip_prefix(b"=")?)?;
            rest = behind;
            // §4: each parameter once in an element. Of extensions that is not looked at: nothing depends on it.
            match parameter(&mut element, name) {
                Some(place) if place.is_some() => return None,
                Some(place) => *place = Some(value),
                None => {}
            }
        }
        match rest.strip_prefix(b";") {
            Some(behind) => rest = behind,
            None => return Some((element, rest)),
        }
    }
}

fn parameter<'a, 'e>(element: &'e mut Element<'a>, name: &[u8]) -> Option<&'e mut Option<Cow<'a, [u8]>>> {
    match name {
        name if name.eq_ignore_ascii_case(b"for") => Some(&mut element.client),
        name if name.eq_ignore_ascii_case(b"proto") => Some(&mut element.proto),
        name if name.eq_ignore_ascii_case(b"host") => Some(&mut element.host),
        name if name.eq_ignore_ascii_case(b"by") => Some(&mut element.by),
        _ => None,
    }
}

fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).filter(|_| end > 0)
}

/// value = token / quoted-string, and what is behind it.
fn value(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    match bytes {
        [b'"', quoted @ ..] => unquoted(quoted),
        _ => token(bytes).map(|(value, behind)| (Cow::Borrowed(value), behind)),
    }
}

/// quoted-string (RFC 9110 §5.6.4) behind its first quotation mark. Controls never come so far.
fn unquoted(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (plain, rest) = bytes.split_at_checked(end)?;
    if let [b'"', behind @ ..] = rest {
        return Some((Cow::Borrowed(plain), behind));
    }
    let mut value = plain.to_vec();
    let mut rest = rest.iter();
    loop {
        match rest.next()? {
            b'"' => return Some((Cow::Owned(value), rest.as_slice())),
            b'\\' => value.push(*rest.next()?),
            byte => value.push(*byte),
        }
    }
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    bytes.get(end..).unwrap_or_default()
}

/// An address that a proxy names, and the port if it is told.
pub(super) type Hop = (IpAddr, Option<u16>);

/// node (§6): an address, with a port or without. `unknown` and obfuscated names like `_hidden` are none.
pub(super) fn node(bytes: &[u8]) -> Option<Hop> {
    let text = str::from_utf8(bytes).ok()?;
    let (address, port): (IpAddr, _) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.into(), port)
        }
        None => {
            let (address, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (address.parse::<Ipv4Addr>().ok()?.into(), port)
        }
    };
    let port = match port {
        "" => None,
        port => node_port(port.strip_prefix(':')?)?,
    };
    Some((address.to_canonical(), port))
}

/// node-port: a number, or an obfuscated one that tells nothing.
fn node_port(text: &str) -> Option<Option<u16>> {
    if let Some(hidden) = text.strip_prefix('_') {
        let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        return (!hidden.is_empty() && hidden.bytes().all(is_hidden)).then_some(None);
    }
    Some(Some(port(text)?).filter(|&port| port > 0))
}

/// 1*5DIGIT: as a number, that of a TCP port.
pub(super) fn port(text: &str) -> Option<u16> {
    // `parse` alone would take a sign.
    (text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client, the scheme and the host that an element tells.
    type Said = [Option<String>; 3];

    fn read(lines: &[&str]) -> Option<Vec<Said>> {
        let text =
            |value: Option<Cow<'_, [u8]>>| value.map(|value| String::from_utf8(value.into_owned()).unwrap());
        let elements = elements(lines.iter().map(|line| line.as_bytes()))?;
        Some(elements.into_iter().map(|one| [text(one.client), text(one.proto), text(one.host)]).collect())
    }

    fn said(client: &str, proto: &str, host: &str) -> Said {
        [client, proto, host].map(|value| Some(value.to_owned()).filter(|value| value != "-"))
    }

    #[test]
    fn elements_are_read_as_the_grammar_has_them() {
        let table: [(&[&str], Vec<Said>); 14] = [
            // The examples of §4 and §7.
            (&[r#"for="_gazonk""#], vec![said("_gazonk", "-", "-")]),
            (&[r#"For="[2001:db8:cafe::17]:4711""#], vec![said("[2001:db8:cafe::17]:4711", "-", "-")]),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"], vec![said("192.0.2.60", "http", "-")]),
            (
                &["for=192.0.2.43, for=198.51.100.17"],
                vec![said("192.0.2.43", "-", "-"), said("198.51.100.17", "-", "-")],
            ),
            (&["for=_hidden, for=_SEVKISEK"], vec![said("_hidden", "-", "-"), said("_SEVKISEK", "-", "-")]),
            // Several lines, in order.
            (&["for=a", "for=b,for=c"], vec![said("a", "-", "-"), said("b", "-", "-"), said("c", "-", "-")]),
            (&["FOR=a;PROTO=https;HOST=b"], vec![said("a", "https", "b")]),
            (&[r#"host="example.org:8443";for="a,b;c""#], vec![said("a,b;c", "-", "example.org:8443")]),
            (&[r#"for="a\"b\\c\d""#], vec![said("a\"b\\cd", "-", "-")]),
            (&[r#"for="""#], vec![said("", "-", "-")]),
            (&["secret=x;for=a;secret=y"], vec![said("a", "-", "-")]),
            // Empty pairs and empty list elements.
            (&[";for=a;;"], vec![said("a", "-", "-")]),
            (&[" , for=a\t,, ,for=b ,"], vec![said("a", "-", "-"), said("b", "-", "-")]),
            (&["", "for=a"], vec![said("a", "-", "-")]),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_voids_all_of_it() {
        for bad in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= a",
            "for=a; proto=http",
            "for=a ;proto=http",
            "for=a b",
            // An address with a port, or of IPv6, is no token.
            "for=192.0.2.1:80",
            "for=[2001:db8::1]",
            "for=a;for=b",
            "proto=http;Proto=https",
            "by=a;by=b",
            r#"for="a"#,
            r#"for="a\"#,
            r#"for="a"b"#,
            r#"for=a"b""#,
            "for=a,for",
            "for=a\u{e9}",
            "{for=a}",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
            assert_eq!(read(&["for=192.0.2.1", bad]), None, "{bad}");
            assert_eq!(read(&[&format!("{bad}, for=192.0.2.1")]), None, "{bad}");
        }
    }

    #[test]
    fn a_node_is_an_address_with_a_port_or_without() {
        let table = [
            ("192.0.2.1", Some(("192.0.2.1", None))),
            ("192.0.2.1:80", Some(("192.0.2.1", Some(80)))),
            ("192.0.2.1:0", Some(("192.0.2.1", None))),
            ("192.0.2.1:_a.b-c_1", Some(("192.0.2.1", None))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("[2001:db8::1]:65535", Some(("2001:db8::1", Some(65535)))),
            ("[::ffff:192.0.2.1]:1", Some(("192.0.2.1", Some(1)))),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
            ("2001:db8::1", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]80", None),
            ("[fe80::1%eth0]", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:+80", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:000080", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1:_a b", None),
            ("192.0.2.01", None),
            ("192.0.2", None),
            (" 192.0.2.1", None),
            ("example.org", None),
            ("192.0.2.1\u{e9}", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(address, port)| (address.parse().unwrap(), port));
            assert_eq!(node(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(node(b"192.0.2.1\xff"), None);
    }

    #[test]
    fn reading_takes_time_in_proportion_to_the_length() {
        // Quadratic, each of these would take minutes.
        let long = 1 << 22;
        assert!(read(&[&"for=a,".repeat(long / 6)]).is_some());
        assert!(read(&[&format!("for=\"{}", "\\\"".repeat(long / 2))]).is_none());
        assert!(read(&[&(0..long / 8).map(|n| format!("x{n}=1;")).collect::<String>()]).is_some());
    }
}
