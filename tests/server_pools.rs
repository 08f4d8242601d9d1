//! Two pools behind one front end: which requests go where, and that neither holds the other up. No Python.

#[path = "support/code.rs"]
mod code;
#[path = "support/minded.rs"]
mod minded;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use code::{Code, stop, told, who};
use minded::{Minded, get, send};
use rustix::process::Signal;

/// The program that the other tests start.
#[test]
#[ignore = "the program that the other tests start"]
fn a_server_over_a_scripted_workplace() {
    minded::serve_scripted();
}

/// What processes load, where that is not what interpreters do.
fn write_of_processes(code: &Code, text: &str) {
    std::fs::write(code.beside("process"), text).unwrap();
}

/// With `--process-for /report`.
fn serve(code: &Code, words: &str) -> Minded {
    code.serve(&format!("--process-for /report --control unix:{} {words}", code.beside("sock").display()))
}

/// Asks the control socket.
fn ask(code: &Code, request: &str) -> String {
    let mut stream = UnixStream::connect(code.beside("sock")).unwrap();
    stream.set_read_timeout(Some(minded::DEADLINE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Two codes, so that an answer tells its pool.
fn two_codes(name: &str) -> Code {
    let code = Code::new(name, "v1");
    write_of_processes(&code, "p1");
    code
}

#[test]
fn each_request_goes_to_the_pool_of_its_path() {
    let code = two_codes("routes");
    let mut minded = serve(&code, "--interpreters 2 --processes 3 --process-for /caf%C3%A9/");
    minded.line("Using 2 own-GIL interpreters x 1 thread as a backend");
    minded.line("Using 3 worker processes x 1 thread as a backend for /report, /caf%C3%A9/");
    minded.line("ready: 2 interpreters and 3 processes in ");
    let port: u16 = {
        let said = minded.said();
        let line = said.iter().find(|line| line.contains("Serving on localhost:")).unwrap();
        line.rsplit(':').next().unwrap().parse().unwrap()
    };
    let mut numbers = std::collections::BTreeMap::new();
    for (path, expected) in [
        ("/", "v1"),
        ("/reports", "v1"),
        ("/report.html", "v1"),
        ("/Report", "v1"),
        ("//report", "v1"),
        ("/x/report", "v1"),
        ("/?/report", "v1"),
        ("/report", "p1"),
        ("/report/", "p1"),
        ("/report?x=1", "p1"),
        ("/report/x/y", "p1"),
        ("/%72eport", "p1"),
        ("/report%2Fx", "p1"),
        ("http://x/report/x", "p1"),
        ("/caf%c3%a9", "p1"),
        ("/caf%C3%A9/x", "p1"),
        ("/caf", "v1"),
    ] {
        let (code, number) = who(port, path);
        assert_eq!(code, expected, "{path}");
        assert_eq!(*numbers.entry(number).or_insert(code), expected, "{path}: {number} is of both");
    }
    assert!(stop(minded).contains("stopped: 2 interpreters and 3 processes ended"));
}

#[test]
fn a_full_queue_of_one_pool_does_not_stop_the_other() {
    let code = two_codes("full");
    let mut minded = serve(&code, "--interpreters 1 --queue 1");
    let port = minded.port();
    let in_hand = send(port, "/report/gate");
    minded.line("waiting");
    let in_queue = send(port, "/report/gate");
    while !ask(&code, "GET /status").contains("\"waiting\":1") {
        std::thread::yield_now();
    }
    assert!(get(port, "/report").starts_with("HTTP/1.1 503 "));
    for _ in 0..3 {
        assert_eq!(who(port, "/").0, "v1");
    }
    let metrics = ask(&code, "GET /metrics");
    assert!(metrics.contains("\nchaussette_requests_refused_total{pool=\"process\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\nchaussette_requests_refused_total{pool=\"interpreters\"} 0\n"), "{metrics}");
    code.open_gate();
    assert_eq!((told(&answer(in_hand)).0, told(&answer(in_queue)).0), ("p1".to_owned(), "p1".to_owned()));
    stop(minded);
}

#[test]
fn a_stop_answers_what_both_pools_have() {
    let code = two_codes("stop");
    let mut minded = serve(&code, "--interpreters 1");
    let port = minded.port();
    let both = ["/gate", "/report/gate"].map(|path| {
        let sent = send(port, path);
        minded.line("waiting");
        sent
    });
    let queued = ["/", "/report"].map(|path| send(port, path));
    while !ask(&code, "GET /status").contains("\"waiting\":2") {
        std::thread::yield_now();
    }
    minded.signal(Signal::TERM);
    minded.line("stopping: ");
    code.open_gate();
    let codes = both.into_iter().chain(queued).map(|sent| told(&answer(sent)).0).collect::<Vec<_>>();
    assert_eq!(codes, ["v1", "p1", "v1", "p1"]);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("stopped: 1 interpreter and 1 process ended"), "{said}");
}

#[test]
fn what_hangs_in_one_pool_at_the_end_is_told_with_its_pool() {
    let code = two_codes("hangs");
    let mut minded = serve(&code, "--interpreters 2 --graceful-timeout 1");
    let port = minded.port();
    let hangs = send(port, "/report/hang");
    minded.line("hanging");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    assert!(said.contains("stopped: 1 process still in the application's code"), "{said}");
    drop(hangs);
}

#[test]
fn a_pool_that_cannot_be_loaded_at_the_start_ends_all_with_4() {
    let code = Code::new("unloadable", "v1");
    write_of_processes(&code, "broken");
    let (status, said) = serve(&code, "--interpreters 2 pkg:app").ended();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("cannot load application pkg:app in the processes for /report:"), "{said}");
}

#[test]
fn an_extension_that_refuses_the_interpreters_ends_it_with_4_and_the_cure() {
    for isolation in ["", "--isolation own-gil"] {
        let words = format!("--interpreters 2 --process-for /report {isolation}");
        let (status, said) = Minded::start("refused", &words).ended();
        assert_eq!(status, 4, "{said}");
        assert!(said.contains("extension module pkg._speedups refuses interpreters"), "{said}");
        assert!(said.contains("where os.environ[\"CHAUSSETTE_POOL\"] is not \"interpreters\""), "{said}");
    }
}

#[test]
fn hup_reloads_both_pools() {
    let code = two_codes("hup");
    let mut minded = serve(&code, "--interpreters 2 --processes 1");
    let port = minded.port();
    code.write("v2");
    write_of_processes(&code, "p2");
    minded.signal(Signal::HUP);
    minded.line("reloading 2 interpreters, one at a time; reloading 1 process, one at a time");
    minded.says("reloaded: 2 interpreters");
    minded.says("reloaded: 1 process");
    assert_eq!((who(port, "/").0, who(port, "/report").0), ("v2".to_owned(), "p2".to_owned()));
    stop(minded);
}

#[test]
fn a_reload_that_fails_in_one_pool_is_told_with_it_and_its_old_code_goes_on() {
    let code = two_codes("half");
    let mut minded = serve(&code, "--interpreters 1");
    let port = minded.port();
    code.write("v2");
    write_of_processes(&code, "broken");
    minded.signal(Signal::HUP);
    minded.line("reloading ");
    minded.says("reloaded: 1 interpreter");
    minded.says("reload failed in the pool of processes, the old code goes on:");
    assert_eq!((who(port, "/").0, who(port, "/report").0), ("v2".to_owned(), "p1".to_owned()));
    let status = ask(&code, "GET /status");
    assert!(status.contains("\"ready\":true"), "{status}");
    assert!(status.contains("SyntaxError: broken"), "{status}");
    stop(minded);
}

#[test]
fn a_pool_that_cannot_be_loaded_any_more_leaves_the_other_serving() {
    let code = two_codes("lost");
    let mut minded = serve(&code, "--interpreters 1 --max-requests 1 --queue-timeout 600");
    let port = minded.port();
    write_of_processes(&code, "broken");
    assert_eq!(who(port, "/report").0, "p1");
    minded.line("a process cannot be loaded, tried again in ");
    // It serves on until it has a successor, and so does the other pool.
    assert_eq!((who(port, "/").0, who(port, "/report").0), ("v1".to_owned(), "p1".to_owned()));
    stop(minded);
}

#[test]
fn each_pool_is_scaled_by_a_command_of_its_own_and_signals_mean_the_interpreters() {
    let code = two_codes("scale");
    let mut minded = serve(&code, "--interpreters 2 --processes 1");
    minded.port();
    minded.signal(Signal::TTIN);
    minded.line("3 interpreters are wanted, 2 before");
    let more = ask(&code, "POST /processes?n=2");
    assert!(more.starts_with("HTTP/1.1 202 ") && more.contains("2 processes are wanted, 1 before"), "{more}");
    let most = ask(&code, "POST /processes?n=9");
    assert!(
        most.contains("2 processes are wanted already (one at least, twice --processes at most)"),
        "{most}"
    );
    let fewer = ask(&code, "POST /interpreters?n=1");
    assert!(fewer.contains("1 interpreter is wanted, 3 before"), "{fewer}");
    let scaled = "chaussette_interpreters{pool=\"process\",stage=\"serving\"} 2";
    while !ask(&code, "GET /metrics").contains(scaled) {
        std::thread::yield_now();
    }
    stop(minded);
}

#[test]
fn without_a_second_pool_there_are_no_processes_to_scale() {
    let code = two_codes("one");
    let words = format!("--interpreters 1 --control unix:{}", code.beside("sock").display());
    let mut minded = code.serve(&words);
    let port = minded.port();
    let refused = ask(&code, "POST /processes?n=2");
    assert!(refused.starts_with("HTTP/1.1 409 ") && refused.contains("--process-for"), "{refused}");
    assert_eq!(who(port, "/report").0, "v1");
    assert!(!ask(&code, "GET /status").contains("\"pool"));
    stop(minded);
}

#[test]
fn a_request_that_takes_too_long_costs_its_pool_alone() {
    let code = two_codes("timeout");
    let mut minded = serve(&code, "--interpreters 2 --timeout 0.2 --timeout-grace 0.2");
    let port = minded.port();
    assert!(get(port, "/report/hang").starts_with("HTTP/1.1 504 "));
    minded.line(" is stuck: ");
    while who(port, "/report").1 < 4 {}
    assert!(who(port, "/").1 < 2);
    let metrics = ask(&code, "GET /metrics");
    assert!(metrics.contains("\nchaussette_request_timeouts_total{pool=\"process\"} 1\n"), "{metrics}");
    assert!(
        metrics.contains("\nchaussette_interpreters_stuck_total{pool=\"interpreters\"} 0\n"),
        "{metrics}"
    );
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 70);
}

#[test]
fn interpreters_of_both_pools_are_replaced_for_their_requests_and_numbers_never_come_twice() {
    let code = two_codes("worn");
    let mut minded = serve(&code, "--interpreters 1 --max-requests 2 --max-requests-jitter 0 --spare");
    let port = minded.port();
    let (mut interpreters, mut processes) =
        (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    while interpreters.len() < 4 || processes.len() < 4 {
        interpreters.insert(who(port, "/").1);
        processes.insert(who(port, "/report").1);
    }
    assert!(interpreters.is_disjoint(&processes), "{interpreters:?} {processes:?}");
    stop(minded);
}
