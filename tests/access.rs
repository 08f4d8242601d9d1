//! The access log: which lines a front end leaves, and what becomes of them. No Python.

mod support;

use std::fs;
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::access::{AccessLog, Asked, Line, Lines, Statsd};
use chaussette::config::{Access, AccessOutput};
use chaussette::exchange::{Client, Connection, Exchange, Scheme};
use http::{HeaderMap, Method, Version};
use serde_json::Value;
use socket2::SockRef;
use support::{PATIENCE, Setup, Site, first_chunk, head, hello, soon, stream, streamed};

fn open(output: AccessOutput, format: &str) -> std::io::Result<AccessLog> {
    AccessLog::open(Some(&Access { output, format: format.parse().unwrap() }), None)
}

/// A log of one test, removed at its end. Closing it writes what waits.
struct Logged {
    path: PathBuf,
    log: Option<AccessLog>,
}

impl Logged {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaussette-access-{}-{name}", std::process::id()));
        Self::open(path, "json")
    }

    fn open(path: PathBuf, format: &str) -> Self {
        let log = open(AccessOutput::File(path.clone()), format).unwrap();
        Self { path, log: Some(log) }
    }

    fn site(&self, script: impl Fn(Exchange) + Send + Sync + 'static) -> Site {
        self.site_with(Setup::default(), script)
    }

    fn site_with(&self, setup: Setup, script: impl Fn(Exchange) + Send + Sync + 'static) -> Site {
        let access = self.log.as_ref().map(AccessLog::lines);
        Site::with(Setup { access, ..setup }, script)
    }

    /// What was logged in all. Ends the site first, so that nothing is under way.
    fn lines(&mut self, site: Site) -> Vec<Value> {
        drop(site);
        drop(self.log.take());
        read(&self.path)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `[method, target, status, bytes, complete]`.
fn essence(line: &Value) -> String {
    let told = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {} {} {}", told("method"), told("target"), line["status"], line["bytes"], line["complete"])
}

#[test]
fn each_request_is_a_line_with_status_size_and_who_served_it() {
    let mut logged = Logged::new("each");
    let site = logged.site(|exchange| match exchange.request.uri.path() {
        "/hello" => hello(exchange),
        "/stream" => stream(exchange),
        "/empty" => exchange.reply.respond(head(204, &[]), Bytes::new()),
        _ => drop(exchange),
    });
    let mut client = site.connect();
    for target in ["/hello?a=b", "/stream", "/empty", "/dropped"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nReferer: r\r\nUser-Agent: \"a\"\r\n\r\n"));
        client.answer();
    }
    client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    client.answer_to("HEAD").unwrap();
    let lines = logged.lines(site);
    assert_eq!(
        lines.iter().map(essence).collect::<Vec<_>>(),
        [
            "GET /hello?a=b 200 13 true".to_owned(),
            format!("GET /stream 200 {} true", streamed().len()),
            "GET /empty 204 0 true".to_owned(),
            "GET /dropped 500 26 true".to_owned(),
            "HEAD /hello 200 0 true".to_owned(),
        ]
    );
    for line in &lines {
        assert!(line["queue_seconds"].as_f64().unwrap() <= line["duration_seconds"].as_f64().unwrap());
        assert_eq!((&line["interpreter"], &line["client"]), (&0.into(), &"127.0.0.1".into()));
    }
    assert_eq!((&lines[0]["referer"], &lines[0]["user_agent"]), (&"r".into(), &"\"a\"".into()));
    assert_eq!(lines[4]["referer"], Value::Null);
}

#[test]
fn what_never_reaches_the_application_is_logged_too() {
    let mut logged = Logged::new("refused");
    let site = logged.site(hello);
    for bytes in [
        "nonsense \x1b\r\n\r\n".to_owned(),
        "GET /no-host HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)),
        "GET /huge HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
    ] {
        site.send(bytes);
    }
    let lines = logged.lines(site);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let asked = line["request"].as_str().or(line["target"].as_str()).unwrap();
            let end = asked.char_indices().nth(24).map_or(asked.len(), |(end, _)| end);
            format!("{} {}", line["status"], &asked[..end])
        })
        .collect();
    assert_eq!(
        told,
        ["400 nonsense \u{1b}", "400 GET /no-host HTTP/1.1", "414 GET /xxxxxxxxxxxxxxxxxxx", "413 /huge"]
            .map(|line| line.chars().take(28).collect::<String>())
    );
    assert!(lines.iter().all(|line| line["interpreter"] == Value::Null && line["complete"] == true));
}

#[test]
fn an_answer_that_breaks_off_is_not_complete() {
    let mut logged = Logged::new("broken");
    let site = logged.site(|exchange| {
        let mut body = exchange.reply.start(head(200, &[]));
        body.send(first_chunk().into()).unwrap();
    });
    let mut client = site.connect();
    client.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
    client.rest();
    let lines = logged.lines(site);
    let expected = format!("GET /half 200 {} false", first_chunk().len());
    assert_eq!(lines.iter().map(essence).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_a_499() {
    let mut logged = Logged::new("left");
    let (sender, receiver) = std::sync::mpsc::sync_channel::<()>(1);
    let receiver = std::sync::Mutex::new(receiver);
    let setup = Setup { workers: 1, ..Setup::default() };
    let site = logged.site_with(setup, move |exchange| {
        if exchange.request.uri.path() == "/held" {
            receiver.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        hello(exchange);
    });
    let mut held = site.connect();
    held.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut impatient = site.connect();
    impatient.send("GET /left HTTP/1.1\r\nHost: x\r\n\r\n");
    // Both are there: the one in hand, the other in the queue.
    soon("a request in the queue", || site.queue.gauge(Instant::now()).waiting > 0);
    SockRef::from(&impatient.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(impatient);
    soon("its line", || !read(&logged.path).is_empty());
    sender.send(()).unwrap();
    held.answer();
    let told: Vec<_> = logged.lines(site).iter().map(essence).collect();
    assert_eq!(told, ["GET /left 499 0 false", "GET /held 200 13 true"]);
}

fn line(target: &str) -> Line {
    let target = Bytes::copy_from_slice(target.as_bytes());
    Line::new(somebody(), Asked::Request { method: Method::GET, target, version: Version::HTTP_11 })
}

fn somebody() -> Arc<Connection> {
    let (server_name, server_port, script_name) = ("x".to_owned(), "80".to_owned(), String::new());
    Arc::new(Connection { client: Client::Unix, server_name, server_port, scheme: Scheme::Http, script_name })
}

/// A request that is answered at once.
fn leave(lines: &Lines, target: &str) {
    lines.entry(line(target), &HeaderMap::new()).complete();
}

#[test]
fn lines_are_written_soon_though_nobody_closes() {
    let logged = Logged::new("soon");
    let lines = logged.log.as_ref().unwrap().lines();
    for target in ["/1", "/2"] {
        leave(&lines, target);
    }
    soon("two lines", || read(&logged.path).len() == 2);
    leave(&lines, "/3");
    soon("a third line", || read(&logged.path).len() == 3);
}

#[test]
fn reopened_it_goes_on_in_a_new_file_and_loses_nothing() {
    let mut logged = Logged::new("reopened");
    let old = logged.path.with_extension("old");
    let lines = logged.log.as_ref().unwrap().lines();
    leave(&lines, "/before");
    fs::rename(&logged.path, &old).unwrap();
    lines.reopen();
    soon("the new file", || logged.path.exists());
    leave(&lines, "/after");
    drop(logged.log.take());
    let targets = |path: &Path| read(path).iter().map(|line| line["target"].clone()).collect::<Vec<_>>();
    assert_eq!((targets(&old), targets(&logged.path)), (vec!["/before".into()], vec!["/after".into()]));
    fs::remove_file(old).unwrap();
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_the_option() {
    let output = AccessOutput::File("/nowhere/access".into());
    let error = open(output, "common").unwrap_err().to_string();
    assert!(error.starts_with("--access-log /nowhere/access: cannot open for appending: "), "{error}");
}

/// The pipe is full long before all lines are in it: who leaves them goes on all the same.
#[test]
fn a_reader_that_reads_nothing_holds_nobody_and_the_end_comes() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let output = AccessOutput::File(format!("/dev/fd/{}", writer.as_raw_fd()).into());
    let log = open(output, "json").unwrap();
    drop(writer);
    let lines = log.lines();
    for number in 0..100_000 {
        leave(&lines, &format!("/{number}"));
    }
    drop((lines, log));
    let mut text = String::new();
    // The end of the file: its writer has closed it.
    reader.read_to_string(&mut text).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    assert!((1..100_000).contains(&whole), "{whole}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_lines_only() {
    let log = open(AccessOutput::File("/dev/full".into()), "common").unwrap();
    let lines = log.lines();
    leave(&lines, "/lost");
    drop((lines, log));
}

#[test]
fn a_format_has_headers_of_the_request_and_of_its_answer() {
    let path = std::env::temp_dir().join(format!("chaussette-access-{}-headers", std::process::id()));
    let format = "%m %U%q %{X-Seen}i %{X-Absent}i %{X-Said}o %{Content-Length}o %{c}C %k";
    let mut logged = Logged::open(path, format);
    let site = logged.site(|exchange| match exchange.request.uri.path() {
        "/said" => exchange.reply.respond(head(200, &[("x-said", "yes")]), Bytes::from_static(b"four")),
        _ => exchange.reply.respond(head(204, &[]), Bytes::new()),
    });
    let mut client = site.connect();
    client.send("GET /said?a HTTP/1.1\r\nHost: x\r\nX-Seen: 1\r\nCookie: b=1; c=2\r\nX-Seen: 2\r\n\r\n");
    client.answer();
    client.send("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.answer();
    drop((client, site, logged.log.take()));
    let text = fs::read_to_string(&logged.path).unwrap();
    assert_eq!(text, "GET /said?a 1, 2 - yes 4 2 0\nDELETE / - - - - - 1\n");
}

/// The figures that a statsd was told, datagram by datagram, until there are so many names.
fn pushed(socket: &UdpSocket, enough: impl Fn(&str) -> bool) -> Vec<String> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while !enough(&all.join("\n")) {
        let size = socket.recv(&mut buffer).unwrap();
        all.push(String::from_utf8(buffer[..size].to_vec()).unwrap());
    }
    all
}

fn statsd(address: &str) -> Statsd {
    let config =
        chaussette::config::Statsd { address: address.parse().unwrap(), prefix: "gunicorn".parse().unwrap() };
    Statsd::open(&config, Arc::default()).unwrap()
}

#[test]
fn a_statsd_is_told_a_time_each_and_sums_in_datagrams_that_a_frame_holds() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let log = AccessLog::open(None, Some(statsd(&socket.local_addr().unwrap().to_string()))).unwrap();
    let lines = log.lines();
    for number in 0..1000 {
        let mut entry = lines.entry(line("/"), &HeaderMap::new());
        entry.note(|line| line.status = Some(if number % 10 == 0 { 404 } else { 200 }));
        entry.complete();
    }
    drop((lines, log));
    let sum = |all: &str, name: &str| -> u64 {
        let start = format!("gunicorn.{name}:");
        let values = all.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix("|c"));
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    };
    let datagrams =
        pushed(&socket, |all| sum(all, "request.status.404") >= 100 && sum(all, "requests") >= 1000);
    assert!(datagrams.iter().all(|datagram| datagram.len() <= 1432));
    let all = datagrams.join("\n");
    assert_eq!((sum(&all, "requests"), sum(&all, "request.status.200")), (1000, 900));
    let times = all.lines().filter(|line| line.starts_with("gunicorn.request.duration:")).count();
    assert_eq!(times, 1000);
    assert!(all.lines().all(|line| line.ends_with("|c") || line.ends_with("|ms")), "{all}");
    // Full ones: a thousand times in some thirty bytes each.
    assert!(datagrams.len() < 40, "{}", datagrams.len());
}

#[test]
fn a_statsd_that_is_not_there_holds_nobody() {
    for address in ["127.0.0.1:9", "unix:/nowhere/statsd"] {
        let began = Instant::now();
        let log = AccessLog::open(None, Some(statsd(address))).unwrap();
        let lines = log.lines();
        for _ in 0..1000 {
            leave(&lines, "/");
        }
        drop((lines, log));
        assert!(began.elapsed() < PATIENCE / 2);
    }
}
