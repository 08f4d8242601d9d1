//! Requests that take too long, in a whole server: answered, interrupted, given up, replaced. No Python.

#[path = "support/minded.rs"]
mod minded;

use std::io::Read as _;

use minded::{Minded, get, send};
use rustix::process::Signal;

/// The program that the other tests start.
#[test]
#[ignore = "the program that the other tests start"]
fn a_server_over_a_scripted_workplace() {
    minded::serve_scripted();
}

const LIMITS: &str = "--timeout 0.1 --timeout-grace 0.1 --graceful-timeout 1";

/// A server with these words, and its port.
fn serve(words: &str) -> (Minded, u16) {
    let mut minded = Minded::start("plain", &format!("{LIMITS} {words}"));
    let port = minded.port();
    (minded, port)
}

fn status_of(port: u16, path: &str) -> String {
    let answer = get(port, path);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn an_interpreter_that_hangs_is_answered_for_interrupted_and_replaced() {
    let (mut minded, port) = serve("--interpreters 1 --isolation own-gil --max-stuck 3");
    for number in 0..2 {
        assert_eq!(status_of(port, "/hang?x"), "504");
        minded.says(&format!(
            "interpreter {number}: GET /hang?x: took longer than --timeout 0.1 s: answered 504"
        ));
        minded.says(&format!("interpreter {number}: GET /hang?x: interrupted here:"));
        minded.says(&format!("interpreter {number}: GET /hang?x: does not come back"));
    }
    assert_eq!(status_of(port, "/"), "200");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    assert_eq!(said.matches("\ninterrupted").count(), 2, "{said}");
}

#[test]
fn beside_several_threads_another_thread_takes_the_place() {
    for home in ["own-gil", "main"] {
        let words = format!("--interpreters 1 --threads 2 --isolation {home} --max-stuck 5");
        let (mut minded, port) = serve(&words);
        for _ in 0..4 {
            assert_eq!(status_of(port, "/hang"), "504");
            minded.line("interpreter 0: another thread takes its place");
        }
        assert_eq!(status_of(port, "/"), "200");
        minded.signal(Signal::TERM);
        assert_eq!(minded.ended().0, 70, "{home}");
    }
}

#[test]
fn more_than_may_be_stuck_end_the_process_with_status_70() {
    let table = [
        ("--interpreters 2 --isolation own-gil --max-stuck 1", "2 interpreters are stuck"),
        ("--interpreters 2 --isolation own-gil", "2 interpreters are stuck"),
        ("--threads 2 --isolation main", "2 threads are stuck"),
        ("--threads 2 --isolation own-gil --interpreters 1", "2 threads are stuck"),
    ];
    for (words, told) in table {
        let (minded, port) = serve(words);
        let mut hanging: Vec<_> = (0..2).map(|_| send(port, "/hang")).collect();
        for stream in &mut hanging {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        }
        let (status, said) = minded.ended();
        assert_eq!(status, 70, "{words}: {said}");
        assert!(said.contains(told), "{words}: {said}");
    }
}

#[test]
fn where_nothing_can_take_the_place_the_process_ends_at_once() {
    let (minded, port) = serve("--isolation main --max-stuck 9");
    assert_eq!(status_of(port, "/hang"), "504");
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    assert!(said.contains("interpreter 0: nothing can take its place"), "{said}");
}

#[test]
fn a_request_that_waits_too_long_is_sent_away() {
    let (mut minded, port) = serve("--interpreters 1 --isolation main --timeout 0 --queue-timeout 0.1");
    let _hanging = send(port, "/hang");
    minded.line("hanging");
    assert_eq!(status_of(port, "/late"), "503");
    minded.says("1 waited for a free worker longer than --queue-timeout 0.1 s: answered 503");
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 70);
}
