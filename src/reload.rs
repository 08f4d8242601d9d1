//! `--reload`: the files that the application is made of are watched; a change of one is told.
//!
//! Owns the watches and what counts as a change. Knows neither HTTP nor Python: whoever loads the application says
//! what it is made of ([`Sources`]), and whoever runs it asks when that has changed ([`Changes`]).
//!
//! Folders are watched, not files: editors write a new file and rename it over the old one.

mod caretaker;
mod included;
mod relevant;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use globset::Glob;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

pub use self::caretaker::Caretaker;
use self::included::Included;
use self::relevant::{counts, is_source};

/// How long nothing more may change before it is told. 100 ms: an editor's dance and a formatter after it are over;
/// nobody notices the wait.
const QUIET: Duration = Duration::from_millis(100);

/// How long it is told after the first change at the latest, however much goes on. 1 s: a branch that is checked out
/// is read once or twice, not never.
const LATEST: Duration = Duration::from_secs(1);

/// What an interpreter says of its application.
#[derive(Debug, Clone)]
pub struct Made {
    /// When it began to be loaded: what has changed since then, it may not have.
    pub since: SystemTime,
    /// Files of its modules; and, if it could not be loaded, those that the failure names.
    pub files: Vec<PathBuf>,
    /// Folders where modules are looked for.
    pub folders: Vec<PathBuf>,
}

/// Where interpreters say what they are made of.
#[derive(Clone)]
pub struct Sources(Arc<dyn Fn(Made) + Send + Sync>);

impl std::fmt::Debug for Sources {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Sources")
    }
}

impl Sources {
    /// Who watches is told by `tell`.
    pub fn told_by(tell: impl Fn(Made) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub fn made(&self, made: Made) {
        (self.0)(made);
    }

    fn of(sender: UnboundedSender<Made>) -> Self {
        // Nobody watches any more: the process ends.
        Self::told_by(move |made| drop(sender.send(made)))
    }
}

/// Tells when what was said in [`Sources`] has changed.
#[derive(Debug)]
pub struct Changes {
    made: UnboundedReceiver<Made>,
    events: UnboundedReceiver<notify::Result<Event>>,
    watcher: RecommendedWatcher,
    included: Included,
    files: BTreeSet<PathBuf>,
    /// Folders to watch. One that was removed is watched again when it is back.
    folders: BTreeSet<PathBuf>,
    watched: BTreeSet<PathBuf>,
    /// Folders that could not be watched, told once.
    lost: BTreeSet<PathBuf>,
    changed: BTreeSet<PathBuf>,
    /// When to tell, and when at the latest.
    due: Option<(Instant, Instant)>,
}

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("--reload: cannot watch files: {0}")]
pub struct WatchError(#[from] notify::Error);

/// Begins to watch: nothing yet but what `include` names, relative to the current directory.
pub fn watch(include: &[Glob]) -> Result<(Sources, Changes), WatchError> {
    let (sources, made) = unbounded_channel();
    let (sender, events) = unbounded_channel();
    // Called on a thread of notify's own.
    let watcher = notify::recommended_watcher(move |event| {
        let _ = sender.send(event);
    })?;
    let mut changes = Changes {
        made,
        events,
        watcher,
        included: Included::new(include),
        files: BTreeSet::new(),
        folders: BTreeSet::new(),
        watched: BTreeSet::new(),
        lost: BTreeSet::new(),
        changed: BTreeSet::new(),
        due: None,
    };
    for (folder, mode) in changes.included.folders() {
        changes.put_watch(&folder, mode);
    }
    Ok((Sources::of(sources), changes))
}

impl Changes {
    /// The files that have changed, once they are quiet. Cancel-safe.
    pub async fn next(&mut self) -> Vec<PathBuf> {
        loop {
            let due = self.due.map(|(due, latest)| due.min(latest));
            tokio::select! {
                // What is to be watched comes first: a change of it may be among the events.
                biased;
                Some(made) = self.made.recv() => self.is_made_of(made),
                Some(event) = self.events.recv() => self.take(event),
                () = at(due) => {
                    self.due = None;
                    return std::mem::take(&mut self.changed).into_iter().collect();
                }
            }
        }
    }

    /// Watches what the application is made of. What is known stays: a file that could not be imported this time is
    /// in no list, and saving it is what everybody waits for.
    fn is_made_of(&mut self, made: Made) {
        let parents = made.files.iter().filter_map(|file| file.parent()).map(Path::to_path_buf);
        self.folders.extend(parents.chain(made.folders));
        self.watch_folders();
        for file in made.files {
            if self.files.contains(&file) {
                continue;
            }
            // Saved after it was read, perhaps, and before it was watched.
            let saved = file.metadata().and_then(|metadata| metadata.modified());
            if saved.is_ok_and(|saved| saved > made.since) {
                self.has_changed(file.clone());
            }
            self.files.insert(file);
        }
    }

    fn watch_folders(&mut self) {
        let missing: Vec<_> = self.folders.difference(&self.watched).cloned().collect();
        for folder in missing {
            if folder.is_dir() {
                self.put_watch(&folder, RecursiveMode::NonRecursive);
            }
        }
    }

    fn put_watch(&mut self, folder: &Path, mode: RecursiveMode) {
        match self.watcher.watch(folder, mode) {
            Ok(()) => {
                self.watched.insert(folder.to_path_buf());
            }
            Err(error) if self.lost.insert(folder.to_path_buf()) => tracing::warn!(
                "--reload: {} is not watched: {}{}",
                folder.display(),
                error.kind_text(),
                error.cure()
            ),
            Err(_) => {}
        }
    }

    fn take(&mut self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!("--reload: {error}");
                return;
            }
        };
        if !counts(&event.kind) {
            return;
        }
        for path in event.paths {
            let gone = self.watched.contains(&path) && !path.is_dir();
            if gone {
                // Its watch went with it; the folder above tells when it is back.
                self.watched.remove(&path);
            }
            let back = self.folders.contains(&path) && !gone && !self.watched.contains(&path);
            if back {
                self.watch_folders();
            }
            let known = self.files.contains(&path) || self.included.has(&path);
            let beside = || path.parent().is_some_and(|folder| self.folders.contains(folder));
            if back || known || (is_source(&path) && beside()) {
                self.has_changed(path);
            }
        }
    }

    fn has_changed(&mut self, path: PathBuf) {
        self.changed.insert(path);
        let now = Instant::now();
        let latest = self.due.map_or(now + LATEST, |(_, latest)| latest);
        self.due = Some((now + QUIET, latest));
    }
}

/// Waits until `due`, or for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// In the words of who reads the log.
trait Told {
    fn kind_text(&self) -> String;
    fn cure(&self) -> &'static str;
}

impl Told for notify::Error {
    fn kind_text(&self) -> String {
        match &self.kind {
            notify::ErrorKind::Io(error) => error.to_string(),
            notify::ErrorKind::MaxFilesWatch => "the system's limit of watches is reached".to_owned(),
            _ => self.to_string(),
        }
    }

    fn cure(&self) -> &'static str {
        match self.kind {
            notify::ErrorKind::MaxFilesWatch => "; cure: sysctl fs.inotify.max_user_watches",
            _ => "",
        }
    }
}
