//! The life of the process: load, fall back, serve, drain, end; exit statuses and log lines. No Python.
//!
//! Each test starts this binary once more as the server, over a scripted workplace, and minds it as a process
//! manager would: by signals, its exit status and its log.

#[path = "support/minded.rs"]
mod minded;

use std::time::Instant;

use minded::{DEADLINE, Minded, get, send};
use rustix::process::Signal;

/// The program that the other tests start.
#[test]
#[ignore = "the program that the other tests start"]
fn a_server_over_a_scripted_workplace() {
    minded::serve_scripted();
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
fn a_refusing_extension_makes_auto_fall_back_to_processes() {
    let mut minded = Minded::start("refused", "--interpreters 2 --threads 3");
    let port = minded.port();
    assert!(get(port, "/").starts_with("HTTP/1.1 200 "));
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("pkg._speedups"), "{said}");
    assert!(said.contains("app > pkg > pkg._speedups"), "{said}");
    assert!(said.contains("the application runs in 2 worker processes instead"), "{said}");
    assert!(said.contains("The better way: "), "{said}");
    assert!(said.contains("Using 2 worker processes x 3 threads as a backend"), "{said}");
}

#[test]
fn an_extension_that_brings_the_gil_back_makes_auto_try_interpreters() {
    let mut minded = Minded::start("gil-is-back", "--interpreters 2 --threads 3");
    minded.line("Using 2 own-GIL interpreters x 3 threads as a backend");
    minded.line("ready: ");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("extension module pkg._speedups switched the GIL"), "{said}");
}

#[test]
fn an_extension_that_brings_the_gil_back_ends_an_explicit_free_threaded_with_4() {
    let (status, said) = Minded::start("gil-is-back", "--isolation free-threaded").ended();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("extension module pkg._speedups switched the GIL on again"), "{said}");
    assert!(said.contains("use --isolation auto"), "{said}");
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
fn signals_without_a_meaning_do_not_end_it() {
    let mut minded = Minded::start("plain", "--interpreters 1");
    let port = minded.port();
    minded.signal(Signal::USR2);
    minded.line("has no effect: ignored");
    minded.signal(Signal::USR1);
    minded.line("log files reopened");
    assert!(get(port, "/").ends_with("from 0"));
    minded.signal(Signal::TERM);
    assert_eq!(minded.ended().0, 0);
}
