//! A zygote: a process with one thread that loads the application once, then forks a worker whenever it is told to.
//!
//! Owns its children's ends: it alone waits for them, so it alone kills them, and no number of a process is mistaken.
//! When its cord is cut it ends, and with it, by PR_SET_PDEATHSIG, every worker.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};

use super::cord::{Cord, Ear};
use super::launch::how;
use super::words::{Birth, Order, Word};
use crate::application::LoadError;

/// How often children are looked after where the system has no descriptors for processes. 200 ms.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What a zygote is made of.
pub trait Nest {
    /// Loads what there is to load before a fork. Returns what the application calls itself, or nothing.
    fn settle(&mut self, settings: String, cord: &Arc<Cord>) -> Result<String, LoadError>;

    /// fork(2), with all that the language needs around it.
    fn fork(&mut self) -> io::Result<Forked>;
}

/// Which of the two a process is after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    Parent(i32),
    Child,
}

/// What a process comes out of [`zygote`] as.
#[derive(Debug)]
pub enum Hatched {
    /// It is a new worker, with its cord.
    Worker(Birth, UnixStream),
    /// It is the zygote, and has done its work.
    Done,
}

/// The life of a zygote at its end of a cord.
pub fn zygote(socket: UnixStream, nest: &mut impl Nest) -> io::Result<Hatched> {
    die_with_parent()?;
    let (cord, mut ear) = Cord::new(socket)?;
    let cord = Arc::new(cord);
    let Some((Order::Begin { settings }, _)) = ear.hear() else { return Ok(Hatched::Done) };
    // The server may have ended before it was said that this process dies with it.
    if is_cut(&ear) {
        return Ok(Hatched::Done);
    }
    match nest.settle(settings, &cord) {
        Ok(name) => cord.say(&Word::Ready { name }, None)?,
        Err(error) => {
            cord.say(&Word::Failed { error }, None)?;
            return Ok(Hatched::Done);
        }
    }
    let mut brood = Brood::default();
    loop {
        if brood.wait(&ear) == Heard::Something {
            match ear.hear() {
                Some((Order::Fork { ticket, birth }, Some(theirs))) => match nest.fork() {
                    Ok(Forked::Child) => {
                        // All that is the zygote's is closed as this returns.
                        let parent = brood.parent;
                        die_with_parent()?;
                        // It may have died before that was said.
                        let orphan = getppid() != Some(parent);
                        return Ok(if orphan {
                            Hatched::Done
                        } else {
                            Hatched::Worker(birth, theirs.into())
                        });
                    }
                    Ok(Forked::Parent(pid)) => {
                        brood.adopt(pid);
                        cord.say(&Word::Forked { ticket, pid }, None)?;
                    }
                    Err(error) => cord.say(&Word::NotForked { ticket, why: error.to_string() }, None)?,
                },
                Some((Order::Kill { pid }, _)) => brood.kill(pid),
                Some(_) => {}
                None => return Ok(Hatched::Done),
            }
        }
        for (pid, how) in brood.bury() {
            cord.say(&Word::Died { pid, how }, None)?;
        }
    }
}

fn is_cut(ear: &Ear) -> bool {
    let mut cord = [PollFd::new(ear.socket(), PollFlags::empty())];
    poll(&mut cord, Some(&Timespec::default())).is_ok()
        && cord[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Should the parent end, however, this process is killed.
#[cfg(target_os = "linux")]
fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// The cut cord must do.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
}

/// The children of a zygote.
#[derive(Debug)]
struct Brood {
    parent: Pid,
    /// With what tells when one has ended, where there is such a thing.
    children: Vec<(Pid, Option<OwnedFd>)>,
}

impl Default for Brood {
    fn default() -> Self {
        Self { parent: getpid(), children: Vec::new() }
    }
}

impl Brood {
    fn adopt(&mut self, pid: i32) {
        if let Some(pid) = Pid::from_raw(pid) {
            self.children.push((pid, watched(pid)));
        }
    }

    fn kill(&self, pid: i32) {
        if let Some((pid, _)) = self.children.iter().find(|(child, _)| child.as_raw_nonzero().get() == pid) {
            // It has not been waited for: the number is its own.
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    /// Waits until something is said, or a child has ended.
    fn wait(&self, ear: &Ear) -> Heard {
        let watched = self.children.iter().filter_map(|(_, watched)| watched.as_ref());
        let mut awaited: Vec<_> = [PollFd::new(ear.socket(), PollFlags::IN)]
            .into_iter()
            .chain(watched.map(|child| PollFd::new(child, PollFlags::IN)))
            .collect();
        let is_blind = awaited.len() <= self.children.len();
        let patience = if is_blind { Some(&LOOK) } else { None };
        match poll(&mut awaited, patience) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Heard::Something,
        }
        let said = awaited.first().is_some_and(|cord| !cord.revents().is_empty());
        if said { Heard::Something } else { Heard::Nothing }
    }

    /// Those that have ended, and how.
    fn bury(&mut self) -> Vec<(i32, String)> {
        let mut buried = Vec::new();
        self.children.retain(|(pid, _)| {
            let how = match waitpid(Some(*pid), WaitOptions::NOHANG) {
                Ok(None) | Err(Errno::INTR) => return true,
                Ok(Some((_, status))) => how(ExitStatus::from_raw(status.as_raw())),
                // The application ignores SIGCHLD: the system has waited.
                Err(_) => "has ended".to_owned(),
            };
            buried.push((pid.as_raw_nonzero().get(), how));
            false
        });
        buried
    }
}

#[cfg(target_os = "linux")]
fn watched(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn watched(_: Pid) -> Option<OwnedFd> {
    None
}
