//! A rehearsal: who loads the application when, and who ends it first.

use std::sync::{Arc, Mutex};

use chaussette::application::{
    Application, Ended, Home, Invitation, Line, LoadError, Loaded, Loader, NotLoaded,
};
use chaussette::census::{Identity, Overdue, Thread};
use chaussette::exchange::Exchange;
use chaussette::rehearsal::{Failure, rehearse};

type Diary = Arc<Mutex<Vec<String>>>;

/// Loads, or does not, and writes down who comes and goes.
struct Scripted {
    diary: Diary,
    /// The number of the interpreter that does not load, and whether it panics instead of saying so.
    fails: Option<(u64, bool)>,
}

#[derive(Clone, Debug)]
struct Actor {
    diary: Diary,
    name: String,
}

impl Actor {
    fn note(&self, what: &str) {
        self.diary.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Loader for Scripted {
    type Application = Actor;
    type Invitation = Actor;

    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded> {
        match self.fails {
            Some((number, false)) if number == identity.number => {
                return Err(LoadError::Application { report: "on purpose".to_owned() }.into());
            }
            Some((number, true)) if number == identity.number => panic!("on purpose"),
            _ => {}
        }
        let actor = Actor { diary: Arc::clone(&self.diary), name: format!("host {}", identity.number) };
        actor.note("loads");
        Ok(Loaded { application: actor.clone(), invitation: actor, name: "<scripted>".to_owned() })
    }
}

impl Invitation for Actor {
    type Application = Actor;

    fn join(self) -> Result<Actor, LoadError> {
        let guest = Actor { name: "guest".to_owned(), ..self };
        guest.note("joins");
        Ok(guest)
    }

    fn interrupt(self, _: &Overdue) {}
}

impl Application for Actor {
    fn serve(&mut self, _: Exchange, _: &mut dyn Line) {
        panic!("nothing is served");
    }

    fn thread(&self) -> Thread {
        Thread::default()
    }

    fn end(self) -> Ended {
        self.note("ends");
        Ended::Cleanly
    }
}

/// What happens, in order; and how it ends.
fn played(home: Home, workers: usize, fails: Option<(u64, bool)>) -> (Vec<String>, Option<String>) {
    let diary = Diary::default();
    let told = Arc::clone(&diary);
    let ended = rehearse(Scripted { diary: Arc::clone(&diary), fails }, (home, workers), |loaded| {
        told.lock().unwrap().push(format!("{loaded} have it"));
        Ok::<(), ()>(())
    });
    let failure = match ended {
        Ok(()) => None,
        Err(Failure::Load(error)) => Some(error.to_string()),
        Err(Failure::Told(())) => panic!("nobody failed"),
    };
    (diary.lock().unwrap().clone(), failure)
}

#[test]
fn the_first_interpreter_is_told_before_the_others_load() {
    let (diary, failure) = played(Home::OwnGil, 3, None);
    assert_eq!(failure, None);
    assert_eq!(diary[..2], ["host 0 loads", "1 have it"]);
    let mut others = diary[2..4].to_vec();
    others.sort();
    assert_eq!(others, ["host 1 loads", "host 2 loads"]);
    assert_eq!(diary[4], "3 have it");
    assert_eq!(diary.len(), 8);
}

#[test]
fn threads_of_one_interpreter_leave_before_the_one_that_loaded_it() {
    let (diary, failure) = played(Home::Main, 2, None);
    assert_eq!(failure, None);
    let expected = ["host 0 loads", "1 have it", "guest joins", "2 have it", "guest ends", "host 0 ends"];
    assert_eq!(diary, expected);
}

#[test]
fn a_load_that_fails_is_the_end_whoever_has_loaded_before() {
    assert_eq!(played(Home::OwnGil, 2, Some((0, false))), (vec![], Some("on purpose".to_owned())));
    let (diary, failure) = played(Home::OwnGil, 2, Some((1, false)));
    assert_eq!(failure.as_deref(), Some("on purpose"));
    assert_eq!(diary[..2], ["host 0 loads", "1 have it"]);
    assert!(!diary.contains(&"2 have it".to_owned()));
}

#[test]
fn a_load_that_panics_is_no_wait_without_end() {
    let (_, failure) = played(Home::OwnGil, 1, Some((0, true)));
    assert_eq!(failure.as_deref(), Some("its thread panicked"));
}
