//! How an application comes to life in worker processes: a zygote for each generation, a fork for each worker.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::launch::Launcher;
use super::nursery::Zygote;
use super::relay::{Post, Relay};
use super::worker::Worker;
use crate::application::{Invitation, Killed, LoadError, Loaded, Loader, NotLoaded, Obituary};
use crate::census::{Identity, Overdue};
use crate::reload::Sources;

/// How long zygotes that were killed are waited for. 1 s: it is a matter of milliseconds.
const ENDING: Duration = Duration::from_secs(1);

/// What each load needs to know.
#[derive(Debug)]
pub struct Telling {
    pub launcher: Arc<dyn Launcher>,
    /// As who loads in there reads them.
    pub settings: String,
    /// Where it is told which files the application is made of.
    pub sources: Option<Sources>,
}

/// Has workers made.
#[derive(Debug)]
pub struct ProcessLoader {
    telling: Telling,
    nursery: Mutex<Nursery>,
}

/// The zygotes that may be asked for a worker, by the generation of their code. Those of an older one live for as long
/// as their workers do.
#[derive(Debug)]
enum Nursery {
    Open(Vec<(u64, Arc<Zygote>)>),
    Closed,
}

impl Nursery {
    fn zygotes(&mut self) -> Result<&mut Vec<(u64, Arc<Zygote>)>, LoadError> {
        match self {
            Self::Open(zygotes) => Ok(zygotes),
            Self::Closed => Err(LoadError::Interpreter("the server is stopping".to_owned())),
        }
    }
}

impl ProcessLoader {
    #[must_use]
    pub fn new(telling: Telling) -> Self {
        Self { telling, nursery: Mutex::new(Nursery::Open(Vec::new())) }
    }

    /// A zygote of this generation that can fork. All that wait for one get it, or learn why there is none.
    fn zygote(&self, generation: u64) -> Result<Arc<Zygote>, LoadError> {
        let zygote = self.any_zygote(generation)?;
        let settled = zygote.settled();
        // Of older code none is wanted any more; without newer code, it is.
        self.nursery.lock().zygotes()?.retain(|(known, other)| match settled {
            Ok(()) => *known >= generation,
            Err(_) => !Arc::ptr_eq(other, &zygote),
        });
        settled.map(|()| zygote)
    }

    /// The zygote of this generation: the one there is, or a new one.
    fn any_zygote(&self, generation: u64) -> Result<Arc<Zygote>, LoadError> {
        let mut nursery = self.nursery.lock();
        let nursery = nursery.zygotes()?;
        nursery.retain(|(_, zygote)| !zygote.is_gone());
        if let Some((_, zygote)) = nursery.iter().find(|(known, _)| *known == generation) {
            return Ok(Arc::clone(zygote));
        }
        let Telling { launcher, settings, sources } = &self.telling;
        let zygote = Zygote::start(Arc::clone(launcher), settings.clone(), sources.clone());
        let zygote = zygote.map_err(|error| {
            LoadError::Interpreter(format!("cannot start the process that makes workers: {error}"))
        })?;
        // One that still loads code which is older is not waited for any more.
        nursery.iter().filter(|(_, other)| other.is_loading()).for_each(|(_, other)| other.end());
        nursery.push((generation, Arc::clone(&zygote)));
        Ok(zygote)
    }
}

impl Loader for ProcessLoader {
    type Application = Relay;
    type Invitation = ProcessInvitation;

    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded> {
        let zygote = self.zygote(identity.generation)?;
        let (worker, name) = Worker::fork(&zygote, identity.into(), self.telling.sources.clone())?;
        let application = relay(&worker, Post::Home)?;
        Ok(Loaded { application, invitation: ProcessInvitation { worker }, name })
    }

    fn close(&self) {
        let nursery = std::mem::replace(&mut *self.nursery.lock(), Nursery::Closed);
        if let Nursery::Open(zygotes) = nursery {
            zygotes.iter().for_each(|(_, zygote)| zygote.end());
            zygotes.iter().for_each(|(_, zygote)| zygote.wait(ENDING));
        }
    }
}

fn relay(worker: &Arc<Worker>, post: Post) -> Result<Relay, LoadError> {
    Relay::new(Arc::clone(worker), post).map_err(|error| {
        LoadError::Interpreter(format!("cannot reach its process {}: {error}", worker.pid()))
    })
}

/// The way to a worker process.
#[derive(Debug, Clone)]
pub struct ProcessInvitation {
    worker: Arc<Worker>,
}

impl Invitation for ProcessInvitation {
    type Application = Relay;

    fn join(self) -> Result<Relay, LoadError> {
        relay(&self.worker, Post::Guest)
    }

    fn interrupt(self, overdue: &Overdue) {
        let mut answer = None;
        let in_hand = overdue.interrupt(|| answer = self.worker.interrupt(overdue.thread().identifier));
        // Without an answer its interpreter could not be entered.
        if let Some(answer) = answer.filter(|_| in_hand)
            && let Ok(stack) = answer.recv()
        {
            overdue.found(stack);
        }
    }

    fn process(&self) -> Option<u32> {
        Some(self.worker.pid().unsigned_abs())
    }

    fn mourn(&self, obituary: Obituary) {
        self.worker.mourn(obituary);
    }

    fn kill(&self) -> Killed {
        self.worker.kill();
        Killed::Soon
    }
}
