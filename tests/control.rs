//! The control socket over a made-up census: who may ask, what is told, what is commanded. No Python.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaussette::census::metrics::metrics;
use chaussette::census::status::Status;
use chaussette::census::table::table;
use chaussette::census::{
    Census, Command, Current, Interpreter, Outcome, Part, Pool, Queue, Reason, Reload, Stage, Totals,
};
use chaussette::config::{Address, ControlAddress};
use chaussette::http::control::{BACKLOG, Clients, Control, Overseen, client};
use chaussette::listener::Listener;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn interpreter(number: u64, stage: Stage) -> Interpreter {
    Interpreter {
        number,
        place: 0,
        stage,
        generation: 2,
        process: None,
        age: Duration::from_secs(90_000),
        load: Some(Duration::from_millis(1250)),
        served: 40,
        threads: 2,
        gil_wait: Duration::from_millis(30),
        current: Vec::new(),
    }
}

fn current(target: &str, seconds: u64) -> Current {
    Current {
        method: "GET".to_owned(),
        target: target.to_owned(),
        client: "192.0.2.1".to_owned(),
        elapsed: Duration::from_secs(seconds),
        timed_out: seconds > 60,
    }
}

/// A census with something to tell in each place.
fn eventful() -> Census {
    let mut serving = interpreter(7, Stage::Serving);
    serving.current = vec![current("/a", 1), current("/b?c=d", 2)];
    let mut stuck = interpreter(3, Stage::Stuck);
    (stuck.load, stuck.current) = (None, vec![current("/loop", 300)]);
    let mut replaced = [0; Reason::ALL.len()];
    (replaced[0], replaced[3]) = (8, 1);
    Census {
        uptime: Duration::from_secs(200_000),
        wanted: 2,
        least: 1,
        most: 4,
        generation: 2,
        reload: Reload::Done { ago: Duration::from_secs(60), took: Duration::from_millis(2500) },
        queue: Queue { waiting: 3, capacity: 1024, oldest: Duration::from_millis(1500) },
        interpreters: vec![serving, stuck],
        replaced,
        totals: Totals {
            served: 1000,
            timeouts: 5,
            queue_timeouts: 6,
            refused: 7,
            stuck: 1,
            recovered: 0,
            queued: Duration::from_secs(2),
            in_python: Duration::from_secs(20),
        },
        stopping: false,
        parts: Vec::new(),
    }
}

/// Of two pools, of which the second is at rest.
fn of_two_pools() -> Census {
    let process = Census {
        wanted: 3,
        least: 1,
        most: 6,
        generation: 1,
        queue: Queue { waiting: 0, capacity: 1024, oldest: Duration::ZERO },
        interpreters: vec![interpreter(8, Stage::Serving)],
        ..Census::default()
    };
    Census::of_parts(vec![
        Part { pool: Pool::Interpreters, census: eventful() },
        Part { pool: Pool::Process, census: process },
    ])
}

/// What a test says of the process, and what the process was told.
#[derive(Clone)]
struct Scripted {
    census: Arc<Mutex<Census>>,
    told: Sender<Command>,
}

impl Overseen for Scripted {
    fn census(&self) -> Census {
        self.census.lock().unwrap().clone()
    }

    async fn ask(&self, command: Command) -> Outcome {
        self.told.send(command).unwrap();
        match command {
            Command::Reload => Outcome::Accepted("one \"at\" a time".to_owned()),
            Command::Scale(Pool::Interpreters, 2) => Outcome::Unchanged("already so".to_owned()),
            Command::Stop => std::future::pending().await,
            _ => Outcome::Refused("not here".to_owned()),
        }
    }
}

/// A control socket in the test's process.
struct Site {
    address: ControlAddress,
    census: Arc<Mutex<Census>>,
    told: Receiver<Command>,
    control: Option<Control>,
    /// The reactor that would serve requests.
    reactor: Option<oneshot::Sender<()>>,
}

impl Site {
    fn tcp() -> Self {
        Self::at("127.0.0.1:0")
    }

    fn at(address: &str) -> Self {
        Self::of(address, Clients::Trusted)
    }

    /// As `--probes` has it.
    fn probes() -> Self {
        Self::of("127.0.0.1:0", Clients::Anybody)
    }

    fn of(address: &str, clients: Clients) -> Self {
        let asked: ControlAddress = address.parse().unwrap();
        let listener = Listener::open_private(&asked.to_bind(), BACKLOG).unwrap();
        let address = match listener.local_address() {
            Some(actual) => ControlAddress::Loopback(actual),
            None => asked,
        };
        let census = Arc::new(Mutex::new(eventful()));
        let (say, told) = channel();
        let runtime = Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        let (reactor, stopped) = oneshot::channel();
        let turn = move || drop(runtime.block_on(stopped));
        std::thread::Builder::new().name("reactor".into()).spawn(turn).unwrap();
        let overseen = Scripted { census: Arc::clone(&census), told: say };
        let control = Some(Control::start(listener, clients, overseen, handle).unwrap());
        Self { address, census, told, control, reactor: Some(reactor) }
    }

    fn tcp_address(&self) -> SocketAddr {
        match self.address {
            ControlAddress::Loopback(address) => address,
            ControlAddress::Unix(_) => panic!("a unix socket"),
        }
    }

    /// Sends a whole request and reads until the connection closes.
    fn send(&self, request: &str) -> Answer {
        match &self.address {
            ControlAddress::Loopback(address) => exchange(TcpStream::connect(address).unwrap(), request),
            ControlAddress::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                exchange(stream, request)
            }
        }
    }

    fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target)
    }
}

fn exchange(mut stream: impl std::io::Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    Answer { head: head.to_owned(), body: body.to_owned() }
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaussette-control-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_status_has_the_documented_names() {
    let answer = Site::tcp().get("/status");
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut status = answer.json();
    let rss = status.as_object_mut().unwrap().remove("rss_bytes");
    assert_eq!(rss.is_some(), cfg!(target_os = "linux"));
    let expected = json!({
        "version": chaussette::config::VERSION,
        "pid": std::process::id(),
        "uptime_seconds": 200_000.0,
        "ready": true,
        "stopping": false,
        "interpreters_wanted": 2,
        "interpreters_min": 1,
        "interpreters_max": 4,
        "generation": 2,
        "reload": { "state": "done", "ago_seconds": 60.0, "took_seconds": 2.5 },
        "queue": { "waiting": 3, "capacity": 1024, "oldest_seconds": 1.5 },
        "replaced": {
            "crash": 0, "max-lifetime": 0, "max-requests": 0, "reload": 8, "scale": 0, "stuck": 1
        },
        "totals": {
            "requests": 1000, "timeouts": 5, "queue_timeouts": 6, "refused": 7, "stuck": 1, "recovered": 0,
            "queue_seconds": 2.0, "python_seconds": 20.0
        },
        "interpreters": [
            {
                "number": 7, "slot": 0, "stage": "serving", "generation": 2, "age_seconds": 90_000.0,
                "load_seconds": 1.25, "requests": 40, "threads": 2, "gil_wait_seconds": 0.03,
                "current": [
                    { "method": "GET", "target": "/a", "client": "192.0.2.1", "elapsed_seconds": 1.0,
                      "timed_out": false },
                    { "method": "GET", "target": "/b?c=d", "client": "192.0.2.1", "elapsed_seconds": 2.0,
                      "timed_out": false },
                ]
            },
            {
                "number": 3, "slot": 0, "stage": "stuck", "generation": 2, "age_seconds": 90_000.0,
                "requests": 40, "threads": 2, "gil_wait_seconds": 0.03,
                "current": [
                    { "method": "GET", "target": "/loop", "client": "192.0.2.1", "elapsed_seconds": 300.0,
                      "timed_out": true },
                ]
            },
        ],
    });
    assert_eq!(status, expected);
}

#[test]
fn each_way_of_a_reload_is_told() {
    let second = Duration::from_secs(1);
    let table = [
        (Reload::Never, json!({ "state": "never" })),
        (
            Reload::Running { since: second, queued: true },
            json!({ "state": "running", "seconds": 1.0, "queued": true }),
        ),
        (
            Reload::Failed { ago: second, why: "SyntaxError: \"x\"".to_owned() },
            json!({ "state": "failed", "ago_seconds": 1.0, "error": "SyntaxError: \"x\"" }),
        ),
    ];
    let site = Site::tcp();
    for (reload, expected) in table {
        site.census.lock().unwrap().reload = reload;
        assert_eq!(site.get("/status").json()["reload"], expected);
    }
}

#[test]
fn a_long_target_is_told_in_part() {
    let site = Site::tcp();
    site.census.lock().unwrap().interpreters[0].current[0].target = "/é".repeat(40_000);
    let status = site.get("/status").json();
    let told = status["interpreters"][0]["current"][0]["target"].as_str().unwrap();
    assert_eq!(told.chars().count(), 1025);
    assert!(told.ends_with("é…"), "{told}");
}

#[test]
fn the_metrics_tell_what_the_census_has() {
    let answer = Site::tcp().get("/metrics");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let lines: Vec<_> = answer.body.lines().collect();
    for line in [
        "chaussette_interpreters{stage=\"serving\"} 1",
        "chaussette_interpreters{stage=\"stuck\"} 1",
        "chaussette_interpreters{stage=\"loading\"} 0",
        "chaussette_interpreters_replaced_total{reason=\"reload\"} 8",
        "chaussette_ready 1",
        "# TYPE chaussette_requests_total counter",
        "chaussette_requests_total 1000",
        "chaussette_request_timeouts_total 5",
        "chaussette_queue_timeouts_total 6",
        "chaussette_requests_refused_total 7",
        "chaussette_queue_wait_seconds_total 2",
        "chaussette_python_seconds_total 20",
        "chaussette_requests_in_python 3",
        "chaussette_longest_request_seconds 300",
        "chaussette_threads 2",
        "chaussette_queue_requests 3",
        "chaussette_reload_failed 0",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.ends_with('\n'));
}

/// The text format's rules: promtool, where there is one, checks the same page in python_tests.
#[test]
fn each_metric_has_help_and_type_once_and_counters_are_called_total() {
    let page = metrics(&eventful(), Some(4096));
    let mut seen = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(help) = lines.next() {
        let name = help.strip_prefix("# HELP ").unwrap().split(' ').next().unwrap();
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(name.starts_with("chaussette_") || name == "process_resident_memory_bytes");
        assert!(!seen.contains(&name), "{name} comes twice");
        seen.push(name);
        let mut samples = 0;
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let (what, value) = sample.rsplit_once(' ').unwrap();
            assert_eq!(what.split('{').next(), Some(name));
            value.parse::<f64>().unwrap();
            samples += 1;
        }
        assert!(samples > 0, "{name} has no sample");
    }
    assert!(seen.len() > 20);
}

#[test]
fn a_process_whose_memory_is_not_known_tells_none() {
    assert!(!metrics(&eventful(), None).contains("process_resident_memory_bytes"));
    let status = serde_json::to_value(Status::new(&eventful(), None)).unwrap();
    assert!(status.get("rss_bytes").is_none());
}

#[test]
fn it_is_ready_while_an_interpreter_serves_and_it_does_not_stop() {
    let site = Site::tcp();
    assert_eq!(site.get("/readyz").status(), 200);
    site.census.lock().unwrap().stopping = true;
    let stopping = site.get("/readyz");
    assert_eq!((stopping.status(), stopping.body.as_str()), (503, "stopping\n"));
    *site.census.lock().unwrap() =
        Census { interpreters: vec![interpreter(1, Stage::Loading)], ..Census::default() };
    assert_eq!(site.get("/readyz").body, "no interpreter serves\n");
    assert_eq!(site.get("/status").json()["ready"], false);
    assert_eq!(site.get("/healthz").status(), 200);
}

#[test]
fn it_is_alive_while_the_reactor_turns() {
    let mut site = Site::tcp();
    assert_eq!(site.get("/healthz").status(), 200);
    site.reactor.take().unwrap().send(()).unwrap();
    let dead = (0..).find_map(|_| Some(site.get("/healthz")).filter(|answer| answer.status() == 503));
    assert_eq!(dead.unwrap().body, "the reactor does not turn\n");
    assert_eq!(site.get("/readyz").body, "the reactor does not turn\n");
    assert_eq!(site.get("/status").status(), 200);
}

#[test]
fn with_patience_it_is_alive_until_every_thread_has_had_one_request_for_longer() {
    let site = Site::tcp();
    // Two threads of the one that serves, for 1 s and 2 s; the stuck one has been replaced and does not count.
    let said = |target: &str| (site.get(target).status(), site.get(target).body);
    assert_eq!(said("/healthz?patience=1"), (200, "alive\n".to_owned()));
    site.census.lock().unwrap().interpreters[0].current = vec![current("/a", 2), current("/b", 3)];
    assert_eq!(
        said("/healthz?patience=1"),
        (503, "every thread has been at its request for longer than 1 s\n".to_owned())
    );
    assert_eq!(said("/healthz?patience=2").0, 200);
    assert_eq!(said("/healthz").0, 200);
    assert_eq!(said("/readyz").0, 200);
    // A thread that is free serves.
    site.census.lock().unwrap().interpreters[0].threads = 3;
    assert_eq!(said("/healthz?patience=1").0, 200);
    site.census.lock().unwrap().interpreters.clear();
    assert_eq!(said("/healthz?patience=1").0, 200);
    for wrong in ["patience=", "patience=0", "patience=-1", "patience=1.5", "patience=99999999999", "x=1"] {
        assert_eq!(said(&format!("/healthz?{wrong}")).0, 400, "{wrong}");
    }
}

#[test]
fn probes_may_know_whether_it_is_well_and_nothing_else() {
    let site = Site::probes();
    for path in ["/healthz", "/healthz?patience=9", "/readyz", "/metrics"] {
        assert_eq!(site.get(path).status(), 200, "{path}");
    }
    assert!(!site.get("/metrics").body.contains("/b?c=d"));
    for (method, path) in [
        ("GET", "/status"),
        ("POST", "/stop"),
        ("POST", "/reload"),
        ("POST", "/interpreters?n=2"),
        ("GET", "/"),
    ] {
        let refused = site.ask(method, path);
        assert_eq!(refused.status(), 404, "{method} {path}");
        assert_eq!(refused.body, "404 Not Found: there are\nGET /metrics\nGET /healthz\nGET /readyz\n");
    }
    assert_eq!(site.ask("POST", "/healthz").status(), 405);
    assert!(site.told.try_recv().is_err());
}

#[test]
fn probes_are_asked_by_any_name_but_not_by_a_page() {
    let site = Site::probes();
    for host in ["10.1.2.3:8081", "pod.example", "localhost"] {
        assert_eq!(
            site.send(&format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n")).status(),
            200,
            "{host}"
        );
    }
    let page = "GET /metrics HTTP/1.1\r\nHost: 10.1.2.3\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(site.send(page).status(), 403);
}

#[test]
fn commands_reach_the_supervisor_and_its_answer_comes_back() {
    let site = Site::tcp();
    let table = [
        ("/reload", Command::Reload, 202, "accepted", "one \"at\" a time"),
        ("/interpreters?n=2", Command::Scale(Pool::Interpreters, 2), 200, "unchanged", "already so"),
        ("/interpreters?n=1024", Command::Scale(Pool::Interpreters, 1024), 409, "refused", "not here"),
        ("/processes?n=3", Command::Scale(Pool::Process, 3), 409, "refused", "not here"),
        ("/stop", Command::Stop, 503, "unanswered", "the supervisor has not answered within 5 s"),
    ];
    for (target, command, status, outcome, message) in table {
        let answer = site.ask("POST", target);
        assert_eq!(site.told.recv_timeout(DEADLINE).unwrap(), command);
        assert_eq!(answer.status(), status, "{target}");
        assert_eq!(answer.json(), json!({ "outcome": outcome, "message": message }));
    }
}

#[test]
fn a_command_that_is_not_understood_commands_nothing() {
    let site = Site::tcp();
    for target in [
        "/interpreters",
        "/interpreters?n=",
        "/interpreters?n=0",
        "/interpreters?n=1025",
        "/interpreters?n=+2",
        "/interpreters?n=2&n=3",
        "/interpreters?N=2",
        "/reload?now",
        "/stop?n=1",
    ] {
        assert_eq!(site.ask("POST", target).status(), 400, "{target}");
    }
    assert!(site.told.try_recv().is_err());
}

#[test]
fn other_paths_and_methods_are_refused_with_what_there_is() {
    let site = Site::tcp();
    for target in ["/", "/status/", "/Status", "//status", "*"] {
        let answer = site.ask("GET", target);
        assert_eq!(answer.status(), 404, "{target}");
        assert!(answer.body.contains("POST /reload\n"));
    }
    for (method, target, allow) in [
        ("GET", "/reload", "POST"),
        ("HEAD", "/stop", "POST"),
        ("PUT", "/interpreters?n=2", "POST"),
        ("POST", "/status", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
    ] {
        let answer = site.ask(method, target);
        assert_eq!((answer.status(), answer.header("allow")), (405, Some(allow)), "{method} {target}");
    }
    assert!(site.told.try_recv().is_err());
}

#[test]
fn head_tells_what_get_would() {
    let site = Site::tcp();
    let (head, get) = (site.ask("HEAD", "/readyz"), site.get("/readyz"));
    assert_eq!((head.status(), head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
}

#[test]
fn a_web_page_can_neither_command_nor_read() {
    let site = Site::tcp();
    let port = site.tcp_address().port();
    for lines in [
        "Host: localhost\r\nOrigin: http://evil.example".to_owned(),
        "Host: localhost\r\nOrigin: null".to_owned(),
        format!("Host: localhost\r\nOrigin: http://localhost:{port}"),
        "Host: localhost\r\nSec-Fetch-Site: cross-site".to_owned(),
        "Host: localhost\r\nSec-Fetch-Site: same-site".to_owned(),
        "Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site".to_owned(),
        "Host: evil.example".to_owned(),
        format!("Host: evil.example:{port}"),
        "Host: localhost.evil.example".to_owned(),
        "Host: 192.0.2.1".to_owned(),
        "Host: localhost@evil.example".to_owned(),
        "Host: evil.example@localhost".to_owned(),
        "Host: [::ffff:192.0.2.1]".to_owned(),
        "Host:".to_owned(),
    ] {
        for request in ["POST /stop", "GET /status"] {
            let answer = site.send(&format!("{request} HTTP/1.1\r\n{lines}\r\n\r\n"));
            assert_eq!(answer.status(), 403, "{request} {lines}");
        }
    }
    let absolute = site.send("GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(absolute.status(), 403);
    assert!(site.told.try_recv().is_err());
}

#[test]
fn who_is_here_may_ask_by_each_name_of_this_machine() {
    let site = Site::tcp();
    for lines in [
        "Host: localhost",
        "Host: LOCALHOST:1",
        "Host: 127.0.0.1:8080",
        "Host: 127.1.2.3",
        "Host: [::1]:9",
        "Host: localhost\r\nSec-Fetch-Site: none",
        "Host: localhost\r\nSec-Fetch-Site: same-origin",
    ] {
        assert_eq!(site.send(&format!("GET /readyz HTTP/1.1\r\n{lines}\r\n\r\n")).status(), 200, "{lines}");
    }
}

#[test]
fn one_host_is_needed() {
    let site = Site::tcp();
    for (request, status) in [
        ("GET /readyz HTTP/1.1\r\n\r\n", 400),
        ("GET /readyz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /readyz HTTP/1.0\r\n\r\n", 403),
        ("GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    ] {
        assert_eq!(site.send(request).status(), status, "{request:?}");
    }
}

#[test]
fn a_unix_socket_is_asked_by_any_name_but_not_by_a_page() {
    let folder = Folder::new("names");
    let site = Site::at(&format!("unix:{}", folder.0.join("c").display()));
    assert_eq!(site.send("POST /reload HTTP/1.1\r\nHost: x\r\n\r\n").status(), 202);
    let page = site.send("POST /reload HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n");
    assert_eq!(page.status(), 403);
}

#[test]
fn a_large_head_and_a_large_body_are_refused() {
    let site = Site::tcp();
    let head = "x".repeat(16 * 1024);
    let answer = site.send(&format!("GET /status HTTP/1.1\r\nHost: localhost\r\nX: {head}\r\n\r\n"));
    assert_eq!(answer.status(), 431);
    let body = "x".repeat(5000);
    let answer =
        site.send(&format!("POST /stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n{body}"));
    assert_eq!(answer.status(), 413);
    let small = site.send("POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(small.status(), 202);
}

#[test]
fn clients_that_say_nothing_are_closed_and_keep_nobody_out() {
    let site = Site::tcp();
    // As many as are served at once: who comes behind waits until they are closed.
    let silent: Vec<_> = (0..32).map(|_| TcpStream::connect(site.tcp_address()).unwrap()).collect();
    assert_eq!(site.get("/readyz").status(), 200);
    for mut one in silent {
        one.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(one.read(&mut [0; 1024]).unwrap(), 0);
    }
}

#[test]
fn dropped_it_answers_what_it_has_and_removes_its_file() {
    let folder = Folder::new("dropped");
    let path = folder.0.join("c");
    let mut site = Site::at(&format!("unix:{}", path.display()));
    assert_eq!(site.get("/readyz").status(), 200);
    drop(site.control.take());
    assert!(!path.exists());
}

#[test]
fn the_client_reads_what_the_server_tells() {
    let folder = Folder::new("client");
    for site in
        [Site::tcp(), Site::at("[::1]:0"), Site::at(&format!("unix:{}", folder.0.join("c").display()))]
    {
        let told = client::status(&site.address).unwrap();
        assert_eq!(told.status.interpreters, Status::new(&eventful(), None).interpreters);
        assert!(told.text.starts_with("{\"version\":"), "{}", told.text);
    }
}

#[test]
fn the_client_says_why_there_is_no_status() {
    let mut site = Site::tcp();
    drop(site.control.take());
    let nobody = client::status(&site.address).unwrap_err().to_string();
    assert!(nobody.starts_with(&format!("nobody listens on {}: ", site.address)), "{nobody}");

    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ControlAddress::Loopback(stranger.local_addr().unwrap());
    let answers = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno\x1b\n", "404 Not Found: no\\u{1b}"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "missing field `version`"),
        ("SSH-2.0-OpenSSH\r\n", "invalid HTTP"),
    ];
    for (answer, why) in answers {
        let stranger = stranger.try_clone().unwrap();
        let reply = move || {
            let (mut stream, _) = stranger.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        };
        let thread = std::thread::Builder::new().spawn(reply).unwrap();
        let said = client::status(&address).unwrap_err().to_string();
        thread.join().unwrap();
        let beginning = format!("{address} does not answer as a control socket of this release does: ");
        assert!(said.starts_with(&beginning) && said.contains(why), "{said}");
    }
}

#[test]
fn the_table_has_a_row_an_interpreter_and_a_line_a_request() {
    let mut status = Status::new(&eventful(), Some(312 << 20));
    (status.pid, status.version) = (4711, "2.0".to_owned());
    status.interpreters[1].current[0].target = format!("/\x1b[2J{}", "x".repeat(100));
    let expected = format!(
        "\
chaussette 2.0, process 4711: ready, up 2 d 7 h, 312 MiB in memory
interpreters: 2 wanted (1 to 4), 1 serving, 1 stuck
queue: 3 of 1024 waiting, the oldest for 1.5 s
requests: 1000 finished, 5 timed out, 6 timed out in the queue, 7 refused
on average: 2.0 ms in the queue, 20.0 ms in Python
replaced: 8 reload, 1 stuck
reload: done 1 min 0 s ago, in 2.5 s

NUMBER  SLOT  STAGE    GENERATION  AGE      LOADED IN  REQUESTS  GIL WAIT  BUSY  NOW
7       0     serving  2           1 d 1 h  1.2 s      40        30.0 ms   2/2   GET /a for 1.0 s (192.0.2.1)
                                                                                 GET /b?c=d for 2.0 s (192.0.2.1)
3       0     stuck    2           1 d 1 h  -          40        30.0 ms   1/2   GET /\\u{{1b}}[2J{}… for 5 min 0 s, answered 504 (192.0.2.1)
",
        "x".repeat(75)
    );
    assert_eq!(table(&status), expected);
}

#[test]
fn the_table_of_a_start_and_of_a_failed_reload_say_so() {
    let census = Census { wanted: 2, least: 2, most: 2, ..Census::default() };
    let text = table(&Status::new(&census, None));
    assert!(text.contains(": not ready, up 0 s\ninterpreters: 2 wanted\n"), "{text}");
    let why = "SyntaxError\nin x".to_owned();
    let census =
        Census { stopping: true, reload: Reload::Failed { ago: Duration::from_secs(7200), why }, ..census };
    let text = table(&Status::new(&census, None));
    assert!(text.contains(": stopping, "), "{text}");
    assert!(
        text.contains("reload: FAILED 2 h 0 min ago, the old code serves: SyntaxError\\nin x\n"),
        "{text}"
    );
}

#[test]
fn two_pools_are_told_together_and_each_by_itself() {
    let status = serde_json::to_value(Status::new(&of_two_pools(), None)).unwrap();
    assert_eq!((&status["interpreters_wanted"], &status["interpreters_max"]), (&json!(5), &json!(10)));
    assert_eq!(status["queue"], json!({ "waiting": 3, "capacity": 2048, "oldest_seconds": 1.5 }));
    assert_eq!(status["totals"]["requests"], 1000);
    let names: Vec<_> = status["interpreters"].as_array().unwrap().iter().map(|one| &one["pool"]).collect();
    assert_eq!(names, ["interpreters", "interpreters", "process"]);
    let process = &status["pools"][1];
    assert_eq!(
        (&process["name"], &process["wanted"], &process["max"]),
        (&json!("process"), &json!(3), &json!(6))
    );
    assert_eq!((&process["reload"]["state"], &process["totals"]["requests"]), (&json!("never"), &json!(0)));
    assert_eq!(status["pools"][0]["reload"]["state"], "done");
}

#[test]
fn metrics_of_two_pools_have_a_label() {
    let page = metrics(&of_two_pools(), None);
    for line in [
        "chaussette_interpreters{pool=\"process\",stage=\"serving\"} 1",
        "chaussette_interpreters{pool=\"interpreters\",stage=\"stuck\"} 1",
        "chaussette_interpreters_replaced_total{pool=\"interpreters\",reason=\"reload\"} 8",
        "chaussette_requests_total{pool=\"interpreters\"} 1000",
        "chaussette_requests_total{pool=\"process\"} 0",
        "chaussette_queue_requests{pool=\"interpreters\"} 3",
        "chaussette_ready 1",
    ] {
        assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
    }
}

#[test]
fn the_table_of_two_pools_has_a_block_a_pool() {
    let text = table(&Status::new(&of_two_pools(), None));
    let said = "
pool process
processes: 3 wanted (1 to 6), 1 serving
queue: 0 of 1024 waiting
requests: 0 finished";
    assert!(text.contains(said), "{text}");
    assert!(
        text.contains("\npool interpreters\ninterpreters: 2 wanted (1 to 4), 1 stuck, 1 serving\n"),
        "{text}"
    );
    assert!(text.contains("BUSY  POOL "), "{text}");
}

#[test]
fn it_is_not_ready_while_a_pool_has_nobody_who_serves() {
    let site = Site::tcp();
    let mut parts = of_two_pools().parts;
    parts[1].census.interpreters.clear();
    *site.census.lock().unwrap() = Census::of_parts(parts);
    assert_eq!(site.get("/readyz").body, "no process of --process-for serves\n");
    assert_eq!(site.get("/status").json()["ready"], false);
}

#[test]
fn a_second_server_on_the_same_path_is_refused() {
    let folder = Folder::new("second");
    let site = Site::at(&format!("unix:{}", folder.0.join("c").display()));
    let again = Listener::open_private(&Address::Unix(folder.0.join("c")), BACKLOG);
    assert!(again.is_err());
    assert_eq!(site.get("/readyz").status(), 200);
}
