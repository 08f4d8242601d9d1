//! What proxies say of their client: the PROXY protocol's header, X-Forwarded-* and Forwarded.
//!
//! Input: a byte that says which of the two it is, the settings, and the header or the header lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chaussette::config::{ForwardedHeader, Proxies, ProxyProtocol, Trusted, Unbelieved};
use chaussette::exchange::{Client, Connection, Scheme};
use chaussette::http::fuzzing::{Preface, attribute, preface};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::oracle::is_host;

/// Panics at a finding; else 1 if the input said something of a client.
pub fn check(input: &[u8]) -> usize {
    match input {
        [0x80..=0xff, protocol, bytes @ ..] => check_preface(bytes, *protocol),
        [trusted, settings, lines @ ..] => check_forwarded(lines, *trusted, *settings),
        _ => 0,
    }
}

// ---- the PROXY protocol

fn check_preface(bytes: &[u8], protocol: u8) -> usize {
    let protocol = [ProxyProtocol::Auto, ProxyProtocol::V1, ProxyProtocol::V2][usize::from(protocol) % 3];
    let shown = bytes.escape_ascii();
    let found = preface(bytes, protocol);
    let expected = match protocol {
        ProxyProtocol::V1 => version_1(bytes),
        ProxyProtocol::V2 => version_2(bytes),
        _ => version_1(bytes).or_else(|| version_2(bytes)),
    };
    match expected {
        Some(expected) => assert_eq!(found, expected, "{protocol:?}: {shown}"),
        None => assert!(!matches!(found, Preface::Done { .. }), "{found:?}, {protocol:?}: {shown}"),
    }
    // What was said of the beginning stands, whatever comes behind it.
    let mut before = Preface::Partial;
    for length in 0..bytes.len().min(300) {
        let now = preface(&bytes[..length], protocol);
        assert!(before == Preface::Partial || now == before, "{before:?}, then {now:?} at {length}: {shown}");
        if let Preface::Done { length: end, .. } = now {
            assert_eq!(end.max(length), length, "read beyond its end: {shown}");
        }
        before = now;
    }
    if before != Preface::Partial {
        assert_eq!(found, before, "{shown}");
    }
    assert!(found != Preface::Partial || bytes.len() < 16 + 65_536, "waits without end");
    usize::from(matches!(found, Preface::Done { .. }))
}

/// proxy-protocol.txt §2.1: a line of 107 bytes at most.
fn version_1(bytes: &[u8]) -> Option<Preface> {
    let end = bytes.iter().take(107).position(|byte| *byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    if line.contains(&b'\r') {
        return None;
    }
    let done = |addresses| Preface::Done { length: end + 1, addresses, is_unix: false, is_tls: false };
    let rest = line.strip_prefix(b"PROXY ")?;
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Some(done(None));
    }
    let words: Vec<_> = std::str::from_utf8(rest).ok()?.split(' ').collect();
    let [family, source, destination, from, to] = words[..] else { return None };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(text.parse::<Ipv4Addr>().ok()?.into()),
            "TCP6" => Some(text.parse::<Ipv6Addr>().ok()?.into()),
            _ => None,
        }
    };
    let port = |text: &str| {
        let port: u16 = text.parse().ok()?;
        (port.to_string() == text).then_some(port)
    };
    let source = SocketAddr::new(address(source)?.to_canonical(), port(from)?);
    let destination = SocketAddr::new(address(destination)?.to_canonical(), port(to)?);
    Some(done(Some((source, destination))))
}

/// proxy-protocol.txt §2.2: 16 fixed bytes, addresses, extensions.
fn version_2(bytes: &[u8]) -> Option<Preface> {
    let (fixed, rest) = bytes.split_first_chunk::<16>()?;
    if !fixed.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return None;
    }
    let length = usize::from(fixed[14]) << 8 | usize::from(fixed[15]);
    // 16 KiB: a bound of ours.
    if length > 16 * 1024 || rest.len() < length {
        return None;
    }
    let block = &rest[..length];
    let done =
        |addresses, is_unix, is_tls| Some(Preface::Done { length: 16 + length, addresses, is_unix, is_tls });
    match fixed[12] {
        // LOCAL: all that follows is skipped.
        0x20 => return done(None, false, false),
        0x21 => {}
        _ => return None,
    }
    let (family, transport) = (fixed[13] >> 4, fixed[13] & 15);
    if family > 3 || transport > 2 {
        return None;
    }
    if family == 0 || transport == 0 {
        return done(None, false, false);
    }
    let size = [0, 12, 36, 216][usize::from(family)];
    if length < size {
        return None;
    }
    let (addresses, extensions) = block.split_at(size);
    let is_tls = extensions_of(&bytes[..16 + length], extensions)?;
    let number = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let address = |at: usize, length: usize| -> IpAddr {
        let part = &addresses[at..at + length];
        match length {
            4 => <[u8; 4]>::try_from(part).expect("4 bytes").into(),
            _ => IpAddr::from(<[u8; 16]>::try_from(part).expect("16 bytes")).to_canonical(),
        }
    };
    match family {
        3 => done(None, true, is_tls),
        _ => {
            let length = if family == 1 { 4 } else { 16 };
            let source = SocketAddr::new(address(0, length), number(2 * length));
            let destination = SocketAddr::new(address(length, length), number(2 * length + 2));
            done(Some((source, destination)), false, is_tls)
        }
    }
}

/// §2.2: whether the client came over TLS. Nothing where they are malformed or the checksum is wrong.
fn extensions_of(header: &[u8], extensions: &[u8]) -> Option<bool> {
    let mut is_tls = false;
    let mut rest = extensions;
    while let [kind, high, low, more @ ..] = rest {
        let length = usize::from(*high) << 8 | usize::from(*low);
        if more.len() < length {
            return None;
        }
        let (value, more) = more.split_at(length);
        match kind {
            0x03 => {
                let given = u32::from_be_bytes(value.try_into().ok()?);
                let mut zeroed = header.to_vec();
                let at = header.len() - more.len() - 4;
                zeroed[at..at + 4].fill(0);
                if checksum(&zeroed) != given {
                    return None;
                }
            }
            0x20 if length < 5 => return None,
            0x20 => is_tls |= value[0] & 1 == 1,
            _ => {}
        }
        rest = more;
    }
    rest.is_empty().then_some(is_tls)
}

/// CRC-32C (RFC 4960 appendix B), by a table.
fn checksum(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (entry, value) in table.iter_mut().zip(0_u32..) {
        *entry = (0..8).fold(value, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 });
    }
    !bytes.iter().fold(!0, |crc, byte| table[((crc ^ u32::from(*byte)) & 255) as usize] ^ crc >> 8)
}

// ---- headers

const TRUSTED: [&str; 8] =
    ["", "10.0.0.0/8", "*", "unix", "127.0.0.1", "10.0.0.0/8,::1,unix", "*,10.0.0.0/8", "0.0.0.0/0"];

fn check_forwarded(lines: &[u8], trusted: u8, settings: u8) -> usize {
    let trusted: Trusted = TRUSTED[usize::from(trusted) % TRUSTED.len()].parse().expect("a list");
    let mut proxies = Proxies { trusted, ..Proxies::default() };
    if settings & 1 == 1 {
        proxies.unbelieved = Unbelieved::Removed;
    }
    if settings & 2 == 2 {
        proxies.headers.0.retain(|header| *header != ForwardedHeader::For);
    }
    if settings & 4 == 4 {
        proxies.headers.0.retain(|header| *header != ForwardedHeader::Host);
    }
    let client = match settings >> 6 {
        0 => Client::Unix,
        1 => Client::Inet(Ipv4Addr::new(127, 0, 0, 1).into(), Some(4000)),
        2 => Client::Inet(Ipv4Addr::new(10, 1, 1, 1).into(), Some(4000)),
        _ => Client::Inet(Ipv4Addr::new(203, 0, 113, 9).into(), Some(4000)),
    };
    let headers = headers(lines);
    let shown = format!("{proxies:?}, {client:?}, {headers:?}");
    let seen = see(&headers, client, &proxies);
    let believes = proxies.trusted.has_peer(client.address());
    let mut expected = headers.clone();
    for header in ForwardedHeader::ALL {
        if proxies.unbelieved == Unbelieved::Removed && !(believes && proxies.headers.has(header)) {
            expected.remove(header.name());
        }
    }
    if !believes {
        assert_eq!(seen.connection, fresh(client), "nobody was to be believed: {shown}");
        assert_eq!(seen.headers, expected, "{shown}");
        return 0;
    }
    valid(&seen, &shown);
    if seen.headers.get(HOST) != headers.get(HOST) {
        expected.insert(HOST, seen.headers[HOST].clone());
    }
    assert_eq!(seen.headers, expected, "{shown}");
    same_client(&headers, client, &proxies, &seen);
    forged(&headers, client, &proxies, &seen);
    usize::from(seen.connection != fresh(client))
}

/// A connection as this file compares it.
#[derive(Debug, PartialEq, Eq)]
struct Shown(Client, String, String, String, String);

struct Seen {
    connection: Shown,
    headers: HeaderMap,
}

fn connection(client: Client) -> Connection {
    Connection {
        client,
        server_name: "here".to_owned(),
        server_port: "8080".to_owned(),
        scheme: Scheme::Http,
        script_name: String::new(),
    }
}

fn shown(of: &Connection) -> Shown {
    let text = |text: &str| text.to_owned();
    let scheme = text(of.scheme.as_str());
    Shown(of.client, text(&of.server_name), text(&of.server_port), scheme, text(&of.script_name))
}

fn fresh(client: Client) -> Shown {
    shown(&connection(client))
}

fn see(headers: &HeaderMap, client: Client, proxies: &Proxies) -> Seen {
    let mut headers = headers.clone();
    let connection = shown(&attribute(&mut headers, connection(client), proxies));
    Seen { connection, headers }
}

/// Lines of a letter that stands for the name, and a value.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("direct:81"));
    for line in lines.split(|byte| *byte == b'\n') {
        let [letter, value @ ..] = line else { continue };
        let name = match letter % 8 {
            0 => continue,
            7 => "x-other",
            letter => ForwardedHeader::ALL[usize::from(letter - 1)].name(),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Whatever was believed, nothing in it can be more than it says.
fn valid(seen: &Seen, text: &str) {
    let Shown(_, server_name, server_port, _, prefix) = &seen.connection;
    let hosts: Vec<_> = seen.headers.get_all(HOST).iter().collect();
    assert!(hosts.len() == 1 && is_host(hosts[0].as_bytes()), "{hosts:?}: {text}");
    assert!(is_host(server_name.as_bytes()), "{server_name}: {text}");
    let port: u16 = server_port.parse().unwrap_or_else(|error| panic!("{server_port}: {error}: {text}"));
    assert!(port > 0 && port.to_string() == *server_port, "{server_port}: {text}");
    let is_path = prefix.starts_with('/') && !prefix.starts_with("//") && !prefix.ends_with('/');
    let is_clean = prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    assert!(prefix.is_empty() || (is_path && is_clean), "{prefix}: {text}");
}

/// X-Forwarded-For from the right, as far as proxies of ours wrote it.
fn same_client(headers: &HeaderMap, peer: Client, proxies: &Proxies, seen: &Seen) {
    use ForwardedHeader::{For, Host, Port, Prefix, Proto};
    let counts =
        |header: &ForwardedHeader| proxies.headers.has(*header) && headers.contains_key(header.name());
    if ![For, Proto, Host, Port, Prefix].iter().any(counts) {
        return;
    }
    let mut expected = peer;
    let all: Vec<_> = headers.get_all(For.name()).iter().map(|line| line.as_bytes()).collect();
    let all = all.join(&b',');
    let elements = all.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty());
    for element in elements.collect::<Vec<_>>().into_iter().rev().filter(|_| proxies.headers.has(For)) {
        let Some((address, port)) = node(&String::from_utf8_lossy(element)) else { break };
        expected = Client::Inet(address, port);
        if !proxies.trusted.has_address(address) {
            break;
        }
    }
    assert_eq!(seen.connection.0, expected, "{headers:?}");
    // A proxy that writes this family passes on what its client put in the other one.
    let mut without = headers.clone();
    without.remove("forwarded");
    assert_eq!(see(&without, peer, proxies).connection, seen.connection, "{headers:?}");
}

/// An address, perhaps with a port; an IPv6 address with brackets or, alone, without.
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::from(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let at = text.find(':')?;
            (IpAddr::from(text[..at].parse::<Ipv4Addr>().ok()?), &text[at..])
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some(hidden) if hidden.starts_with('_') => {
            let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if hidden.len() < 2 || !hidden.bytes().all(is_hidden) {
                return None;
            }
            None
        }
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?).filter(|port| *port > 0)
        }
        Some(_) => return None,
    };
    Some((address.to_canonical(), port))
}

/// Where the walk ends at a client, what that client wrote into the headers changes nothing: it stands to the left.
fn forged(headers: &HeaderMap, peer: Client, proxies: &Proxies, seen: &Seen) {
    let client = seen.connection.0;
    let ends =
        client != peer && client.address().is_some_and(|address| !proxies.trusted.has_address(address));
    if !ends {
        return;
    }
    for (name, lie) in [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6;proto=https;host=evil")] {
        if !headers.contains_key(name) {
            continue;
        }
        let mut lies = HeaderMap::new();
        lies.insert(HeaderName::from_static(name), HeaderValue::from_static(lie));
        for (name, value) in headers {
            lies.append(name, value.clone());
        }
        let deceived = see(&lies, peer, proxies);
        assert_eq!(deceived.connection, seen.connection, "deceived by {lie}: {headers:?}, {proxies:?}");
    }
}
