//! The access log: which lines a front end leaves, and what becomes of them. No Python.

mod support;

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::access::{AccessLog, Asked, Line};
use chaussette::config::{AccessFormat, AccessOutput};
use chaussette::exchange::Exchange;
use http::{Method, Version};
use serde_json::Value;
use socket2::SockRef;
use support::{PATIENCE, Setup, Site, first_chunk, head, hello, soon, stream, streamed};

/// A log of one test, removed at its end. Closing it writes what waits.
struct Logged {
    path: PathBuf,
    log: Option<AccessLog>,
}

impl Logged {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaussette-access-{}-{name}", std::process::id()));
        let log = AccessLog::open(&AccessOutput::File(path.clone()), AccessFormat::Json).unwrap();
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
    Line::new(None, Asked::Request { method: Method::GET, target, version: Version::HTTP_11 })
}

#[test]
fn lines_are_written_soon_though_nobody_closes() {
    let logged = Logged::new("soon");
    let lines = logged.log.as_ref().unwrap().lines();
    for target in ["/1", "/2"] {
        lines.entry(line(target)).complete();
    }
    soon("two lines", || read(&logged.path).len() == 2);
    lines.entry(line("/3")).complete();
    soon("a third line", || read(&logged.path).len() == 3);
}

#[test]
fn reopened_it_goes_on_in_a_new_file_and_loses_nothing() {
    let mut logged = Logged::new("reopened");
    let old = logged.path.with_extension("old");
    let lines = logged.log.as_ref().unwrap().lines();
    lines.entry(line("/before")).complete();
    fs::rename(&logged.path, &old).unwrap();
    lines.reopen();
    soon("the new file", || logged.path.exists());
    lines.entry(line("/after")).complete();
    drop(logged.log.take());
    let targets = |path: &Path| read(path).iter().map(|line| line["target"].clone()).collect::<Vec<_>>();
    assert_eq!((targets(&old), targets(&logged.path)), (vec!["/before".into()], vec!["/after".into()]));
    fs::remove_file(old).unwrap();
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_the_option() {
    let output = AccessOutput::File("/nowhere/access".into());
    let error = AccessLog::open(&output, AccessFormat::Common).unwrap_err().to_string();
    assert!(error.starts_with("--access-log /nowhere/access: cannot open for appending: "), "{error}");
}

/// The pipe is full long before all lines are in it: who leaves them goes on all the same.
#[test]
fn a_reader_that_reads_nothing_holds_nobody_and_the_end_comes() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let output = AccessOutput::File(format!("/dev/fd/{}", writer.as_raw_fd()).into());
    let log = AccessLog::open(&output, AccessFormat::Json).unwrap();
    drop(writer);
    let lines = log.lines();
    for number in 0..100_000 {
        lines.entry(line(&format!("/{number}"))).complete();
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
    let log = AccessLog::open(&AccessOutput::File("/dev/full".into()), AccessFormat::Common).unwrap();
    let lines = log.lines();
    lines.entry(line("/lost")).complete();
    drop((lines, log));
}
