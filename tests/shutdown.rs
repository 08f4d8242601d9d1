//! Signals as asks, and the drain token.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaussette::census::Command;
use chaussette::shutdown::{Ask, Drain, Signals, drain, on_reopen};
use rustix::process::{Signal, getpid, kill_process};
use tokio::task::yield_now;
use tokio::time::timeout;

/// No wait of these tests takes longer, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// A signal reaches every test of this process, so those that send some run one after another.
static SENDING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    SENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// What each signal asks for, sent one after another.
fn asks(signals: &[Signal]) -> Vec<Ask> {
    let _alone = alone();
    run(async {
        let mut installed = Signals::install().unwrap();
        let mut asks = Vec::new();
        for &signal in signals {
            kill_process(getpid(), signal).unwrap();
            asks.push(timeout(DEADLINE, installed.next()).await.unwrap());
        }
        asks
    })
}

#[test]
fn the_first_term_or_int_is_graceful_and_each_further_one_is_quick() {
    assert_eq!(asks(&[Signal::TERM, Signal::TERM]), [Ask::Graceful, Ask::Quick]);
    assert_eq!(asks(&[Signal::INT, Signal::TERM, Signal::INT]), [Ask::Graceful, Ask::Quick, Ask::Quick]);
}

#[test]
fn quit_is_quick() {
    assert_eq!(asks(&[Signal::QUIT]), [Ask::Quick]);
}

#[test]
fn signals_without_a_meaning_are_told_by_name_and_end_nothing() {
    let signals = [Signal::HUP, Signal::USR2, Signal::TTIN, Signal::TTOU, Signal::TERM];
    let expected = [
        Ask::Change(Command::Reload),
        Ask::Ignored("SIGUSR2"),
        Ask::Change(Command::More),
        Ask::Change(Command::Fewer),
        Ask::Graceful,
    ];
    assert_eq!(asks(&signals), expected);
}

#[test]
fn each_usr1_reopens() {
    let _alone = alone();
    run(async {
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
        on_reopen(move || say.send(()).unwrap()).unwrap();
        for _ in 0..2 {
            kill_process(getpid(), Signal::USR1).unwrap();
            timeout(DEADLINE, said.recv()).await.unwrap().unwrap();
        }
    });
}

#[test]
fn signals_that_come_at_once_are_all_told() {
    let _alone = alone();
    run(async {
        let mut installed = Signals::install().unwrap();
        for signal in [Signal::HUP, Signal::USR2, Signal::INT] {
            kill_process(getpid(), signal).unwrap();
        }
        let mut asks = Vec::new();
        for _ in 0..3 {
            asks.push(timeout(DEADLINE, installed.next()).await.unwrap());
        }
        for ask in [Ask::Change(Command::Reload), Ask::Ignored("SIGUSR2"), Ask::Graceful] {
            assert!(asks.contains(&ask), "{asks:?}");
        }
    });
}

/// Whether the two waits of the token are over.
async fn over(drain: &Drain) -> (bool, bool) {
    // `timeout` polls the wait before it looks at the clock.
    let draining = timeout(Duration::ZERO, drain.draining()).await.is_ok();
    (draining, timeout(Duration::ZERO, drain.quick()).await.is_ok())
}

#[test]
fn the_drain_token_goes_from_serving_to_draining_to_quick_and_never_back() {
    run(async {
        let (drainer, drain) = drain();
        assert_eq!((drain.is_draining(), over(&drain).await), (false, (false, false)));
        drainer.drain();
        assert_eq!((drain.is_draining(), over(&drain).await), (true, (true, false)));
        drainer.quick();
        assert_eq!((drain.is_draining(), over(&drain).await), (true, (true, true)));
        drainer.drain();
        assert_eq!((drain.is_draining(), over(&drain).await), (true, (true, true)));
    });
}

#[test]
fn every_clone_of_the_drain_token_is_woken() {
    run(async {
        let (drainer, drain) = drain();
        let waits = [drain.clone(), drain]
            .map(|drain| tokio::spawn(async move { tokio::join!(drain.draining(), drain.quick()) }));
        yield_now().await;
        drainer.quick();
        for wait in waits {
            timeout(DEADLINE, wait).await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_drain_token_without_its_drainer_holds_nobody() {
    run(async {
        let (drainer, drain) = drain();
        drop(drainer);
        assert_eq!((drain.is_draining(), over(&drain).await), (true, (true, true)));
    });
}
