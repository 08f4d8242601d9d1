//! Starting the process of a zygote: by exec, which is safe beside whatever runs here.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Starts zygotes.
pub trait Launcher: Debug + Send + Sync {
    /// Starts one, with its end of a cord. Called on a thread that lives for as long as what it has started.
    fn launch(&self, cord: UnixStream) -> io::Result<Box<dyn Launched>>;
}

/// One that was started.
pub trait Launched: Debug + Send {
    fn kill(&mut self);

    /// Waits for its end; how that came. Blocks.
    fn wait(&mut self) -> String;
}

/// A program that is a zygote, told by its words where its cord is: standard input. That is how a descriptor reaches
/// one program and no other that is started meanwhile.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Launcher for Program {
    fn launch(&self, cord: UnixStream) -> io::Result<Box<dyn Launched>> {
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(cord)))
            // ^C at a terminal is for the server: what it starts is told by it.
            .process_group(0)
            .spawn()?;
        Ok(Box::new(child))
    }
}

impl Launched for Child {
    fn kill(&mut self) {
        // It has ended already, then.
        let _ = Self::kill(self);
    }

    fn wait(&mut self) -> String {
        Self::wait(self).map_or_else(|error| error.to_string(), how)
    }
}

/// How a process ended, as it continues a sentence.
pub(super) fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by {}", name(signal)),
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "has ended".to_owned(),
    }
}

fn name(signal: i32) -> String {
    // The names of those that end processes, by Linux's numbers, which macOS shares.
    const NAMES: [(i32, &str); 11] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
    ];
    let known = NAMES.iter().find(|(number, _)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}
