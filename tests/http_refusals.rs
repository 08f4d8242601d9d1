//! What RFC 9112 and RFC 9110 forbid is refused, the connection closes, and nothing behind it is taken for a
//! request.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaussette::exchange::Exchange;
use chaussette::http::Limits;
use support::{Setup, Site, echo, hello, limits};

/// Behind each refused request: must never reach the application.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

struct Counting {
    site: Site,
    calls: Arc<AtomicUsize>,
}

fn counting() -> Counting {
    counting_with(limits())
}

fn counting_with(limits: Limits) -> Counting {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let site = Site::with(Setup { limits, ..Default::default() }, move |exchange: Exchange| {
        counted.fetch_add(1, Ordering::SeqCst);
        echo(exchange);
    });
    Counting { site, calls }
}

impl Counting {
    /// Each of these heads is refused with `status`, once, and the connection closes.
    fn refuses(&self, status: u16, heads: &[&str]) {
        for head in heads {
            let mut client = self.site.connect();
            client.send(format!("{head}{SMUGGLED}"));
            let answer = client.answer();
            assert_eq!(answer.status, status, "{head:?}: {answer:?}");
            assert_eq!(answer.header("Connection"), Some("close"), "{head:?}");
            assert!(client.is_closed(), "{head:?} is followed by another answer");
        }
        assert_eq!(self.calls.load(Ordering::SeqCst), 0);
    }

    fn takes(&self, heads: &[&str]) {
        for head in heads {
            let answer = self.site.send(head);
            assert_eq!(answer.status, 200, "{head:?}: {answer:?}");
        }
    }
}

#[test]
fn malformed_request_lines_are_refused() {
    counting().refuses(
        400,
        &[
            "GET /\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / http/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1\r\nHost: x\r\n\r\n",
            "GET / HTTP/11.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/+1.1\r\nHost: x\r\n\r\n",
            "GET / FTP/1.1\r\nHost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a\x7fb HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://a%20b/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://u@x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    );
}

#[test]
fn what_is_let_through_in_a_target_is_taken_by_hyper_too() {
    let site = Site::new(hello);
    for byte in 0x21..0x7f_u8 {
        for place in ["/a{}b", "/a?b{}c", "http://x{}/", "http://x/{}", "{}"] {
            let target = place.replace("{}", std::str::from_utf8(&[byte]).unwrap());
            let answer = site.get(&target);
            // hyper's own refusals have no body, and ours say why.
            assert!(answer.status == 200 || !answer.body.is_empty(), "{target}: {answer:?}");
        }
    }
}

#[test]
fn other_versions_and_connect_are_refused_as_such() {
    let site = counting();
    site.refuses(505, &["GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET / HTTP/0.9\r\n\r\n"]);
    site.refuses(505, &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]);
    site.refuses(501, &["CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"]);
}

#[test]
fn malformed_header_lines_are_refused() {
    counting().refuses(
        400,
        &[
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA\t: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tfolded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nAb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA(: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\u{e9}: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\x0bc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n",
        ],
    );
}

#[test]
fn hosts_must_be_there_once_and_valid() {
    let site = counting();
    site.refuses(
        400,
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x:y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x:80:80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: []\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [1]\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1%25lo]\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
        ],
    );
    site.takes(&[
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \t x.example:8080 \t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHOST: 127.0.0.1:\r\n\r\n",
        "GET HTTP://x HTTP/1.1\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x:00065535\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]:\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a\"{|}^\\b?{|}^`\\#fragment HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nEmpty:\r\nHigh: \u{e9}\r\n!#$%&'*+-.^_`|~9a: tab\there\r\n\r\n",
    ]);
}

#[test]
fn bodies_without_one_certain_length_are_refused() {
    let post = |headers: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
    let site = counting();
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length: five",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: gzip, , chunked",
        "Transfer-Encoding: chunked, gzip, chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\r\n : chunked",
    ] {
        site.refuses(400, &[&post(headers)]);
    }
    site.refuses(400, &["POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]);
    site.refuses(
        501,
        &[
            &post("Transfer-Encoding: gzip, chunked"),
            &post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
        ],
    );
    site.refuses(
        413,
        &[&post("Content-Length: 99999999999999999999999999"), &post("Content-Length: 18446744073709551615")],
    );
    site.takes(&[
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0005\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:  Chunked \r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000000001 \t;a=b\r\na\r\n0\r\n\r\n",
    ]);
}

#[test]
fn malformed_chunks_are_refused() {
    let site = counting();
    for chunks in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r\r\n0\r\n\r\n",
        "11111111111111111\r\n",
        "1000000000000000\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        &format!("{}\r\n\r\n", "0".repeat(65)),
        "1 x\r\na\r\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "1;a\rb\r\na\r\n0\r\n\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHost: y\r\n\r\n",
        "0\r\nA: b\0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
    ] {
        site.refuses(
            400,
            &[&format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")],
        );
    }
}

#[test]
fn what_is_not_http_at_all_is_refused_at_once() {
    let site = counting();
    // A TLS ClientHello's first bytes: no line end is waited for.
    let answer = site.site.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(answer.status, 400);
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    let limits = Limits { max_header_size: 1024, max_headers: 5, ..limits() };
    let site = counting_with(limits);
    let long = "a".repeat(1024);
    site.refuses(414, &[&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")]);
    site.refuses(501, &[&format!("{long}{long} / HTTP/1.1\r\nHost: x\r\n\r\n")]);
    site.refuses(431, &[&format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {long}\r\n\r\n")]);
    site.refuses(431, &[&format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5))]);
    site.takes(&[&format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(4))]);
    let fitting = 1024 - "GET / HTTP/1.1\r\nHost: x\r\nLong: \r\n\r\n".len();
    site.takes(&[&format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "a".repeat(fitting))]);
    site.refuses_not_called(
        431,
        &format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "a".repeat(fitting + 1)),
    );
}

impl Counting {
    /// Like [`Counting::refuses`], where other requests were taken before.
    fn refuses_not_called(&self, status: u16, head: &str) {
        let before = self.calls.load(Ordering::SeqCst);
        assert_eq!(self.site.send(format!("{head}{SMUGGLED}")).status, status);
        assert_eq!(self.calls.load(Ordering::SeqCst), before);
    }
}

#[test]
fn large_heads_within_the_limits_are_taken() {
    let limits = Limits { max_header_size: 200 * 1024, max_headers: 300, ..limits() };
    let site = counting_with(limits);
    let headers: String =
        (0..250).map(|number| format!("Header-{number}: {}\r\n", "v".repeat(500))).collect();
    site.takes(&[
        &format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n"),
        &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "p".repeat(60_000)),
    ]);
    site.refuses_not_called(414, &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "p".repeat(65_600)));
}

#[test]
fn the_refusal_follows_the_answers_that_are_due() {
    let site = Site::new(hello);
    let mut client = site.connect();
    let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(format!("{good}{good}GET / HTTP/9.9\r\n\r\n{good}"));
    assert_eq!([200, 200, 505].map(|_| client.answer().status), [200, 200, 505]);
    assert!(client.is_closed());
}

#[test]
fn a_client_of_http_1_0_that_asked_to_keep_the_connection_is_told_of_the_close_alone() {
    let answer = Site::new(hello)
        .send("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!((answer.status, answer.header("Connection")), (413, Some("close")));
}

#[test]
fn the_refusal_of_head_has_no_body() {
    let site = Site::new(hello);
    for start in ["", "\r\n\r\n"] {
        let mut client = site.connect();
        client.send(format!("{start}HEAD / HTTP/1.1\r\n\r\n"));
        assert_eq!(client.answer_to("HEAD").unwrap().status, 400);
        assert!(client.is_closed());
    }
}

#[test]
fn how_a_request_is_split_into_packets_changes_nothing() {
    let site = Site::new(echo);
    let requests = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
                    POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: v\r\n\r\n\
                    GET / HTTP/1.1\r\nHost : x\r\n\r\n";
    let mut client = site.connect();
    for byte in requests.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(client.answer().text(), "abc");
    assert_eq!(client.answer().status, 400);
    assert!(client.is_closed());
}

#[test]
fn a_client_reads_the_refusal_of_an_upload_it_is_still_sending() {
    let site =
        Site::with(Setup { limits: Limits { max_body: Some(1024), ..limits() }, ..Default::default() }, echo);
    for announced in [
        "Content-Length: 20000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1312d00\r\n",
        // Java's client offers it with each request; hyper then leaves the close to us.
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 20000000\r\n\r\n",
    ] {
        let mut client = site.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{announced}"));
        client.send(vec![b'x'; 20_000_000]);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (413, Some("close")));
    }
}

#[test]
fn random_bytes_harm_nobody() {
    let site = Site::new(hello);
    // xorshift: the same bytes in each run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                u8::try_from(state & 0xff).unwrap()
            })
            .collect();
        let mut client = site.connect();
        client.send(&bytes);
        client.leave();
        client.rest();
    }
    assert_eq!(site.get("/").status, 200);
}
