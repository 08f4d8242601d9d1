//! The life of the process: load, fall back, serve, drain, end; exit statuses and log lines. No Python.
//!
//! Each test starts this binary once more as the server, over a scripted workplace, and minds it as a process
//! manager would: by signals, its exit status and its log.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaussette::application::{
    Application, Ended, Home, Invitation, Line, LoadError, Loaded, Loader, NotLoaded,
};
use chaussette::census::{Identity, Overdue};
use chaussette::cli;
use chaussette::config::Config;
use chaussette::exchange::{Exchange, ResponseHead};
use chaussette::server::{Leave, Plan, Threading, Workplace, run};
use rustix::process::{Pid, Signal, kill_process};

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the program that is minded does; set in its environment only.
const SCRIPT: &str = "CHAUSSETTE_TEST_SCRIPT";

/// What it is started with.
const WORDS: &str = "CHAUSSETTE_TEST_WORDS";

/// A workplace whose applications do as `SCRIPT` says.
struct Scripted(String);

#[derive(Clone, Debug)]
struct Guest {
    script: String,
    place: usize,
}

struct ScriptedLoader {
    script: String,
    home: Home,
}

impl Workplace for Scripted {
    type Loader = ScriptedLoader;

    fn threading(&self) -> Threading {
        if self.0 == "free" { Threading::Free } else { Threading::Gil }
    }

    fn loader(&self, _config: &Config, plan: Plan) -> ScriptedLoader {
        ScriptedLoader { script: self.0.clone(), home: plan.home }
    }

    fn find_hook(&self, _config: &Config, name: &str) -> Result<(), String> {
        if name == "missing" { Err("there is none".to_owned()) } else { Ok(()) }
    }

    fn hook(&self, _config: &Config, name: &str) -> Result<(), String> {
        eprintln!("hook {name} called");
        if name == "broken" { Err("on purpose".to_owned()) } else { Ok(()) }
    }
}

impl Loader for ScriptedLoader {
    type Application = Guest;
    type Invitation = Guest;

    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded> {
        let refused = LoadError::Refused {
            extension: "pkg._speedups".to_owned(),
            chain: vec!["app".to_owned(), "pkg".to_owned(), "pkg._speedups".to_owned()],
            report: "Traceback".to_owned(),
        };
        match (self.script.as_str(), self.home) {
            ("unloadable", _) => {
                return Err(LoadError::Application { report: "on purpose".to_owned() }.into());
            }
            ("refused", Home::OwnGil) => return Err(refused.into()),
            ("one-unloadable", _) if identity.number == 1 => {
                return Err(NotLoaded {
                    error: LoadError::Application { report: "second one".to_owned() },
                    ended: Ended::Abandoned("interpreter 1 is left as it is".to_owned()),
                });
            }
            ("load-hangs", _) => hang(),
            _ => {}
        }
        let guest = Guest { script: self.script.clone(), place: identity.place };
        Ok(Loaded { application: guest.clone(), invitation: guest, name: "<scripted>".to_owned() })
    }
}

impl Invitation for Guest {
    type Application = Guest;

    fn join(self) -> Result<Guest, LoadError> {
        Ok(self)
    }

    fn interrupt(self, overdue: &Overdue) {
        overdue.found("where it is".to_owned());
        overdue.interrupt(|| eprintln!("interrupted"));
    }
}

impl Application for Guest {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        let mut next = Some(first);
        while let Some(exchange) = next {
            match exchange.request.uri.path() {
                "/panic" => panic!("on purpose"),
                "/hang" => {
                    eprintln!("hanging");
                    hang();
                }
                "/drop" => drop(exchange),
                _ => {
                    let head = ResponseHead {
                        status: http::StatusCode::OK,
                        reason: None,
                        headers: http::HeaderMap::new(),
                        names: Vec::new(),
                    };
                    exchange.reply.respond(head, Bytes::from(format!("from {}", self.place)));
                }
            }
            next = line.next();
        }
    }

    fn thread(&self) -> u64 {
        0
    }

    fn end(self) -> Ended {
        match self.script.as_str() {
            "leaves-threads" => Ended::Abandoned(format!("interpreter {} is left as it is", self.place)),
            "end-hangs" => hang(),
            _ => Ended::Cleanly,
        }
    }
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// The program that the other tests start.
#[test]
#[ignore = "the program that the other tests start"]
fn a_server_over_a_scripted_workplace() {
    let Ok(script) = env::var(SCRIPT) else { return };
    let words = env::var(WORDS).unwrap();
    let argv = std::iter::once("chaussette").chain(words.split_whitespace()).map(Into::into).collect();
    let mut leave = Leave::Orderly;
    let status = cli::main(argv, |config| {
        let stopped = run(&config, &Scripted(script));
        leave = stopped.leave;
        stopped.status
    });
    eprintln!("left {leave:?} with {status}");
    // What a leave by `_exit` is to CPython; no thread that hangs can hold it up.
    #[allow(clippy::disallowed_methods, clippy::exit, reason = "the program's own end")]
    std::process::exit(status);
}

/// A server being minded.
struct Minded {
    program: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Minded {
    fn start(script: &str, words: &str) -> Self {
        let mut program = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", "a_server_over_a_scripted_workplace", "--nocapture"])
            .env(SCRIPT, script)
            .env(WORDS, format!("--port 0 {words}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(program.stderr.take().unwrap());
        std::thread::Builder::new()
            .spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)))
            .unwrap();
        Self { program, lines, said: Vec::new() }
    }

    /// Waits for a line with `text` and returns it.
    fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {text:?} in:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Waits for readiness and returns the port.
    fn port(&mut self) -> u16 {
        let serving = self.line("Serving on localhost:");
        let port = serving.rsplit(':').next().unwrap().parse().unwrap();
        self.line("ready: ");
        port
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.program), signal).unwrap();
    }

    /// Waits for the end; the exit status and all that was said.
    fn ended(mut self) -> (i32, String) {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still runs; it said:\n{}", self.said.join("\n"));
            std::thread::park_timeout(Duration::from_millis(5));
        };
        self.said.extend(self.lines.iter());
        (status.code().expect("it ended by itself"), self.said.join("\n"))
    }
}

impl Drop for Minded {
    fn drop(&mut self) {
        // By its pid, if a failed test left it.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl std::ops::Deref for Minded {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.program
    }
}

fn send(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn get(port: u16, path: &str) -> String {
    let mut text = String::new();
    send(port, path).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_serves_says_so_and_ends_with_0() {
    let mut minded = Minded::start("plain", "--interpreters 2 --threads 2");
    minded.line("Application is <scripted>");
    let port = minded.port();
    let answer = get(port, "/");
    assert!(answer.ends_with("from 0") || answer.ends_with("from 1"), "{answer}");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("Using 2 own-GIL interpreters x 2 threads as a backend"), "{said}");
    assert!(said.contains("stopped: 2 interpreters ended"), "{said}");
    assert!(said.contains("left Orderly"), "{said}");
}

#[test]
fn a_panic_costs_one_request() {
    let mut minded = Minded::start("plain", "--interpreters 1");
    let port = minded.port();
    assert!(get(port, "/panic").starts_with("HTTP/1.1 500 "));
    assert!(get(port, "/").ends_with("from 0"));
    minded.signal(Signal::INT);
    assert_eq!(minded.ended().0, 0);
}

#[test]
fn a_dropped_reply_is_answered_500() {
    let mut minded = Minded::start("plain", "--interpreters 1");
    let port = minded.port();
    assert!(get(port, "/drop").starts_with("HTTP/1.1 500 "));
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 0);
}

#[test]
fn an_application_that_cannot_be_loaded_ends_it_with_4() {
    let (status, said) = Minded::start("unloadable", "--interpreters 2 pkg:app").ended();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("cannot load application pkg:app: on purpose"), "{said}");
}

#[test]
fn one_interpreter_that_cannot_load_ends_all_and_what_is_left_is_left() {
    let (status, said) = Minded::start("one-unloadable", "--interpreters 3").ended();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("left AtOnce"), "{said}");
}

#[test]
fn a_refusing_extension_makes_auto_fall_back_to_the_main_interpreter() {
    let mut minded = Minded::start("refused", "--interpreters 2 --threads 3");
    let port = minded.port();
    assert!(get(port, "/").ends_with("from 0"));
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("pkg._speedups"), "{said}");
    assert!(said.contains("app > pkg > pkg._speedups"), "{said}");
    assert!(said.contains("Using 1 main interpreter x 3 threads as a backend"), "{said}");
}

#[test]
fn a_refusing_extension_ends_an_explicit_own_gil_with_4() {
    let (status, said) = Minded::start("refused", "--interpreters 2 --isolation own-gil").ended();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("app > pkg > pkg._speedups"), "{said}");
}

#[test]
fn a_free_threaded_build_serves_on_all_threads_of_one_interpreter() {
    let mut minded = Minded::start("free", "--interpreters 2 --threads 3");
    minded.line("Using 1 free-threaded interpreter x 6 threads as a backend");
    minded.line("ready: ");
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 0);
}

#[test]
fn a_build_with_a_gil_refuses_free_threaded_with_2() {
    let (status, said) = Minded::start("plain", "--isolation free-threaded").ended();
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("--isolation free-threaded"), "{said}");
}

#[test]
fn a_request_that_hangs_past_the_graceful_timeout_ends_it_with_70() {
    let mut minded = Minded::start("plain", "--interpreters 2 --graceful-timeout 1");
    let port = minded.port();
    let stuck = send(port, "/hang");
    minded.line("hanging");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    assert!(said.contains("stopped: 1 interpreter still in the application's code"), "{said}");
    assert!(said.contains("left AtOnce"), "{said}");
    drop(stuck);
}

#[test]
fn a_second_signal_does_not_wait_for_requests() {
    let mut minded = Minded::start("plain", "--interpreters 1 --graceful-timeout 600");
    let port = minded.port();
    let stuck = send(port, "/hang");
    minded.line("hanging");
    minded.signal(Signal::TERM);
    minded.line("stopping: ");
    minded.signal(Signal::TERM);
    minded.line("stopping at once");
    assert_eq!(minded.ended().0, 70);
    drop(stuck);
}

#[test]
fn quit_does_not_wait_for_requests() {
    let mut minded = Minded::start("plain", "--interpreters 1 --graceful-timeout 600");
    let port = minded.port();
    let stuck = send(port, "/hang");
    minded.line("hanging");
    minded.signal(Signal::QUIT);
    minded.line("stopping at once");
    assert_eq!(minded.ended().0, 70);
    drop(stuck);
}

#[test]
fn threads_left_by_an_application_are_left_and_cost_no_status() {
    let mut minded = Minded::start("leaves-threads", "--interpreters 2");
    minded.port();
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("interpreter 0 is left as it is"), "{said}");
    assert!(said.contains("left AtOnce"), "{said}");
}

#[test]
fn exit_handlers_that_hang_are_left_at_the_deadline_and_cost_no_status() {
    let mut minded = Minded::start("end-hangs", "--interpreters 1 --graceful-timeout 1");
    minded.port();
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("have not ended in time"), "{said}");
    assert!(said.contains("left AtOnce"), "{said}");
}

#[test]
fn a_load_that_hangs_can_be_stopped() {
    let minded = Minded::start("load-hangs", "--interpreters 1");
    // Nothing is said while it loads: its socket tells that it has come so far.
    let status = format!("/proc/{}/status", minded.id());
    let deadline = Instant::now() + DEADLINE;
    // TERM is caught from then on: bit 15 of SigCgt.
    let caught = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mask =
            text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap_or(0) >> 14 & 1 == 1
    };
    while !caught() {
        assert!(Instant::now() < deadline, "TERM is not caught");
        std::thread::yield_now();
    }
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("stopped while the application was being loaded"), "{said}");
}

#[test]
fn hooks_are_called_before_and_after_serving() {
    let mut minded = Minded::start("plain", "--interpreters 1 --pre-hook before --post-hook after");
    minded.line("hook before called");
    minded.port();
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("hook after called"), "{said}");
}

#[test]
fn a_hook_that_fails_ends_it_with_1() {
    let (status, said) = Minded::start("plain", "--interpreters 1 --pre-hook broken").ended();
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("hook broken failed: on purpose"), "{said}");
}

#[test]
fn a_post_hook_that_is_missing_is_found_out_before_serving() {
    let (status, said) = Minded::start("plain", "--interpreters 1 --post-hook missing").ended();
    assert_eq!(status, 1, "{said}");
    assert!(!said.contains("ready: "), "{said}");
}

#[test]
fn signals_without_a_meaning_yet_do_not_end_it() {
    let mut minded = Minded::start("plain", "--interpreters 1");
    let port = minded.port();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::TTIN, Signal::TTOU] {
        minded.signal(signal);
        minded.line("has no effect: ignored");
    }
    assert!(get(port, "/").ends_with("from 0"));
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 0);
}
