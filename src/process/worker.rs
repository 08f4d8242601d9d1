//! A worker process as the server keeps it: its number, its cord, how it ended.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::{Condvar, Mutex};

use super::ahead::Ahead;
use super::cord::{Cord, Ear};
use super::nursery::Zygote;
use super::words::{Birth, Loss, Order, Word};
use crate::application::{LoadError, Obituary};
use crate::reload::Sources;

/// Bytes of stack of a thread that hears. 256 KiB: it formats a line at most.
pub(super) const STACK: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Worker {
    pid: i32,
    cord: Cord,
    /// Keeps it for as long as this one lives.
    zygote: Arc<Zygote>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The application's name, once it is loaded, or why it was not.
    loaded: Option<Result<String, LoadError>>,
    /// How it ended.
    death: Option<String>,
    /// Its own words come by another way than that of its end.
    words: Words,
    /// And all who had to be told of that have been.
    mourned: Mourned,
    end: End,
    obituary: Option<Obituary>,
    lanes: Vec<Arc<LaneEnd>>,
    tickets: HashMap<u64, SyncSender<String>>,
    next: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mourned {
    #[default]
    No,
    Yes,
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State").field("loaded", &self.loaded).field("death", &self.death).finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Words {
    #[default]
    Coming,
    AllHeard,
}

/// Whose wish its end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Nobodys,
    /// The server takes its requests away: it ends in order, and there is no news in that.
    TheServers,
}

/// The server's end of a lane.
#[derive(Debug)]
pub(super) struct LaneEnd {
    pub(super) number: u64,
    pub(super) socket: UnixStream,
    pub(super) ahead: Ahead,
    /// The number of the request in the worker's hands: it counts those that were sent, from 1.
    pub(super) in_hand: AtomicU64,
}

impl Worker {
    /// Has a worker forked, and waits until it has loaded the application.
    pub(super) fn fork(
        zygote: &Arc<Zygote>,
        birth: Birth,
        sources: Option<Sources>,
    ) -> Result<(Arc<Self>, String), LoadError> {
        let cannot = |what: &str, error: io::Error| {
            LoadError::Interpreter(format!("cannot make a worker process: {what}: {error}"))
        };
        let (ours, theirs) = UnixStream::pair().map_err(|error| cannot("no sockets", error))?;
        let (cord, ear) = Cord::new(ours).map_err(|error| cannot("no sockets", error))?;
        let pid = zygote.fork(birth, theirs)?;
        let worker = Arc::new(Self {
            pid,
            cord,
            zygote: Arc::clone(zygote),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        zygote.entrust(&worker);
        let hearing = Arc::downgrade(&worker);
        std::thread::Builder::new()
            .name(format!("interpreter-{}.words", birth.number))
            .stack_size(STACK)
            .spawn(move || hear(ear, sources, &hearing))
            .map_err(|error| cannot("no thread", error))?;
        let name = worker.loaded()?;
        Ok((worker, name))
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    fn loaded(&self) -> Result<String, LoadError> {
        let mut state = self.state.lock();
        loop {
            if let Some(loaded) = &state.loaded {
                return loaded.clone();
            }
            // The last thing that it said may be why it could not load.
            if let Some(how) = state.death.as_ref().filter(|_| state.words == Words::AllHeard) {
                let report = format!("the process {} that loaded it {how}", self.pid);
                return Err(LoadError::Application { report });
            }
            self.changed.wait(&mut state);
        }
    }

    /// One more thread of it serves, at the lane that is returned.
    pub(super) fn lane(&self) -> io::Result<Arc<LaneEnd>> {
        let (ours, theirs) = UnixStream::pair()?;
        let (ahead, behind) = Ahead::new()?;
        let mut state = self.state.lock();
        if state.death.is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let number = state.next;
        state.next += 1;
        let lane = Arc::new(LaneEnd { number, socket: ours, ahead, in_hand: AtomicU64::new(0) });
        state.lanes.push(Arc::clone(&lane));
        let [tokens, bell] = behind.ends();
        self.cord.hand(&Order::Serve { lane: number }, [theirs.into(), tokens, bell])?;
        Ok(lane)
    }

    /// It is to end when its lanes are closed.
    pub(super) fn dismiss(&self) {
        self.state.lock().end = End::TheServers;
    }

    /// The thread at this lane takes no more.
    pub(super) fn close(&self, lane: &LaneEnd) {
        self.state.lock().lanes.retain(|known| known.number != lane.number);
        // It is closed already when the worker is gone.
        let _ = lane.socket.shutdown(Shutdown::Both);
    }

    /// Nobody reads the reply to the request that is at this lane now.
    pub(super) fn lose(&self, lane: &LaneEnd, why: Loss) {
        let order = Order::Lose { lane: lane.number, serial: lane.in_hand.load(Ordering::Relaxed), why };
        // A worker that is gone sends nothing more either.
        let _ = self.cord.say(&order, None);
    }

    /// Asks for an exception in the thread at lane `number`. What comes of it is heard there.
    pub(super) fn interrupt(&self, number: u64) -> Option<Receiver<String>> {
        let mut state = self.state.lock();
        let serial = state.lanes.iter().find(|lane| lane.number == number)?.in_hand.load(Ordering::Relaxed);
        let ticket = state.next;
        state.next += 1;
        let (sender, found) = sync_channel(1);
        state.tickets.insert(ticket, sender);
        drop(state);
        self.cord.say(&Order::Interrupt { lane: number, serial, ticket }, None).ok()?;
        Some(found)
    }

    /// Ends it at once. Its zygote tells when that is done.
    pub(super) fn kill(&self) {
        self.zygote.kill(self.pid);
    }

    /// Waits until it is gone. Blocks.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while state.mourned == Mourned::No {
            self.changed.wait(&mut state);
        }
    }

    /// Says how it ended, when it has, on whatever thread.
    pub(super) fn mourn(&self, obituary: Obituary) {
        let mut state = self.state.lock();
        match state.death.clone() {
            None => state.obituary = Some(obituary),
            Some(how) => {
                drop(state);
                obituary(self.told(&how));
            }
        }
    }

    fn told(&self, how: &str) -> String {
        format!("its process {} {how}", self.pid)
    }

    /// Its zygote has seen its end, or has ended itself.
    pub(super) fn died(&self, how: &str) {
        let mut state = self.state.lock();
        if state.death.is_some() {
            return;
        }
        state.death = Some(how.to_owned());
        state.tickets.clear();
        // Children of its own may have copies of its ends: those keep no request waiting.
        for lane in state.lanes.drain(..) {
            let _ = lane.socket.shutdown(Shutdown::Both);
        }
        let obituary = state.obituary.take().filter(|_| state.end == End::Nobodys);
        drop(state);
        self.cord.cut();
        if let Some(obituary) = obituary {
            obituary(self.told(how));
        }
        // Whoever waits for this says that it has ended: how, was to be said first.
        self.state.lock().mourned = Mourned::Yes;
        self.changed.notify_all();
    }

    fn take(&self, word: Word) {
        match word {
            Word::Ready { name } => self.has_loaded(Ok(name)),
            Word::Failed { error } => self.has_loaded(Err(error)),
            Word::Found { ticket, stack } => {
                // Who asks is in the record's door until then, and would hold up its end.
                if let (Some(asker), Some(stack)) = (self.state.lock().tickets.remove(&ticket), stack) {
                    // There is room for one, and it is the only one.
                    let _ = asker.try_send(stack);
                }
            }
            Word::Leaves { left: Some(why) } => tracing::warn!("{why}"),
            Word::Leaves { left: None }
            | Word::Said { .. }
            | Word::Made { .. }
            | Word::Forked { .. }
            | Word::NotForked { .. }
            | Word::Died { .. } => {}
        }
    }

    fn has_loaded(&self, loaded: Result<String, LoadError>) {
        self.state.lock().loaded = Some(loaded);
        self.changed.notify_all();
    }
}

/// Hears words until the worker is gone.
fn hear(mut ear: Ear, sources: Option<Sources>, worker: &std::sync::Weak<Worker>) {
    while let Some((word, _)) = ear.hear::<Word>() {
        let Some(worker) = worker.upgrade() else { return };
        if let Some(word) = word.overheard(sources.as_ref()) {
            worker.take(word);
        }
    }
    if let Some(worker) = worker.upgrade() {
        worker.state.lock().words = Words::AllHeard;
        worker.changed.notify_all();
    }
}
