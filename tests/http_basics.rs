//! Ordinary clients: bytes in, bytes out.

mod support;

use std::time::Duration;

use bytes::Bytes;
use chaussette::exchange::Exchange;
use support::{Site, echo, head, hello, stream, streamed};

#[test]
fn a_request_is_answered() {
    let answer = Site::new(hello).get("/");
    assert_eq!((answer.version.as_str(), answer.status, answer.reason.as_str()), ("HTTP/1.1", 200, "OK"));
    assert_eq!(answer.text(), "Hello, World!");
    assert_eq!(answer.header("Content-Length"), Some("13"));
    assert_eq!(answer.header("Server"), Some("chaussette"));
    assert!(answer.header("Date").is_some());
    assert_eq!(answer.header("Connection"), None);
    assert!(answer.headers.iter().any(|(name, _)| name == "Content-Type"), "names are in title case");
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let site = Site::new(echo);
    let mut client = site.connect();
    for body in ["one", "two", "three"] {
        client.send(post(body));
        assert_eq!(client.answer().text(), body);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::new(echo);
    let mut client = site.connect();
    let bodies: Vec<_> = (0..50).map(|number| format!("body {number}")).collect();
    client.send(bodies.iter().map(|body| post(body)).collect::<String>());
    for body in &bodies {
        assert_eq!(client.answer().text(), body);
    }
}

#[test]
fn more_pipelined_requests_than_any_buffer_holds_are_all_answered() {
    let site = Site::new(echo);
    let mut client = site.connect();
    let body = "x".repeat(3000);
    let all = post(&body).repeat(200);
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::Builder::new().spawn(move || {
        std::io::Write::write_all(&mut sender, all.as_bytes()).unwrap();
    });
    for _ in 0..200 {
        assert_eq!(client.answer().text(), body);
    }
    sending.unwrap().join().unwrap();
}

#[test]
fn a_chunked_request_is_decoded_and_its_trailers_are_dropped() {
    let site = Site::new(echo);
    let mut client = site.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n7;name=\"va;lue\"\r\n, world\r\n000\r\nTrailer: yes\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "hello, world");
    client.send(post("next"));
    assert_eq!(client.answer().text(), "next");
}

#[test]
fn a_client_that_expects_to_be_told_to_continue_is() {
    let site = Site::new(echo);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    assert_eq!(client.read_head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.answer().text(), "hello");
}

#[test]
fn another_expectation_is_refused() {
    for lines in ["Expect: wonders", "Expect: 100-continue\r\nExpect: wonders"] {
        let answer = Site::new(echo).send(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"));
        assert_eq!(answer.status, 417, "{lines}");
    }
}

#[test]
fn a_refused_body_is_not_asked_for() {
    let site = Site::new(echo);
    let answer = site
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(answer.status, 413);
}

#[test]
fn a_stream_is_chunked_for_http_1_1() {
    let site = Site::new(stream);
    let mut client = site.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
        assert_eq!(answer.header("Content-Length"), None);
        assert_eq!(answer.text(), streamed());
    }
}

#[test]
fn a_stream_ends_with_the_connection_for_http_1_0() {
    let site = Site::new(stream);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"] {
        let mut client = site.connect();
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.version.as_str(), answer.status), ("HTTP/1.0", 200));
        assert_eq!(answer.header("Transfer-Encoding"), None);
        assert_ne!(answer.header("Connection"), Some("keep-alive"));
        assert_eq!(answer.text(), streamed());
        assert!(client.is_closed());
    }
}

#[test]
fn http_1_0_closes_unless_it_asks_to_be_kept() {
    let site = Site::new(hello);
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "Hello, World!");
    assert!(client.is_closed());

    let mut client = site.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.header("Connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "Hello, World!");
    }
}

#[test]
fn a_client_that_asks_to_close_is_closed_and_told_so() {
    let site = Site::new(hello);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn the_answer_to_head_tells_the_length_and_has_no_body() {
    let site = Site::new(|exchange: Exchange| match exchange.request.uri.path() {
        "/given" => exchange.reply.respond(head(200, &[("content-length", "4711")]), Bytes::new()),
        "/body" => exchange.reply.respond(head(200, &[]), Bytes::from_static(b"12345")),
        "/stream" => stream(exchange),
        _ => exchange.reply.respond(head(200, &[]), Bytes::new()),
    });
    let mut client = site.connect();
    for (target, length) in
        [("/given", Some("4711")), ("/body", Some("5")), ("/stream", None), ("/none", None)]
    {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.answer_to("HEAD").unwrap();
        assert_eq!((target, answer.header("Content-Length")), (target, length));
        assert_eq!(answer.header("Transfer-Encoding"), None);
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    let site = Site::new(|exchange: Exchange| {
        let status = exchange.request.uri.path()[1..].parse().unwrap();
        exchange.reply.respond(head(status, &[("content-length", "4")]), Bytes::from_static(b"body"));
    });
    let mut client = site.connect();
    for status in [204, 304] {
        client.send(format!("GET /{status} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Content-Length")), (status, None));
    }
    client.send("GET /205 HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Content-Length")), (205, Some("0")));
    client.send("GET /200 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "body");
}

#[test]
fn reason_phrases_are_kept() {
    let site = Site::new(|exchange: Exchange| {
        let mut head = head(299, &[("server", "mine")]);
        head.reason = (exchange.request.uri.path() == "/given").then(|| Bytes::from_static(b"Weird Reason"));
        exchange.reply.respond(head, Bytes::new());
    });
    let answer = site.get("/given");
    assert_eq!((answer.status, answer.reason.as_str()), (299, "Weird Reason"));
    assert_eq!(answer.header("Server"), Some("mine"));
    assert_eq!(site.get("/none").reason, "");
}

#[test]
fn hop_by_hop_headers_of_the_application_do_not_leave() {
    let site = Site::new(|exchange: Exchange| {
        let headers = [
            ("transfer-encoding", "gzip"),
            ("connection", "upgrade"),
            ("keep-alive", "1"),
            ("upgrade", "h2c"),
        ];
        exchange.reply.respond(head(200, &headers), Bytes::from_static(b"body"));
    });
    let mut client = site.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.answer();
        for name in ["Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade"] {
            assert_eq!(answer.header(name), None);
        }
        assert_eq!(answer.text(), "body");
    }
}

#[test]
fn an_application_that_wants_the_connection_closed_is_obeyed() {
    let site = Site::new(|exchange: Exchange| {
        exchange.reply.respond(head(200, &[("connection", "close")]), Bytes::from_static(b"body"));
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.header("Connection"), answer.text()), (Some("close"), "body"));
    assert!(client.is_closed());
}

#[test]
fn an_absolute_target_replaces_the_host() {
    let site = Site::new(report);
    let answer = site.send("GET http://other.example:81/path?q HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.text(), "GET /path q host=other.example:81 client=127.0.0.1");
}

#[test]
fn options_may_ask_for_the_server_itself() {
    let answer = Site::new(report).send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.text(), "OPTIONS *  host=x client=127.0.0.1");
}

#[test]
fn a_name_with_an_underscore_does_not_reach_the_application() {
    let site = Site::new(|exchange: Exchange| {
        let names: Vec<_> = exchange.request.headers.keys().map(|name| name.as_str().to_owned()).collect();
        exchange.reply.respond(head(200, &[]), names.join(" ").into());
    });
    let answer =
        site.send("GET / HTTP/1.1\r\nHost: x\r\nX_User: root\r\nX-User: me\r\nContent_Length: 5\r\n\r\n");
    assert_eq!(answer.text(), "host x-user");
}

#[test]
fn a_small_slow_body_bothers_no_worker_before_it_is_complete() {
    let site = Site::with(support::Setup { workers: 1, ..Default::default() }, echo);
    let mut slow = site.connect();
    slow.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    // With one worker this is answered only if the slow request does not hold it.
    assert_eq!(site.send(post("quick")).text(), "quick");
    slow.send("lo");
    assert_eq!(slow.answer().text(), "hello");
}

#[test]
fn head_and_small_body_leave_in_one_packet() {
    let site = Site::new(hello);
    let client = site.connect();
    let mut stream = client.stream;
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let read = std::io::Read::read(&mut stream, &mut buffer).unwrap();
    assert!(
        buffer[..read].ends_with(b"\r\n\r\nHello, World!"),
        "{}",
        String::from_utf8_lossy(&buffer[..read])
    );
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn report(exchange: Exchange) {
    let request = &exchange.request;
    let host = request
        .headers
        .get_all("host")
        .iter()
        .map(|host| host.to_str().unwrap())
        .collect::<Vec<_>>()
        .join("|");
    let client = match request.connection.client {
        chaussette::exchange::Client::Inet(address, _) => address.to_string(),
        chaussette::exchange::Client::Unix => "unix".into(),
    };
    let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
    let text = format!("{} {path} {query} host={host} client={client}", request.method);
    exchange.reply.respond(head(200, &[]), text.into());
}

#[test]
fn a_unix_socket_is_served_like_any_other() {
    let path = std::env::temp_dir().join(format!("chaussette-http-{}.sock", std::process::id()));
    let site = Site::on(&chaussette::config::Address::Unix(path.clone()), report);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let request = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answers = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answers).unwrap();
    assert!(answers.contains("\r\n\r\nGET /a  host=x client=unix"), "{answers}");
    assert!(answers.ends_with("\r\n\r\nGET /b  host=x client=unix"), "{answers}");
    drop(site);
    assert!(!path.exists());
}

#[test]
fn an_upgrade_that_nobody_offers_is_ignored() {
    let site = Site::new(hello);
    let mut client = site.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n");
        assert_eq!(client.answer().text(), "Hello, World!");
    }
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "Hello, World!");
    assert!(client.is_closed());
}

#[test]
fn a_target_reaches_the_application_as_it_was_sent_and_as_a_uri() {
    let site = Site::new(|exchange: Exchange| {
        let sent = exchange.request.target.map(|target| String::from_utf8(target.to_vec()).unwrap());
        let text = format!("{} {}", exchange.request.uri, sent.unwrap_or("as it is".to_owned()));
        exchange.reply.respond(head(200, &[]), text.into());
    });
    let targets = [
        ("/a?b", "/a?b as it is"),
        ("/a\"<b>?c=\"`\"", "/a%22%3Cb%3E?c=%22%60%22 /a\"<b>?c=\"`\""),
        ("http://x/a?b", "http://x/a?b http://x/a?b"),
        ("HTTP://x?<", "http://x/?%3C HTTP://x?<"),
        ("/a?b#c?d", "/a?b /a?b#c?d"),
    ];
    let mut client = site.connect();
    for (target, expected) in targets {
        // Also behind another request, where it is read from what is held.
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.send(request.repeat(2));
        assert_eq!(client.answer().text(), expected);
        assert_eq!(client.answer().text(), expected);
    }
    client.send("POST /\"?< HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().text(), "/%22?%3C /\"?<");
    client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "* *");
}

#[test]
fn a_later_minor_version_is_read_as_1_1() {
    let site = Site::new(|exchange: Exchange| {
        let text = format!("{:?} {}", exchange.request.version, exchange.request.uri);
        exchange.reply.respond(head(200, &[]), text.into());
    });
    let mut client = site.connect();
    client.send("GET /a?b HTTP/1.2\r\nHost: x\r\n\r\nGET /c HTTP/1.9\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "HTTP/1.1 /a?b");
    let answer = client.answer();
    assert_eq!((answer.version.as_str(), answer.text()), ("HTTP/1.1", "HTTP/1.1 /c"));
}

#[test]
fn a_body_that_came_in_chunks_is_framed_anew_for_the_application() {
    let site = Site::new(|exchange: Exchange| {
        let named = |name| exchange.request.headers.get(name).map_or("none", |value| value.to_str().unwrap());
        let text = format!("{} {} {}", named("transfer-encoding"), named("content-length"), named("trailer"));
        let _ = support::read_all(exchange.request.body);
        exchange.reply.respond(head(200, &[]), text.into());
    });
    let mut client = site.connect();
    let start = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    client.send(format!("{start}3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"));
    assert_eq!(client.answer().text(), "none 5 none");
    client.send(format!("{start}0\r\n\r\n"));
    assert_eq!(client.answer().text(), "none 0 none");
    // Too large to be there before the application is: nobody knows its length.
    client.send(format!("{start}{:x}\r\n{}\r\n0\r\n\r\n", 300_000, "x".repeat(300_000)));
    assert_eq!(client.answer().text(), "none none none");
}
