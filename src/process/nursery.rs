//! A zygote as the server keeps it, and the thread that lives as long: what it forks, and how each child ends.
//!
//! PR_SET_PDEATHSIG is about the *thread* that has started a process. So the thread that starts a zygote hears its
//! words, and leaves when it is gone.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::cord::{Cord, Ear};
use super::launch::{Launched, Launcher};
use super::words::{Birth, Order, Word};
use super::worker::{STACK, Worker};
use crate::application::LoadError;
use crate::reload::Sources;

#[derive(Debug)]
pub(super) struct Zygote {
    cord: Cord,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Box<dyn Launched>>,
    /// Whether it has loaded what there is to load before a fork.
    settled: Option<Result<(), LoadError>>,
    births: HashMap<u64, Result<i32, String>>,
    tickets: u64,
    workers: HashMap<i32, Weak<Worker>>,
    /// Of children that have ended before they were known here.
    early: HashMap<i32, String>,
    /// How it ended itself.
    gone: Option<String>,
}

impl Zygote {
    /// Starts one, which begins to load.
    pub(super) fn start(
        launcher: Arc<dyn Launcher>,
        settings: String,
        sources: Option<Sources>,
    ) -> io::Result<Arc<Self>> {
        let (ours, theirs) = UnixStream::pair()?;
        let (cord, ear) = Cord::new(ours)?;
        cord.say(&Order::Begin { settings }, None)?;
        let shared = Arc::new(Shared::default());
        let within = Arc::clone(&shared);
        let thread =
            Builder::new().name("zygote".to_owned()).stack_size(STACK).spawn(move || {
                match launcher.launch(theirs) {
                    Ok(process) => within.live(process, ear, sources.as_ref()),
                    Err(error) => within.has_gone(&format!("cannot be started: {error}")),
                }
            })?;
        Ok(Arc::new(Self { cord, shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Waits until it can fork. Blocks.
    pub(super) fn settled(&self) -> Result<(), LoadError> {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(settled) = &state.settled {
                return settled.clone();
            }
            if let Some(how) = &state.gone {
                let report = format!("the process that imports it {how}");
                return Err(LoadError::Application { report });
            }
            self.shared.changed.wait(&mut state);
        }
    }

    /// Whether it is not known yet if it can fork.
    pub(super) fn is_loading(&self) -> bool {
        let state = self.shared.state.lock();
        state.settled.is_none() && state.gone.is_none()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.shared.state.lock().gone.is_some()
    }

    /// A new worker, with its end of a cord. Returns its process's number.
    pub(super) fn fork(&self, birth: Birth, cord: UnixStream) -> Result<i32, LoadError> {
        let cannot = |why: &str| LoadError::Interpreter(format!("cannot fork a worker process: {why}"));
        let ticket = {
            let mut state = self.shared.state.lock();
            state.tickets += 1;
            state.tickets
        };
        let said = self.cord.say(&Order::Fork { ticket, birth }, Some(cord.into()));
        said.map_err(|error| cannot(&error.to_string()))?;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(born) = state.births.remove(&ticket) {
                return born.map_err(|why| cannot(&why));
            }
            if let Some(how) = &state.gone {
                return Err(cannot(&format!("the process that forks {how}")));
            }
            self.shared.changed.wait(&mut state);
        }
    }

    /// From here on `worker` is told of its end.
    pub(super) fn entrust(&self, worker: &Arc<Worker>) {
        let mut state = self.shared.state.lock();
        let early = state.early.remove(&worker.pid());
        match early.or_else(|| state.gone.as_ref().map(|_| ENDED_WITH.to_owned())) {
            None => {
                state.workers.insert(worker.pid(), Arc::downgrade(worker));
            }
            Some(how) => {
                drop(state);
                worker.died(&how);
            }
        }
    }

    /// Ends a child at once.
    pub(super) fn kill(&self, pid: i32) {
        // If it is gone itself, so are its children.
        let _ = self.cord.say(&Order::Kill { pid }, None);
    }

    /// Waits until it is gone, but not for longer than `patience`. Blocks.
    pub(super) fn wait(&self, patience: Duration) {
        let mut state = self.shared.state.lock();
        self.shared.changed.wait_while_for(&mut state, |state| state.gone.is_none(), patience);
    }

    /// Ends it at once, with its children.
    pub(super) fn end(&self) {
        if let Some(process) = &mut self.shared.state.lock().process {
            process.kill();
        }
        self.cord.cut();
    }
}

/// How a worker ended whose zygote did.
const ENDED_WITH: &str = "ended with the process that had forked it";

impl Drop for Zygote {
    fn drop(&mut self) {
        self.end();
        let thread = self.thread.lock().take();
        // The last of its workers may be let go on that thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // Short: a process that is killed ends.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn live(&self, process: Box<dyn Launched>, mut ear: Ear, sources: Option<&Sources>) {
        self.state.lock().process = Some(process);
        while let Some((word, _)) = ear.hear::<Word>() {
            if let Some(word) = word.overheard(sources) {
                self.take(word);
            }
        }
        let process = self.state.lock().process.take();
        let how = process.map(|mut process| {
            // It hears nothing any more.
            process.kill();
            process.wait()
        });
        self.has_gone(&how.unwrap_or_default());
    }

    fn has_gone(&self, how: &str) {
        let workers = {
            let mut state = self.state.lock();
            state.gone = Some(how.to_owned());
            std::mem::take(&mut state.workers)
        };
        self.changed.notify_all();
        for worker in workers.into_values().filter_map(|worker| worker.upgrade()) {
            worker.died(ENDED_WITH);
        }
    }

    fn take(&self, word: Word) {
        match word {
            Word::Ready { .. } => self.change(|state| state.settled = Some(Ok(()))),
            Word::Failed { error } => self.change(|state| state.settled = Some(Err(error))),
            Word::Forked { ticket, pid } => self.change(|state| {
                state.births.insert(ticket, Ok(pid));
            }),
            Word::NotForked { ticket, why } => self.change(|state| {
                state.births.insert(ticket, Err(why));
            }),
            Word::Died { pid, how } => {
                let worker = {
                    let mut state = self.state.lock();
                    let worker = state.workers.remove(&pid).map(|worker| worker.upgrade());
                    if worker.is_none() {
                        state.early.insert(pid, how.clone());
                    }
                    worker.flatten()
                };
                if let Some(worker) = worker {
                    worker.died(&how);
                }
            }
            Word::Found { .. } | Word::Leaves { .. } | Word::Said { .. } | Word::Made { .. } => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}
