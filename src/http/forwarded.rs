//! Whom a request came from, as trusted proxies tell it: X-Forwarded-* and Forwarded (RFC 7239).
//!
//! Owns the rules: which header counts, which of its elements, what a value may be, and what becomes of it in the
//! waist's `Connection`. Pure but for the request's headers, which it is given. Everything here is linear in the
//! size of the head; a value that is not what it should be is as good as absent.
//!
//! Proxies write lists, the nearest one at the right end. The walk starts with the peer, which wrote the last
//! element of X-Forwarded-For; while an element is the address of a proxy of ours, that one wrote the element to the
//! left. The element at which the walk ends is the client's, and the other headers are read at the same place from
//! the right, or as far to the left as they go: they describe the same proxy's side of the world.

use std::sync::Arc;

use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::rfc7239::{Element, Hop, elements, node, port};
use super::syntax::check_host;
use crate::config::{ForwardedHeader, Proxies, Trusted, Unbelieved};
use crate::exchange::{Client, Connection, Scheme};

/// What is learnt of one request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    client: Option<Client>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    port: Option<u16>,
    prefix: Option<String>,
}

/// Whose request it is. Without a word of a trusted proxy it is the connection's client's, as ever.
pub(super) fn attribute(
    headers: &mut HeaderMap,
    connection: Arc<Connection>,
    proxies: &Proxies,
) -> Arc<Connection> {
    let believes = proxies.trusted.has_peer(connection.client.address());
    if proxies.unbelieved == Unbelieved::Removed {
        for header in ForwardedHeader::ALL {
            if !(believes && proxies.headers.has(header)) {
                headers.remove(name(header));
            }
        }
    }
    let told = match believes {
        true => x_forwarded(headers, connection.client, proxies)
            .or_else(|| forwarded(headers, connection.client, proxies)),
        false => None,
    };
    match told {
        Some(told) if told != Told::default() => Arc::new(retold(&connection, told, headers)),
        _ => connection,
    }
}

fn name(header: ForwardedHeader) -> HeaderName {
    match header {
        ForwardedHeader::Forwarded => FORWARDED,
        other => HeaderName::from_static(other.name()),
    }
}

/// The connection as the client sees it, who may not know of any proxy.
fn retold(connection: &Connection, told: Told, headers: &mut HeaderMap) -> Connection {
    let mut retold = connection.clone();
    let speaks_of_server = told.scheme.is_some() || told.host.is_some() || told.port.is_some();
    retold.client = told.client.unwrap_or(connection.client);
    retold.scheme = told.scheme.unwrap_or(connection.scheme);
    retold.script_name = told.prefix.unwrap_or_default();
    if let Some(host) = told.host {
        retold.server_name = String::from_utf8_lossy(split_host(host.as_bytes()).0).into_owned();
        headers.insert(HOST, host);
    }
    if speaks_of_server {
        let of_host = || {
            let (_, port_text) = split_host(headers.get(HOST)?.as_bytes());
            port(str::from_utf8(port_text).ok()?).filter(|&port| port > 0)
        };
        let port = told.port.or_else(of_host).unwrap_or(retold.scheme.default_port());
        retold.server_port = port.to_string();
    }
    retold
}

/// What X-Forwarded-* say. Nothing if the request has none that counts: a proxy that writes one family passes on
/// what the client put in the other, so the two are never mixed.
fn x_forwarded(headers: &HeaderMap, peer: Client, proxies: &Proxies) -> Option<Told> {
    use ForwardedHeader::{For, Host, Port, Prefix, Proto};
    let counts = |header| proxies.headers.has(header) && headers.contains_key(header.name());
    if ![For, Proto, Host, Port, Prefix].into_iter().any(counts) {
        return None;
    }
    let hops = listed(headers, For, proxies).map(hop);
    let (client, depth) = walk(peer, hops, &proxies.trusted);
    let at_depth = |header| listed(headers, header, proxies).take(depth).last();
    Some(Told {
        client: Some(client).filter(|&client| client != peer),
        scheme: at_depth(Proto).and_then(scheme),
        host: at_depth(Host).and_then(host),
        port: at_depth(Port).and_then(|text| port(str::from_utf8(text).ok()?)).filter(|&port| port > 0),
        prefix: at_depth(Prefix).and_then(prefix),
    })
}

/// What Forwarded says. Nothing if it is absent, or malformed.
fn forwarded(headers: &HeaderMap, peer: Client, proxies: &Proxies) -> Option<Told> {
    if !proxies.headers.has(ForwardedHeader::Forwarded) || !headers.contains_key(FORWARDED) {
        return None;
    }
    let Some(elements) = elements(headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes)) else {
        tracing::debug!("a trusted proxy sent a malformed Forwarded header: ignored");
        return None;
    };
    let hops = elements.iter().rev().map(|element| node(element.client.as_deref()?));
    let (client, depth) = walk(peer, hops, &proxies.trusted);
    // The farthest of the trusted proxies that says something of it.
    let ours = elements.get(elements.len().saturating_sub(depth)..).unwrap_or_default();
    let told = |part: for<'a> fn(&'a Element<'_>) -> Option<&'a [u8]>| ours.iter().find_map(part);
    Some(Told {
        client: Some(client).filter(|&client| client != peer),
        scheme: told(|element| element.proto.as_deref()).and_then(scheme),
        host: told(|element| element.host.as_deref()).and_then(host),
        port: None,
        prefix: None,
    })
}

/// Follows the hops from the nearest on, as far as proxies of ours wrote them. The last address that is known is
/// the client's; and how many elements were written by proxies of ours, at least the peer's own.
fn walk(peer: Client, hops: impl Iterator<Item = Option<Hop>>, trusted: &Trusted) -> (Client, usize) {
    let (mut client, mut depth) = (peer, 0);
    for hop in hops {
        depth += 1;
        let Some((address, port)) = hop else { break };
        client = Client::Inet(address, port);
        if !trusted.has_address(address) {
            break;
        }
    }
    (client, depth.max(1))
}

/// The elements of a header that counts, the nearest proxy's first. Several lines are one list, and empty elements
/// mean nothing (RFC 9110 §5.3, §5.6.1).
fn listed<'a>(
    headers: &'a HeaderMap,
    header: ForwardedHeader,
    proxies: &Proxies,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = proxies.headers.has(header).then(|| headers.get_all(header.name()).iter().rev());
    let elements = lines.into_iter().flatten().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// An element of X-Forwarded-For. Nobody specified it: in practice it is a node of RFC 7239, or an IPv6 address
/// without brackets.
fn hop(text: &[u8]) -> Option<Hop> {
    let bare = || str::from_utf8(text).ok()?.parse::<std::net::Ipv6Addr>().ok();
    node(text).or_else(|| Some((std::net::IpAddr::from(bare()?).to_canonical(), None)))
}

/// RFC 3986 §3.1: schemes have no case. Others than these two PEP 3333 does not know.
fn scheme(text: &[u8]) -> Option<Scheme> {
    match text {
        text if text.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        text if text.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        _ => None,
    }
}

/// What Host may be, and nothing else: it takes its place.
fn host(text: &[u8]) -> Option<HeaderValue> {
    check_host(text).ok()?;
    HeaderValue::from_bytes(text).ok()
}

/// A host that was checked: its name, with the brackets of an IPv6 address, and what stands for its port.
fn split_host(host: &[u8]) -> (&[u8], &[u8]) {
    let bracket = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host.iter().rposition(|&byte| byte == b':').filter(|&at| at > bracket);
    match colon.and_then(|at| host.split_at_checked(at)) {
        Some((name, port)) => (name, port.get(1..).unwrap_or_default()),
        None => (host, b""),
    }
}

/// `SCRIPT_NAME`: a path that begins with one slash and ends without. `//` and `/\` would begin another host's URL in
/// a redirect, `?` and `#` end a path, and what is not visible ASCII was not meant.
fn prefix(text: &[u8]) -> Option<String> {
    let end = text.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let text = text.get(..end)?;
    let is_path = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
    let is_prefix = matches!(text, [b'/', second, ..] if *second != b'/') && text.iter().all(is_path);
    is_prefix.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "127.0.0.1:5000";

    fn proxies(trusted: &str) -> Proxies {
        Proxies { trusted: trusted.parse().unwrap(), ..Proxies::default() }
    }

    fn connection(peer: &str) -> Arc<Connection> {
        let client = match peer {
            "unix" => Client::Unix,
            peer => {
                let peer: std::net::SocketAddr = peer.parse().unwrap();
                Client::Inet(peer.ip(), Some(peer.port()))
            }
        };
        Arc::new(Connection {
            client,
            server_name: "listener".to_owned(),
            server_port: "8080".to_owned(),
            scheme: Scheme::Http,
            script_name: String::new(),
        })
    }

    fn lines(text: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in text {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    /// Client, scheme, Host, server name, server port and prefix of a request with these header lines.
    fn seen(peer: &str, proxies: &Proxies, text: &[&str]) -> String {
        let mut headers = lines(&[&["Host: direct:81"], text].concat());
        let given = attribute(&mut headers, connection(peer), proxies);
        let client = match given.client {
            Client::Inet(address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
            Client::Inet(address, None) => address.to_string(),
            Client::Unix => "unix".to_owned(),
        };
        let host = headers.get(HOST).unwrap().to_str().unwrap();
        let (name, port, prefix) = (&given.server_name, &given.server_port, &given.script_name);
        format!("{client} {} {host} {name} {port} {prefix}", given.scheme.as_str())
    }

    /// The client alone.
    fn client(peer: &str, trusted: &str, text: &[&str]) -> String {
        let seen = seen(peer, &proxies(trusted), text);
        seen.split(' ').next().unwrap().to_owned()
    }

    const UNTOLD: &str = "http direct:81 listener 8080 ";

    #[test]
    fn nobody_is_believed_by_default() {
        let headers = [
            "X-Forwarded-For: 203.0.113.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil",
            "X-Forwarded-Port: 1",
            "X-Forwarded-Prefix: /evil",
            "Forwarded: for=203.0.113.7;proto=https;host=evil",
        ];
        for (peer, trusted) in
            [(PEER, ""), ("unix", ""), (PEER, "10.0.0.0/8"), (PEER, "unix"), ("unix", "0.0.0.0/0")]
        {
            for header in headers {
                assert_eq!(
                    seen(peer, &proxies(trusted), &[header]),
                    format!("{peer} {UNTOLD}"),
                    "{trusted} {header}"
                );
            }
            assert_eq!(seen(peer, &proxies(trusted), &headers), format!("{peer} {UNTOLD}"), "{trusted}");
        }
    }

    #[test]
    fn without_a_word_of_a_proxy_nothing_is_made_anew() {
        let given = connection(PEER);
        let same = attribute(&mut lines(&["Host: a"]), Arc::clone(&given), &proxies("*"));
        assert!(Arc::ptr_eq(&given, &same));
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        let ours = "127.0.0.0/8,10.0.0.0/8,2001:db8:aa::/48";
        let table: [(&[&str], &str); 27] = [
            (&["203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7:4711"], "203.0.113.7:4711"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:4711"], "[2001:db8::7]:4711"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            // What the client wrote by itself stands to the left.
            (&["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            (&["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
            (&["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
            // Proxies behind proxies.
            (&["6.6.6.6, 203.0.113.7, 10.0.0.1, 2001:db8:aa::1"], "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7", "10.0.0.1:99", "[2001:db8:aa::1]:99"], "203.0.113.7"),
            (&["203.0.113.7, ::ffff:10.0.0.1"], "203.0.113.7"),
            // All are ours: one of them asks by itself.
            (&["10.0.0.3, 10.0.0.2, 10.0.0.1"], "10.0.0.3"),
            (&["127.0.0.9:77"], "127.0.0.9:77"),
            // What cannot be read ends the walk at what is known.
            (&["unknown"], PEER),
            (&["203.0.113.7, unknown"], PEER),
            (&["203.0.113.7, unknown, 10.0.0.1"], "10.0.0.1"),
            (&["203.0.113.7, _hidden, 10.0.0.2, 10.0.0.1"], "10.0.0.2"),
            (&["203.0.113.7, 10.0.0.1:99999"], PEER),
            (&["203.0.113.7, 010.0.0.1"], PEER),
            (&["203.0.113.7 10.0.0.1"], PEER),
            (&["\"203.0.113.7\""], PEER),
            // Empty elements mean nothing.
            (&[", 203.0.113.7 ,\t, 10.0.0.1,,"], "203.0.113.7"),
            (&[","], PEER),
            (&[""], PEER),
            (&["", "203.0.113.7", ""], "203.0.113.7"),
            (&["203.0.113.7,10.0.0.1"], "203.0.113.7"),
        ];
        for (values, expected) in table {
            let text: Vec<_> = values.iter().map(|value| format!("X-Forwarded-For: {value}")).collect();
            let text: Vec<_> = text.iter().map(String::as_str).collect();
            assert_eq!(client(PEER, ours, &text), expected, "{values:?}");
        }
    }

    #[test]
    fn a_unix_socket_and_an_asterisk_trust_the_peer_and_no_address_in_a_header() {
        let header = ["X-Forwarded-For: 6.6.6.6, 203.0.113.7"];
        for (peer, trusted) in [("unix", "unix"), ("unix", "*"), (PEER, "*")] {
            assert_eq!(client(peer, trusted, &header), "203.0.113.7", "{peer} {trusted}");
        }
        // Unless it is listed.
        let chain = ["X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.1"];
        assert_eq!(client("unix", "unix,10.0.0.0/8", &chain), "203.0.113.7");
        assert_eq!(client("198.51.100.1:1", "*,10.0.0.0/8", &chain), "203.0.113.7");
        assert_eq!(client("unix", "unix", &["X-Forwarded-For: garbage"]), "unix");
    }

    #[test]
    fn each_header_becomes_what_it_says() {
        let table: [(&[&str], &str); 30] = [
            (&["X-Forwarded-Proto: https"], "https direct:81 listener 81 "),
            (&["X-Forwarded-Proto: HTTP"], "http direct:81 listener 81 "),
            (&["X-Forwarded-Host: example.org"], "http example.org example.org 80 "),
            (&["X-Forwarded-Host: example.org:8443"], "http example.org:8443 example.org 8443 "),
            (&["X-Forwarded-Host: [::1]"], "http [::1] [::1] 80 "),
            (&["X-Forwarded-Host: [::1]:8443"], "http [::1]:8443 [::1] 8443 "),
            (&["X-Forwarded-Host: example.org:"], "http example.org: example.org 80 "),
            (&["X-Forwarded-Host: a", "X-Forwarded-Proto: https"], "https a a 443 "),
            (&["X-Forwarded-Host: a:1", "X-Forwarded-Proto: https"], "https a:1 a 1 "),
            (&["X-Forwarded-Host: a:1", "X-Forwarded-Port: 2"], "http a:1 a 2 "),
            (&["X-Forwarded-Port: 8443"], "http direct:81 listener 8443 "),
            (&["X-Forwarded-Port: 0443"], "http direct:81 listener 443 "),
            (&["X-Forwarded-Prefix: /app"], "http direct:81 listener 8080 /app"),
            (&["X-Forwarded-Prefix: /app/v1/"], "http direct:81 listener 8080 /app/v1"),
            (&["X-Forwarded-Prefix: /a%20b//"], "http direct:81 listener 8080 /a%20b"),
            // What is not what it should be is as good as absent.
            (&["X-Forwarded-Proto: wss"], UNTOLD),
            (&["X-Forwarded-Proto: https://"], UNTOLD),
            (&["X-Forwarded-Host: a/b"], UNTOLD),
            (&["X-Forwarded-Host: user@a"], UNTOLD),
            (&["X-Forwarded-Host: a b"], UNTOLD),
            (&["X-Forwarded-Host: :80"], UNTOLD),
            (&["X-Forwarded-Host: a:8x"], UNTOLD),
            (&["X-Forwarded-Host: example.org:99999"], UNTOLD),
            (&["X-Forwarded-Port: 0"], UNTOLD),
            (&["X-Forwarded-Port: 65536"], UNTOLD),
            (&["X-Forwarded-Port: +80"], UNTOLD),
            (&["X-Forwarded-Prefix: app"], UNTOLD),
            (&["X-Forwarded-Prefix: /"], UNTOLD),
            (&["X-Forwarded-Prefix: "], UNTOLD),
            (&["X-Forwarded-Proto: ,"], UNTOLD),
        ];
        for (text, expected) in table {
            assert_eq!(seen("unix", &proxies("unix"), text), format!("unix {expected}"), "{text:?}");
        }
        for prefix in
            ["//evil.example", "/\\evil.example", "/a?b", "/a#b", "/a b", "/a\tb", "/caf\u{e9}", "///"]
        {
            let text = format!("X-Forwarded-Prefix: {prefix}");
            assert_eq!(seen("unix", &proxies("*"), &[&text]), format!("unix {UNTOLD}"), "{text:?}");
        }
    }

    #[test]
    fn the_other_headers_are_read_where_the_walk_ends() {
        let ours = proxies("127.0.0.1,10.0.0.0/8");
        let with = |lists: [&str; 4], hops: &str| {
            let [proto, host, port, prefix] = lists;
            let text = [
                format!("X-Forwarded-For: {hops}"),
                format!("X-Forwarded-Proto: {proto}"),
                format!("X-Forwarded-Host: {host}"),
                format!("X-Forwarded-Port: {port}"),
                format!("X-Forwarded-Prefix: {prefix}"),
            ];
            seen(PEER, &ours, &text.each_ref().map(String::as_str))
        };
        let lists = ["http, https, http", "x, y, z", "1, 2, 3", "/a, /b, /c"];
        assert_eq!(with(lists, "6.6.6.6, 203.0.113.7"), "203.0.113.7 http z z 3 /c");
        assert_eq!(with(lists, "6.6.6.6, 203.0.113.7, 10.0.0.1"), "203.0.113.7 https y y 2 /b");
        assert_eq!(with(lists, "203.0.113.7, 10.0.0.2, 10.0.0.1"), "203.0.113.7 http x x 1 /a");
        // One proxy of several set it anew, or was the first to set it.
        let shorter = ["https", "y, z", "3", "/c"];
        assert_eq!(with(shorter, "203.0.113.7, 10.0.0.2, 10.0.0.1"), "203.0.113.7 https y y 3 /c");
        // An address that cannot be read was written by a proxy of ours all the same.
        assert_eq!(with(lists, "203.0.113.7, unknown, 10.0.0.1"), "10.0.0.1 https y y 2 /b");
        assert_eq!(with(lists, "unknown"), format!("{PEER} http z z 3 /c"));
        // A bad value is not replaced by a client's.
        assert_eq!(
            with(["https, wss", "x, /", "1, x", "/a, b"], "203.0.113.7"),
            format!("203.0.113.7 {UNTOLD}")
        );
    }

    #[test]
    fn without_x_forwarded_for_the_peer_is_the_client_and_its_own_word_counts() {
        let text = ["X-Forwarded-Proto: https, http", "X-Forwarded-Host: evil, example.org"];
        let expected = format!("{PEER} http example.org example.org 80 ");
        assert_eq!(seen(PEER, &proxies("127.0.0.1"), &text), expected);
    }

    #[test]
    fn forwarded_is_read_element_by_element() {
        let ours = proxies("127.0.0.1,10.0.0.0/8,2001:db8:aa::/48");
        let table: [(&[&str], &str); 15] = [
            (&["for=203.0.113.7"], "203.0.113.7 http direct:81 listener 8080 "),
            (&["For=\"203.0.113.7:4711\""], "203.0.113.7:4711 http direct:81 listener 8080 "),
            (&["for=\"[2001:db8::7]:4711\""], "[2001:db8::7]:4711 http direct:81 listener 8080 "),
            (&["for=203.0.113.7;proto=https;host=a"], "203.0.113.7 https a a 443 "),
            (&["proto=https;host=\"a:8443\""], "127.0.0.1:5000 https a:8443 a 8443 "),
            (&["for=6.6.6.6;host=evil, for=203.0.113.7;host=a"], "203.0.113.7 http a a 80 "),
            (&["for=6.6.6.6;host=evil", "for=203.0.113.7"], "203.0.113.7 http direct:81 listener 8080 "),
            (
                &[
                    "for=6.6.6.6;host=evil, for=203.0.113.7;host=a;proto=https, for=\"[2001:db8:aa::1]\";proto=http",
                ],
                "203.0.113.7 https a a 443 ",
            ),
            // The farthest of the trusted ones that says something of it.
            (&["for=203.0.113.7;host=a, for=10.0.0.1;proto=https"], "203.0.113.7 https a a 443 "),
            (&["for=_hidden;proto=https, for=10.0.0.1"], "10.0.0.1 https direct:81 listener 81 "),
            (&["for=203.0.113.7, for=unknown"], "127.0.0.1:5000 http direct:81 listener 8080 "),
            (&["for=203.0.113.7, proto=https"], "127.0.0.1:5000 https direct:81 listener 81 "),
            (&["for=\"10.0.0.1:_x\""], "10.0.0.1 http direct:81 listener 8080 "),
            // Malformed anywhere: nothing of it counts.
            (&["for=\", for=203.0.113.7"], "127.0.0.1:5000 http direct:81 listener 8080 "),
            (&["for=203.0.113.7; proto=https"], "127.0.0.1:5000 http direct:81 listener 8080 "),
        ];
        for (values, expected) in table {
            let text: Vec<_> = values.iter().map(|value| format!("Forwarded: {value}")).collect();
            let text: Vec<_> = text.iter().map(String::as_str).collect();
            assert_eq!(seen(PEER, &ours, &text), expected, "{values:?}");
        }
    }

    #[test]
    fn forwarded_does_not_count_beside_x_forwarded() {
        let both = ["Forwarded: for=6.6.6.6;proto=https", "X-Forwarded-For: 203.0.113.7"];
        assert_eq!(seen(PEER, &proxies("127.0.0.1"), &both), format!("203.0.113.7 {UNTOLD}"));
        // Even where the X-Forwarded header says nothing that counts.
        let both = ["Forwarded: for=6.6.6.6;proto=https", "X-Forwarded-Proto: wss"];
        assert_eq!(seen(PEER, &proxies("127.0.0.1"), &both), format!("{PEER} {UNTOLD}"));
        let only = Proxies { headers: "forwarded".parse().unwrap(), ..proxies("127.0.0.1") };
        let both = ["Forwarded: for=203.0.113.7", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"];
        assert_eq!(seen(PEER, &only, &both), format!("203.0.113.7 {UNTOLD}"));
    }

    #[test]
    fn a_header_that_is_not_named_does_not_count() {
        let all = [
            "X-Forwarded-For: 203.0.113.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: a:1",
            "X-Forwarded-Port: 2",
            "X-Forwarded-Prefix: /p",
            "Forwarded: for=198.51.100.9;proto=https;host=b",
        ];
        let table = [
            ("x-forwarded-for", "203.0.113.7 http direct:81 listener 8080 ".to_owned()),
            ("x-forwarded-proto", format!("{PEER} https direct:81 listener 81 ")),
            ("x-forwarded-host", format!("{PEER} http a:1 a 1 ")),
            ("x-forwarded-port", format!("{PEER} http direct:81 listener 2 ")),
            ("x-forwarded-prefix", format!("{PEER} http direct:81 listener 8080 /p")),
            ("forwarded", "198.51.100.9 https b b 443 ".to_owned()),
            ("x-forwarded-for,x-forwarded-proto", "203.0.113.7 https direct:81 listener 81 ".to_owned()),
        ];
        for (named, expected) in table {
            let some = Proxies { headers: named.parse().unwrap(), ..proxies("*") };
            assert_eq!(seen(PEER, &some, &all), expected, "{named}");
        }
    }

    #[test]
    fn what_is_not_believed_is_removed_on_demand() {
        let all = [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
        ];
        let kept = |trusted: &str, named: &str| {
            let removing = Proxies {
                headers: named.parse().unwrap(),
                unbelieved: Unbelieved::Removed,
                ..proxies(trusted)
            };
            let text: Vec<_> = all.iter().chain(&["Forwarded"]).map(|name| format!("{name}: ,")).collect();
            let mut headers = lines(&text.iter().map(String::as_str).collect::<Vec<_>>());
            headers.append("forwarded", HeaderValue::from_static(","));
            headers.insert("x-real-ip", HeaderValue::from_static("z"));
            let _ = attribute(&mut headers, connection(PEER), &removing);
            headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let every = "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,x-forwarded-prefix,forwarded";
        assert_eq!(kept("", every), "x-real-ip");
        assert_eq!(kept("10.0.0.0/8", every), "x-real-ip");
        let mut names: Vec<_> = every.split(',').collect();
        names.push("x-real-ip");
        assert_eq!(kept("127.0.0.1", every), names.join(" "));
        assert_eq!(kept("127.0.0.1", "x-forwarded-for"), "x-forwarded-for x-real-ip");
    }

    #[test]
    fn a_walk_takes_time_in_proportion_to_the_length() {
        // Quadratic, it would take minutes.
        let text = format!("X-Forwarded-For: {}", "10.0.0.1,".repeat(500_000));
        assert_eq!(client(PEER, "127.0.0.1,10.0.0.0/8", &[&text]), "10.0.0.1");
    }

    #[test]
    fn whatever_a_proxy_says_the_environ_stays_one() {
        const WORDS: [&str; 24] = [
            "for=",
            "proto=",
            "host=",
            "https",
            "a.example",
            "192.0.2.1",
            "10.0.0.1",
            "[::1]",
            "2001:db8::1",
            ":80",
            ":",
            ",",
            ";",
            " ",
            "\t",
            "\"",
            "\\",
            "/",
            "//",
            "_x",
            "unknown",
            "99999",
            "%",
            "\u{e9}",
        ];
        let ours = proxies("127.0.0.1,10.0.0.0/8");
        // Xorshift: the same values in each run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        for _ in 0..50_000 {
            let mut headers = lines(&["Host: direct"]);
            for _ in 0..=random(3) {
                let value: String = (0..random(9)).map(|_| WORDS[random(WORDS.len())]).collect();
                let header = ForwardedHeader::ALL[random(6)];
                headers.append(name(header), HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let given = attribute(&mut headers, connection(PEER), &ours);
            assert_eq!(headers.get_all(HOST).iter().count(), 1, "{headers:?}");
            assert_eq!(check_host(headers.get(HOST).unwrap().as_bytes()), Ok(()), "{headers:?}");
            assert!(given.server_port.parse::<u16>().is_ok_and(|port| port > 0), "{headers:?} {given:?}");
            assert_eq!(check_host(given.server_name.as_bytes()), Ok(()), "{headers:?} {given:?}");
            let script = &given.script_name;
            assert!(script.is_empty() || script.starts_with('/') && !script.ends_with('/'), "{given:?}");
        }
    }
}
