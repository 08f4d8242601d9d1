//! Behind proxies: whose word on a request's origin counts, on real connections.

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use chaussette::config::{Address, Limits, Proxies, ProxyProtocol, Unbelieved};
use chaussette::exchange::Exchange;
use support::{Answer, Client, Setup, Site, head, limits};

/// Says who asked whom.
fn report(exchange: Exchange) {
    let Exchange { request, reply } = exchange;
    let (connection, headers) = (&request.connection, &request.headers);
    let client = match connection.client {
        chaussette::exchange::Client::Inet(address, Some(port)) => SocketAddr::new(address, port).to_string(),
        chaussette::exchange::Client::Inet(address, None) => address.to_string(),
        chaussette::exchange::Client::Unix => "unix".to_owned(),
    };
    let host = headers.get("host").map_or("-", |host| host.to_str().unwrap());
    let seen = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    let text = format!(
        "{client} {} {host} {}:{} {} {}",
        connection.scheme.as_str(),
        connection.server_name,
        connection.server_port,
        if connection.script_name.is_empty() { "-" } else { &connection.script_name },
        if seen { "kept" } else { "-" },
    );
    reply.respond(head(200, &[]), text.into());
}

fn trusting(trusted: &str) -> Proxies {
    Proxies { trusted: trusted.parse().unwrap(), ..Proxies::default() }
}

fn speaking(protocol: ProxyProtocol) -> Proxies {
    Proxies { protocol, ..trusting("127.0.0.1,10.0.0.0/8") }
}

fn site(proxies: Proxies) -> Site {
    Site::with(Setup { proxies, ..Setup::default() }, report)
}

fn get(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

/// A client at an address of this machine that is none of the proxies'.
fn stranger(site: &Site) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into()).unwrap();
    socket.connect(&site.address().into()).unwrap();
    Client::new(TcpStream::from(socket)).unwrap()
}

fn ask(client: &mut Client, headers: &str) -> String {
    client.send(get(headers));
    client.answer().text().to_owned()
}

/// As the server sees a client that no proxy speaks for.
fn plainly(site: &Site, client: &Client) -> String {
    format!("{} http a 127.0.0.1:{} - ", client.stream.local_addr().unwrap(), site.address().port())
}

const ALL: &str = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n\
    X-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /app\r\n";

#[test]
fn each_request_of_a_trusted_peer_has_its_own_origin() {
    let site = site(trusting("127.0.0.1"));
    let mut client = site.connect();
    let plain = plainly(&site, &client);
    assert_eq!(ask(&mut client, ALL), "203.0.113.7 https example.org example.org:8443 /app kept");
    assert_eq!(ask(&mut client, ""), format!("{plain}-"));
    let forwarded = "Forwarded: for=\"[2001:db8::7]:4711\";proto=https;host=\"b:1\"\r\n";
    assert_eq!(ask(&mut client, forwarded), "[2001:db8::7]:4711 https b:1 b:1 - kept");
    assert_eq!(ask(&mut client, ""), format!("{plain}-"));
}

#[test]
fn nobody_else_is_believed() {
    for proxies in [Proxies::default(), trusting("10.0.0.0/8,unix"), trusting("127.0.0.1")] {
        let site = site(proxies);
        for text in [ALL, "Forwarded: for=203.0.113.7;proto=https;host=b\r\n"] {
            let mut client = stranger(&site);
            let plain = plainly(&site, &client);
            assert_eq!(ask(&mut client, text), format!("{plain}kept"));
        }
    }
}

#[test]
fn what_is_not_believed_can_be_removed() {
    for trusted in ["", "127.0.0.1"] {
        let site = site(Proxies { unbelieved: Unbelieved::Removed, ..trusting(trusted) });
        let mut client = stranger(&site);
        let plain = plainly(&site, &client);
        assert_eq!(ask(&mut client, ALL), format!("{plain}-"));
        assert_eq!(ask(&mut client, "Forwarded: for=203.0.113.7\r\n"), format!("{plain}-"));
    }
}

#[test]
fn a_name_with_underscores_is_none_of_the_headers() {
    let site = site(trusting("127.0.0.1"));
    let mut client = site.connect();
    let plain = plainly(&site, &client);
    assert_eq!(
        ask(&mut client, "X_Forwarded_For: 6.6.6.6\r\nX_Forwarded-Proto: https\r\n"),
        format!("{plain}-")
    );
}

#[test]
fn a_name_counts_in_any_case_and_over_several_lines() {
    let site = site(trusting("127.0.0.1,10.0.0.0/8"));
    let mut client = site.connect();
    let text =
        "x-FORWARDED-for: 6.6.6.6\r\nX-Forwarded-FOR: 203.0.113.7,10.0.0.1\r\nX-FORWARDED-FOR: 10.0.0.2\r\n";
    let expected = format!("203.0.113.7 http a 127.0.0.1:{} - kept", site.address().port());
    assert_eq!(ask(&mut client, text), expected);
}

#[test]
fn a_head_full_of_hops_is_walked() {
    let site = site(trusting("127.0.0.1,10.0.0.0/8"));
    let mut client = site.connect();
    let text = format!("X-Forwarded-For: 203.0.113.7{}\r\n", ",10.0.0.1".repeat(3500));
    assert!(ask(&mut client, &text).starts_with("203.0.113.7 "));
}

#[test]
fn a_request_of_http_1_0_without_host_gets_the_proxys() {
    let site = site(trusting("127.0.0.1"));
    let answer = site.send("GET / HTTP/1.0\r\nX-Forwarded-Host: example.org\r\n\r\n");
    assert!(answer.text().contains(" http example.org example.org:80 "), "{}", answer.text());
}

#[test]
fn a_unix_socket_s_peers_are_trusted_by_name() {
    let path =
        |name: &str| std::env::temp_dir().join(format!("chaussette-{name}-{}.sock", std::process::id()));
    for (trusted, path, expected) in [
        ("unix", path("trusted"), "203.0.113.7 https example.org example.org:8443 /app kept"),
        ("*", path("all"), "203.0.113.7 https example.org example.org:8443 /app kept"),
        ("0.0.0.0/0,::/0", path("inet"), "unix http a localhost:80 - kept"),
    ] {
        let setup = Setup { proxies: trusting(trusted), ..Setup::default() };
        let _site = Site::on_with(&Address::Unix(path.clone()), setup, report);
        let answer = over_unix(&path, &get(&format!("{ALL}Connection: close\r\n")));
        assert!(answer.ends_with(expected), "{trusted}: {answer}");
    }
}

fn over_unix(path: &std::path::Path, request: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}

// ---- PROXY protocol

const V1: &str = "PROXY TCP4 203.0.113.7 198.51.100.2 4711 443\r\n";

/// 203.0.113.7:4711 to 198.51.100.2:443, over TLS.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xcb\0\x71\x07\xc6\x33\x64\x02\x12\x67\x01\xbb\x20\0\x05\x01\0\0\0\0";

const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn a_proxy_header_is_the_origin_of_all_requests_of_its_connection() {
    for (protocol, header, scheme) in [
        (ProxyProtocol::V1, V1.as_bytes(), "http"),
        (ProxyProtocol::V2, V2, "https"),
        (ProxyProtocol::Auto, V1.as_bytes(), "http"),
        (ProxyProtocol::Auto, V2, "https"),
    ] {
        let site = site(speaking(protocol));
        let mut client = site.connect();
        client.send(header);
        for _ in 0..3 {
            let expected = format!("203.0.113.7:4711 {scheme} a 198.51.100.2:443 - -");
            assert_eq!(ask(&mut client, ""), expected, "{protocol:?}");
        }
    }
}

#[test]
fn a_proxy_header_may_come_in_one_piece_with_requests_or_byte_by_byte() {
    let site = site(speaking(ProxyProtocol::Auto));
    for header in [V1.as_bytes(), V2] {
        let mut client = site.connect();
        client.send([header, get("").repeat(3).as_bytes()].concat());
        for _ in 0..3 {
            assert!(client.answer().text().starts_with("203.0.113.7:4711 "));
        }
        for cut in 1..header.len() {
            let mut client = site.connect();
            client.send(&header[..cut]);
            client.send([&header[cut..], get("").as_bytes()].concat());
            assert!(client.answer().text().starts_with("203.0.113.7:4711 "), "cut at {cut}");
        }
        let mut client = site.connect();
        for byte in [header, get("").as_bytes()].concat() {
            client.send([byte]);
        }
        assert!(client.answer().text().starts_with("203.0.113.7:4711 "));
    }
}

#[test]
fn a_long_proxy_header_is_skipped_to_its_end() {
    // Longer than one look: a client's certificate, say.
    let length = 12 + 3 + 6000_u16;
    let extension = [&[0xe0][..], &6000_u16.to_be_bytes(), &[b'G'; 6000]].concat();
    let header = [&V2[..14], &length.to_be_bytes(), &V2[16..28], &extension].concat();
    let site = site(speaking(ProxyProtocol::V2));
    let mut client = site.connect();
    client.send([&header[..], get("").as_bytes()].concat());
    assert!(client.answer().text().starts_with("203.0.113.7:4711 http "));
}

#[test]
fn a_connection_of_the_proxy_itself_keeps_its_own_endpoints() {
    let site = site(speaking(ProxyProtocol::Auto));
    for header in [V2_LOCAL, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 203.0.113.7 198.51.100.2 4711 443\r\n"] {
        let mut client = site.connect();
        client.send(header);
        let plain = plainly(&site, &client);
        assert_eq!(ask(&mut client, ""), format!("{plain}-"));
        assert_eq!(ask(&mut client, ALL), "203.0.113.7 https example.org example.org:8443 /app kept");
    }
}

#[test]
fn a_proxy_header_without_the_clients_target_port_leaves_the_listeners() {
    let site = site(speaking(ProxyProtocol::V1));
    let mut client = site.connect();
    client.send("PROXY TCP4 203.0.113.7 198.51.100.2 4711 0\r\n");
    let expected = format!("203.0.113.7:4711 http a 198.51.100.2:{} - -", site.address().port());
    assert_eq!(ask(&mut client, ""), expected);
}

#[test]
fn headers_are_believed_of_whom_the_proxy_header_names() {
    let site = site(speaking(ProxyProtocol::V1));
    let mut client = site.connect();
    client.send(V1);
    assert_eq!(ask(&mut client, ALL), "203.0.113.7:4711 http a 198.51.100.2:443 - kept");
    let mut client = site.connect();
    client.send("PROXY TCP4 10.1.2.3 198.51.100.2 4711 443\r\n");
    assert_eq!(ask(&mut client, ALL), "203.0.113.7 https example.org example.org:8443 /app kept");
}

/// All that such a connection gets: it must be nothing, whether the end comes in order or as a reset.
fn gets(mut client: Client, bytes: &[u8]) -> Vec<u8> {
    // It may be closed already.
    let _ = client.try_send(bytes);
    client.rest()
}

#[test]
fn a_connection_that_does_not_begin_with_a_proxy_header_is_aborted_without_an_answer() {
    let sites =
        [ProxyProtocol::Auto, ProxyProtocol::V1, ProxyProtocol::V2].map(|one| (one, site(speaking(one))));
    for (protocol, site) in &sites {
        for bytes in [
            get("").as_bytes(),
            b"\x16\x03\x01\x02\x00",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 04711 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 4711 443\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x51\0\x0cGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &b"PROXY UNKNOWN "[..].repeat(20),
        ] {
            assert_eq!(gets(site.connect(), bytes), b"", "{protocol:?} {bytes:?}");
        }
    }
    let other = |protocol, header: &[u8]| {
        let site = site(speaking(protocol));
        assert_eq!(gets(site.connect(), &[header, get("").as_bytes()].concat()), b"", "{protocol:?}");
    };
    other(ProxyProtocol::V1, V2);
    other(ProxyProtocol::V2, V1.as_bytes());
}

#[test]
fn a_proxy_header_that_breaks_off_ends_its_connection_only() {
    let site = site(speaking(ProxyProtocol::Auto));
    for header in [V1.as_bytes(), V2] {
        for cut in 0..header.len() {
            let mut client = site.connect();
            client.send(&header[..cut]);
            client.leave();
            assert_eq!(client.rest(), b"", "cut at {cut}");
        }
    }
    let mut client = site.connect();
    client.send([V1.as_bytes(), get("").as_bytes()].concat());
    assert_eq!(client.answer().status, 200);
}

#[test]
fn whoever_is_not_trusted_is_closed_whatever_it_sends() {
    let site = site(speaking(ProxyProtocol::Auto));
    for bytes in [&[V1.as_bytes(), get("").as_bytes()].concat()[..], V2, get("").as_bytes(), b""] {
        assert_eq!(gets(stranger(&site), bytes), b"");
    }
}

#[test]
fn a_second_proxy_header_is_a_malformed_request() {
    let site = site(speaking(ProxyProtocol::Auto));
    for header in [V1.as_bytes(), V2] {
        let mut client = site.connect();
        client.send([header, V1.as_bytes(), get("").as_bytes()].concat());
        assert_eq!(client.answer().status, 400);
    }
}

#[test]
fn without_the_option_a_proxy_header_is_a_malformed_request() {
    let site = site(trusting("127.0.0.1"));
    for header in [V1.as_bytes(), V2] {
        let answer: Answer = site.send([header, get("").as_bytes()].concat());
        assert_eq!(answer.status, 400);
    }
}

#[test]
fn a_proxy_header_must_come_within_the_header_timeout() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..limits() };
    let setup = || Setup { limits, proxies: speaking(ProxyProtocol::Auto), ..Setup::default() };
    let site = Site::with(setup(), report);
    for begun in [&b""[..], b"PROXY TCP4 ", &V2[..20]] {
        assert_eq!(gets(site.connect(), begun), b"");
    }
    // Bytes that trickle in do not extend it: this header would take a minute.
    let mut client = site.connect();
    client.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    client.send([&V2[..14], &[0x2e, 0xe0]].concat());
    let began = std::time::Instant::now();
    while client.try_send([0]).is_ok() && !client.is_closed() {
        assert!(began.elapsed() < support::PATIENCE, "still awaited");
    }
}

#[test]
fn a_unix_socket_s_peer_sends_a_proxy_header_if_it_is_trusted() {
    let path = std::env::temp_dir().join(format!("chaussette-preface-{}.sock", std::process::id()));
    for (trusted, expected) in [("unix", true), ("127.0.0.1", false)] {
        let proxies = Proxies { protocol: ProxyProtocol::Auto, ..trusting(trusted) };
        let setup = Setup { proxies, ..Setup::default() };
        let _site = Site::on_with(&Address::Unix(path.clone()), setup, report);
        for cut in [1, 20] {
            let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
            let bytes = [V1.as_bytes(), get("Connection: close\r\n").as_bytes()].concat();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let _ = std::io::Write::write_all(&mut stream, piece);
            }
            let mut answer = String::new();
            // Reset, if it is not trusted.
            let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
            assert_eq!(answer.contains("203.0.113.7:4711 http a 198.51.100.2:443"), expected, "{answer}");
            assert_eq!(answer.is_empty(), !expected, "{answer}");
        }
    }
}

#[test]
fn connections_that_owe_their_proxy_header_do_not_hold_up_a_drain() {
    let site = site(speaking(ProxyProtocol::Auto));
    let mut clients: Vec<_> = [&b""[..], b"PROXY TCP4 "].map(|begun| (site.connect(), begun)).into();
    for (client, begun) in &mut clients {
        client.send(begun);
    }
    let mut served = site.connect();
    served.send([V1.as_bytes(), get("").as_bytes()].concat());
    assert_eq!(served.answer().status, 200);
    site.drain();
    assert!(site.has_ended(Duration::from_secs(5)));
    for (mut client, _) in clients {
        assert_eq!(client.rest(), b"");
    }
}
