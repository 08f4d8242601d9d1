//! A server as a process of its own, over a scripted workplace, minded as a process manager would. No Python.
//!
//! A test binary that uses it has an ignored test `a_server_over_a_scripted_workplace`, which calls
//! [`serve_scripted`]: the binary is started once more to run that.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test binary uses its own part"
)]

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
use chaussette::census::{Identity, Overdue, Pool, Thread};
use chaussette::cli;
use chaussette::config::Config;
use chaussette::exchange::{Exchange, ResponseHead};
use chaussette::reload::Sources;
use chaussette::server::{Leave, Plan, Threading, Workplace, run};
use rustix::process::{Pid, Signal, kill_process};

/// No wait of these tests takes longer, however busy the machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// What the program that is minded does; set in its environment only.
const SCRIPT: &str = "CHAUSSETTE_TEST_SCRIPT";

/// What it is started with.
const WORDS: &str = "CHAUSSETTE_TEST_WORDS";

/// A workplace whose applications do as `SCRIPT` says.
struct Scripted(String);

#[derive(Clone, Debug)]
struct Guest {
    script: String,
    identity: Identity,
    /// What the file held when it was loaded.
    code: String,
}

struct ScriptedLoader {
    script: String,
    pool: Pool,
    home: Home,
}

impl Workplace for Scripted {
    type Loader = ScriptedLoader;

    fn threading(&self) -> Threading {
        if ["free", "gil-is-back"].contains(&self.0.as_str()) { Threading::Free } else { Threading::Gil }
    }

    fn loader(&self, _config: &Config, plan: Plan, _: Option<Sources>) -> ScriptedLoader {
        ScriptedLoader { script: self.0.clone(), pool: plan.pool, home: plan.home }
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
            ("gil-is-back", Home::Main) => {
                return Err(LoadError::GilIsBack { extension: "pkg._speedups".to_owned() }.into());
            }
            ("one-unloadable", _) if identity.number == 1 => {
                return Err(NotLoaded {
                    error: LoadError::Application { report: "second one".to_owned() },
                    ended: Ended::Abandoned("interpreter 1 is left as it is".to_owned()),
                });
            }
            ("load-hangs", _) => hang(),
            _ => {}
        }
        let code = self.script.strip_prefix("code:").map(|path| match self.pool {
            Pool::Interpreters => std::fs::read_to_string(path).unwrap(),
            // Code of its own, where a test has written some.
            Pool::Process => std::fs::read_to_string(format!("{path}.process"))
                .or_else(|_| std::fs::read_to_string(path))
                .unwrap(),
        });
        let code = code.unwrap_or_default();
        eprintln!("loading {code:?}");
        if code.starts_with("broken") {
            return Err(LoadError::Application { report: format!("Traceback\nSyntaxError: {code}") }.into());
        }
        if code.starts_with("hang") {
            hang();
        }
        let guest = Guest { script: self.script.clone(), identity, code };
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
            let path = exchange.request.uri.path();
            match path.strip_prefix("/report").filter(|rest| !rest.is_empty()).unwrap_or(path) {
                "/panic" => panic!("on purpose"),
                "/bomb" => std::panic::panic_any(Bomb),
                "/hang" => {
                    eprintln!("hanging");
                    hang();
                }
                "/drop" => drop(exchange),
                path => {
                    if path == "/gate" {
                        eprintln!("waiting");
                        self.wait_for_gate();
                    }
                    let cold = path == "/warm" && self.code.starts_with("cold");
                    let head = ResponseHead {
                        status: http::StatusCode::from_u16(if cold { 503 } else { 200 }).unwrap(),
                        reason: None,
                        headers: http::HeaderMap::new(),
                        names: Vec::new(),
                    };
                    exchange.reply.respond(head, self.body());
                }
            }
            next = line.next();
        }
    }

    fn thread(&self) -> Thread {
        Thread::default()
    }

    fn end(self) -> Ended {
        match self.script.as_str() {
            "leaves-threads" => {
                Ended::Abandoned(format!("interpreter {} is left as it is", self.identity.number))
            }
            "end-hangs" => hang(),
            _ if self.code.starts_with("endless") => hang(),
            _ if self.code.starts_with("threads") => {
                Ended::Abandoned(format!("interpreter {} is left as it is", self.identity.number))
            }
            _ => Ended::Cleanly,
        }
    }
}

/// What a panic leaves behind, and takes the thread with it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose, and once more");
    }
}

impl Guest {
    fn body(&self) -> Bytes {
        let Identity { number, place, .. } = self.identity;
        if self.code.is_empty() { format!("from {place}") } else { format!("{} from {number}", self.code) }
            .into()
    }

    /// Until there is a file with the code's name and `.gate`.
    fn wait_for_gate(&self) {
        let gate = format!("{}.gate", self.script.strip_prefix("code:").unwrap_or_default());
        while !std::path::Path::new(&gate).exists() {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// The program that the other tests start.
pub fn serve_scripted() {
    let Ok(script) = env::var(SCRIPT) else { return };
    let words = env::var(WORDS).unwrap();
    let argv = std::iter::once("chaussette").chain(words.split_whitespace()).map(Into::into).collect();
    let mut leave = Leave::Orderly;
    let status = cli::main(argv, String::new, |config| {
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
pub struct Minded {
    program: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Minded {
    pub fn start(script: &str, words: &str) -> Self {
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
    pub fn line(&mut self, text: &str) -> String {
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

    /// Waits for a line with `text` unless it was said already.
    pub fn says(&mut self, text: &str) {
        if !self.said.iter().any(|line| line.contains(text)) {
            self.line(text);
        }
    }

    /// Waits for readiness and returns the port.
    pub fn port(&mut self) -> u16 {
        let serving = self.line("Serving on localhost:");
        let port = serving.rsplit(':').next().unwrap().parse().unwrap();
        self.line("ready: ");
        port
    }

    /// All that was said so far.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.program), signal).unwrap();
    }

    /// Waits for the end; the exit status and all that was said.
    pub fn ended(mut self) -> (i32, String) {
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

pub fn send(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

pub fn get(port: u16, path: &str) -> String {
    let mut text = String::new();
    send(port, path).read_to_string(&mut text).unwrap();
    text
}
