//! Interpreters replaced while the server runs: reloads, recycling, scaling, loads that fail. No Python.

#[path = "support/code.rs"]
mod code;
#[path = "support/minded.rs"]
mod minded;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use code::{Code, stop, who};
use minded::{get, send};
use rustix::process::Signal;

/// The program that the other tests start.
#[test]
#[ignore = "the program that the other tests start"]
fn a_server_over_a_scripted_workplace() {
    minded::serve_scripted();
}

/// Clients that ask without a pause, each time on a connection of its own.
struct Load {
    going: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(port: u16) -> Self {
        let (going, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let ask = |_| {
            let (going, asked) = (Arc::clone(&going), Arc::clone(&asked));
            let client = move || {
                while going.load(Ordering::Relaxed) {
                    who(port, "/");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().spawn(client).unwrap()
        };
        let clients = (0..3).map(ask).collect();
        Self { going, asked, clients }
    }

    /// Each request was answered properly.
    fn end(self) -> u64 {
        self.going.store(false, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("every request is answered"));
        self.asked.load(Ordering::Relaxed)
    }
}

#[test]
fn hup_replaces_each_interpreter_by_one_with_the_new_code() {
    let code = Code::new("hup", "v1");
    let mut minded = code.serve("--interpreters 2");
    let port = minded.port();
    assert!(who(port, "/").1 < 2);
    let load = Load::on(port);
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.line("reloading 2 interpreters, one at a time");
    minded.line("reloaded: 2 interpreters");
    for _ in 0..4 {
        let (code, number) = who(port, "/");
        assert!(code == "v2" && number >= 2, "{code} from {number}");
    }
    assert!(load.end() > 0);
    assert!(stop(minded).contains("stopped: 2 interpreters ended"));
}

#[test]
fn twenty_reloads_lose_no_request() {
    let code = Code::new("twenty", "v1");
    let mut minded = code.serve("--interpreters 2 --threads 2");
    let load = Load::on(minded.port());
    for _ in 0..20 {
        minded.signal(Signal::HUP);
        minded.line("reloaded: 2 interpreters");
    }
    assert!(load.end() > 20);
    stop(minded);
}

#[test]
fn a_reload_to_broken_code_fails_and_the_old_code_goes_on() {
    let code = Code::new("broken", "v1");
    let mut minded = code.serve("--interpreters 2");
    let port = minded.port();
    let load = Load::on(port);
    code.write("broken on purpose");
    minded.signal(Signal::HUP);
    minded.line("reload failed, the old code goes on:");
    minded.line("SyntaxError: broken on purpose");
    for _ in 0..4 {
        assert!(who(port, "/").1 < 2, "none of the old ones was touched");
    }
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.line("reloaded: 2 interpreters");
    assert_eq!(who(port, "/").0, "v2");
    load.end();
    stop(minded);
}

#[test]
fn a_second_hup_is_queued_once() {
    let code = Code::new("twice", "v1");
    let mut minded = code.serve("--interpreters 1");
    let port = minded.port();
    // Holds the predecessor, and with it the first reload.
    let held = send(port, "/gate");
    minded.line("waiting");
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.line("reloading 1 interpreter");
    while who(port, "/").0 != "v2" {}
    // Its successor serves. All serve the new code: the reload is done, though the old one still drains.
    minded.line("reloaded: 1 interpreter");
    code.write("hang");
    minded.signal(Signal::HUP);
    code.open_gate();
    minded.line("loading \"hang\"");
    for _ in 0..2 {
        minded.signal(Signal::HUP);
        minded.line("a reload is under way: one more follows it");
    }
    drop(held);
    assert_eq!(who(port, "/").0, "v2");
    let said = stop(minded);
    assert!(said.contains("reload failed, the old code goes on: the server is stopping"), "{said}");
}

#[test]
fn a_reload_whose_load_never_ends_gives_way_to_the_next() {
    let code = Code::new("gives-way", "v1");
    let mut minded = code.serve("--interpreters 1 --graceful-timeout 0.5");
    let port = minded.port();
    code.write("hang");
    minded.signal(Signal::HUP);
    minded.line("loading \"hang\"");
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.line("reload failed, the old code goes on: its first interpreter still loads");
    minded.line("reloaded: 1 interpreter");
    assert_eq!(who(port, "/").0, "v2");
    stop(minded);
}

#[test]
fn term_during_a_reload_ends_it_though_a_load_hangs() {
    let code = Code::new("term", "v1");
    let mut minded = code.serve("--interpreters 2 --graceful-timeout 600");
    minded.port();
    code.write("hang");
    minded.signal(Signal::HUP);
    minded.line("loading \"hang\"");
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("left AtOnce") && said.contains("stopped: 2 interpreters ended"), "{said}");
}

#[test]
fn a_reload_during_the_end_is_refused() {
    let code = Code::new("late", "v1");
    let mut minded = code.serve("--interpreters 1");
    let port = minded.port();
    let held = send(port, "/gate");
    minded.line("waiting");
    minded.signal(Signal::TERM);
    minded.line("stopping: ");
    minded.signal(Signal::HUP);
    code.open_gate();
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(!said.contains("reload"), "{said}");
    drop(held);
}

#[test]
fn a_predecessor_that_does_not_come_back_is_stuck_and_its_successor_serves() {
    let code = Code::new("stuck", "v1");
    let mut minded = code.serve("--interpreters 2 --graceful-timeout 1");
    let port = minded.port();
    let stuck = send(port, "/hang");
    minded.line("hanging");
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.says("is stuck: a request does not come back");
    minded.says("reloaded: 2 interpreters");
    assert_eq!((who(port, "/").0, who(port, "/").0), ("v2".to_owned(), "v2".to_owned()));
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    drop(stuck);
}

#[test]
fn one_that_was_stuck_may_come_back_and_is_ended() {
    let code = Code::new("recovers", "v1");
    let mut minded = code.serve("--interpreters 1 --graceful-timeout 1");
    let port = minded.port();
    let held = send(port, "/gate");
    minded.line("waiting");
    minded.signal(Signal::HUP);
    minded.line("interpreter 0 is stuck");
    code.open_gate();
    minded.line("interpreter 0, which was stuck, has come back and ended");
    let said = stop(minded);
    assert!(said.contains("left Orderly"), "{said}");
    drop(held);
}

#[test]
fn exit_handlers_that_hang_hold_up_no_reload() {
    let code = Code::new("endless", "endless");
    let mut minded = code.serve("--interpreters 2 --graceful-timeout 0.5");
    let port = minded.port();
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.says("interpreter 0 is left as it is");
    minded.says("reloaded: 2 interpreters");
    assert_eq!(who(port, "/").0, "v2");
    let said = stop(minded);
    assert!(said.contains("left AtOnce"), "{said}");
}

#[test]
fn max_requests_replaces_interpreters_and_loses_no_request() {
    let code = Code::new("requests", "v1");
    let mut minded = code.serve("--interpreters 2 --threads 2 --max-requests 20 --max-requests-jitter 5");
    let port = minded.port();
    let load = Load::on(port);
    for _ in 0..20 {
        minded.line("is replaced: max-requests");
    }
    assert!(load.end() > 100);
    assert!(who(port, "/").1 > 2);
    let said = stop(minded);
    // Two, and a third one where it ends while another has just been loaded.
    assert!(said.contains("interpreters ended") && said.contains("left Orderly"), "{said}");
}

#[test]
fn max_lifetime_replaces_interpreters() {
    let code = Code::new("lifetime", "v1");
    let mut minded = code.serve("--interpreters 2 --max-lifetime 0.2");
    let port = minded.port();
    for _ in 0..4 {
        minded.line("is replaced: max-lifetime");
    }
    assert!(who(port, "/").1 > 1);
    stop(minded);
}

#[test]
fn a_spare_takes_over_before_the_next_one_is_loaded() {
    let code = Code::new("spare", "v1");
    let mut minded = code.serve("--interpreters 1 --spare --max-requests 1");
    let port = minded.port();
    minded.line("loading \"v1\"");
    // From here on a load does not end, and the spare serves all the same.
    code.write("hang");
    assert_eq!(who(port, "/"), ("v1".to_owned(), 0));
    minded.line("interpreter 0 is replaced: max-requests");
    minded.line("loading \"hang\"");
    for _ in 0..3 {
        assert_eq!(who(port, "/"), ("v1".to_owned(), 1));
    }
    stop(minded);
}

#[test]
fn ttin_and_ttou_change_the_number_within_its_limits() {
    let code = Code::new("scale", "v1");
    let mut minded = code.serve("--interpreters 1 --max-interpreters 2");
    let port = minded.port();
    minded.signal(Signal::TTIN);
    minded.line("2 interpreters are wanted, 1 before");
    minded.signal(Signal::TTIN);
    minded.line("2 interpreters are wanted already (--max-interpreters)");
    while who(port, "/").1 != 1 {}
    minded.signal(Signal::TTOU);
    minded.line("ends: there are more than wanted");
    minded.signal(Signal::TTOU);
    minded.line("1 interpreter is wanted already (--min-interpreters)");
    assert!(stop(minded).contains("stopped: 1 interpreter ended"));
}

#[test]
fn a_load_that_fails_while_others_serve_is_tried_again() {
    let code = Code::new("again", "v1");
    let mut minded = code.serve("--interpreters 1 --max-interpreters 2");
    let port = minded.port();
    code.write("broken for now");
    minded.signal(Signal::TTIN);
    minded.line("an interpreter cannot be loaded, tried again in ");
    minded.line("SyntaxError: broken for now");
    assert_eq!(who(port, "/").0, "v1");
    minded.line("tried again in ");
    code.write("v2");
    while who(port, "/").0 != "v2" {}
    stop(minded);
}

#[test]
fn one_that_ends_unasked_is_replaced() {
    let code = Code::new("unasked", "v1");
    let mut minded = code.serve("--interpreters 1");
    let port = minded.port();
    assert!(get(port, "/bomb").starts_with("HTTP/1.1 500 "));
    minded.line("interpreter 0 has ended unasked");
    assert_eq!(who(port, "/"), ("v1".to_owned(), 1));
    let said = stop(minded);
    assert!(said.contains("left AtOnce"), "its thread may have left anything behind\n{said}");
}

#[test]
fn nothing_that_serves_and_nothing_that_loads_ends_it_with_3() {
    let code = Code::new("exhausted", "v1");
    let mut minded = code.serve("--interpreters 1");
    let port = minded.port();
    code.write("broken for good");
    assert!(get(port, "/bomb").starts_with("HTTP/1.1 500 "));
    minded.line("tried again in ");
    // Waits for an interpreter that never comes, and is answered all the same.
    let waiting = std::thread::Builder::new().spawn(move || get(port, "/")).unwrap();
    minded.line("SyntaxError: broken for good");
    minded.line(" s: as before");
    minded.line("no interpreter serves, and none can be loaded");
    let (status, said) = minded.ended();
    assert_eq!(status, 3, "{said}");
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 503 "));
}

#[test]
fn more_stuck_interpreters_than_allowed_end_it_with_70() {
    let code = Code::new("stuck-twice", "v1");
    let mut minded = code.serve("--interpreters 1 --graceful-timeout 0.3");
    let port = minded.port();
    let mut held = Vec::new();
    for number in 0..2 {
        held.push(send(port, "/hang"));
        minded.line("hanging");
        minded.signal(Signal::HUP);
        minded.line(&format!("interpreter {number} is stuck"));
    }
    minded.line("2 interpreters are stuck in the application's code: the process must end");
    let (status, said) = minded.ended();
    assert_eq!(status, 70, "{said}");
    drop(held);
}

#[test]
fn a_warm_up_that_fails_is_a_load_that_fails() {
    let code = Code::new("warm", "v1");
    let mut minded = code.serve("--interpreters 1 --warmup /warm");
    let port = minded.port();
    code.write("cold");
    minded.signal(Signal::HUP);
    minded.line("reload failed, the old code goes on: --warmup /warm: the application answered 503");
    assert_eq!(who(port, "/").0, "v1");
    code.write("v2");
    minded.signal(Signal::HUP);
    minded.line("reloaded: 1 interpreter");
    assert_eq!(who(port, "/").0, "v2");
    stop(minded);
    let (status, said) = Code::new("cold", "cold").serve("--interpreters 1 --warmup /warm").ended();
    assert_eq!(status, 4, "{said}");
}

#[test]
fn an_application_in_the_main_interpreter_is_not_reloaded_and_it_is_said() {
    let code = Code::new("main", "v1");
    let mut minded = code.serve("--isolation main");
    let port = minded.port();
    for signal in [Signal::HUP, Signal::TTIN, Signal::TTOU] {
        minded.signal(signal);
        minded.line("cannot obey the signal: the application lives in the main interpreter");
    }
    assert_eq!(who(port, "/"), ("v1".to_owned(), 0));
    stop(minded);
}

#[test]
fn a_hup_while_it_loads_is_obeyed_when_it_is_ready() {
    let code = Code::new("early", "hang");
    let mut minded = code.serve("--interpreters 1");
    minded.line("loading \"hang\"");
    minded.signal(Signal::HUP);
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("stopped while the application was being loaded"), "{said}");
}
