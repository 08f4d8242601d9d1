//! A rehearsal: the application is loaded as for serving, and nothing is served.
//!
//! Owns the threads that load, hold and end it. Knows neither HTTP nor Python; it is told what to do when the first
//! worker has the application, and when all have. Each thread ends when its `Player` is sent home, or dropped.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::application::{Application, Home, Invitation, LoadError, Loaded, Loader, NotLoaded};
use crate::census::Identity;
use crate::worker;

/// Why a rehearsal did not come to its end.
#[derive(Debug)]
pub enum Failure<E> {
    /// The application could not be loaded.
    Load(LoadError),
    /// Whoever is told of each step failed.
    Told(E),
}

/// Loads it for one worker, then for `workers` of them, as they share or do not share an interpreter in `home`; ends
/// them. `told` hears how many have it.
pub fn rehearse<L: Loader, E>(
    loader: L,
    (home, workers): (Home, usize),
    mut told: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), Failure<E>> {
    let loader = Arc::new(loader);
    let mut first = Player::load(&loader, 0)?;
    let invitation = first.wait()?;
    told(1).map_err(Failure::Told)?;
    // All at once: so does the server.
    let others = (1..workers).map(|place| {
        if home == Home::Main {
            Player::join(invitation.clone(), place)
        } else {
            Player::load(&loader, place)
        }
    });
    let mut others = others.collect::<Result<Vec<_>, _>>()?;
    for other in &mut others {
        other.wait()?;
    }
    told(workers).map_err(Failure::Told)?;
    // Guests leave before their host.
    others.into_iter().for_each(Player::go_home);
    first.go_home();
    Ok(())
}

/// A thread that holds the application.
#[derive(Debug)]
struct Player<I> {
    thread: JoinHandle<()>,
    loaded: Receiver<Result<I, LoadError>>,
    /// Dropped when the thread may end.
    stays: Sender<()>,
}

impl<I: Invitation> Player<I> {
    /// Loads it in an interpreter of its own, or in the one for all.
    fn load<L: Loader<Invitation = I>>(loader: &Arc<L>, place: usize) -> Result<Self, LoadError> {
        let loader = Arc::clone(loader);
        Self::start(place, move |say, until| {
            let number = u64::try_from(place).unwrap_or(u64::MAX);
            match loader.load(Identity { number, place, generation: 0 }) {
                Ok(Loaded { application, invitation, .. }) => hold(application, (say, Ok(invitation)), until),
                Err(NotLoaded { error, .. }) => tell(say, Err(error)),
            }
        })
    }

    /// Joins an interpreter that has it.
    fn join(invitation: I, place: usize) -> Result<Self, LoadError> {
        Self::start(place, move |say, until| match invitation.clone().join() {
            Ok(application) => hold(application, (say, Ok(invitation)), until),
            Err(error) => tell(say, Err(error)),
        })
    }

    fn start(
        place: usize,
        part: impl FnOnce(Sender<Result<I, LoadError>>, Receiver<()>) + Send + 'static,
    ) -> Result<Self, LoadError> {
        let ((say, loaded), (stays, until)) = (channel(), channel());
        let thread = worker::thread(&format!("interpreter-{place}"), move || part(say, until));
        let thread =
            thread.map_err(|error| LoadError::Interpreter(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread, loaded, stays })
    }

    /// Waits until it has the application.
    fn wait(&mut self) -> Result<I, LoadError> {
        let panicked = |_| Err(LoadError::Interpreter("its thread panicked".to_owned()));
        self.loaded.recv().unwrap_or_else(panicked)
    }

    /// Ends it, and waits for that.
    fn go_home(self) {
        drop(self.stays);
        // It has panicked: what it had to say is said.
        let _ = self.thread.join();
    }
}

/// Keeps the application until whoever waits for it needs it no more.
fn hold<A: Application, I>(
    application: A,
    (say, loaded): (Sender<Result<I, LoadError>>, Result<I, LoadError>),
    until: Receiver<()>,
) {
    tell(say, loaded);
    // Nothing is ever sent: an error is the end of the wait.
    let _ = until.recv();
    application.end();
}

fn tell<I>(say: Sender<Result<I, LoadError>>, loaded: Result<I, LoadError>) {
    // An error: nobody waits any more, since another one has failed.
    let _ = say.send(loaded);
}

impl<E> From<LoadError> for Failure<E> {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}
