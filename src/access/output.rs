//! What the access log is written to: a file, or standard output.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::config::AccessOutput;

/// Bytes that a pipe found writable takes without blocking (PIPE_BUF, pipe(7)).
const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// How long a full pipe is waited for before looking whether the process ends.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

#[derive(Debug)]
pub(super) struct Output {
    target: Target,
    /// Bytes given to one write(2).
    piece: usize,
    /// The last line that was written lacks its end.
    torn: bool,
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    File(File, PathBuf),
}

/// Lines that were not written whole.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) why: io::Error,
}

impl Output {
    pub(super) fn open(output: &AccessOutput) -> io::Result<Self> {
        let target = match output {
            AccessOutput::Stdout => Target::Stdout(io::stdout()),
            AccessOutput::File(path) => Target::open(path.clone())?,
        };
        Ok(Self { piece: target.piece(), target, torn: false })
    }

    /// Opens the file of that name again. Standard output stays.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Target::File(_, path) = &self.target {
            self.target = Target::open(path.clone())?;
            self.piece = self.target.piece();
            self.torn = false;
        }
        Ok(())
    }

    /// Writes whole lines, waiting for a reader as long as the process does not end.
    pub(super) fn write(&mut self, text: &[u8], closing: &AtomicBool) -> Result<(), Lost> {
        if text.is_empty() {
            return Ok(());
        }
        let mut rest = text;
        if self.torn && self.write_piece(b"\n", closing).is_ok() {
            self.torn = false;
        }
        while !rest.is_empty() {
            match self.write_piece(&rest[..rest.len().min(self.piece)], closing) {
                Ok(written) => rest = &rest[written..],
                Err(why) => {
                    let written = &text[..text.len() - rest.len()];
                    self.torn |= written.last().is_some_and(|last| *last != b'\n');
                    let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                    return Err(Lost { lines, why });
                }
            }
        }
        Ok(())
    }

    /// The descriptor may be shared with strangers, so it may block or not: both are met by asking first.
    fn write_piece(&self, piece: &[u8], closing: &AtomicBool) -> io::Result<usize> {
        loop {
            if self.piece < usize::MAX {
                let mut asked = [PollFd::from_borrowed_fd(self.target.as_fd(), PollFlags::OUT)];
                match poll(&mut asked, Some(&LOOK)) {
                    Ok(0) if closing.load(Ordering::Relaxed) => return Err(Errno::WOULDBLOCK.into()),
                    Ok(0) | Err(Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match rustix::io::write(self.target.as_fd(), piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                // Another process was quicker to fill the pipe.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Target {
    fn open(path: PathBuf) -> io::Result<Self> {
        // Append: several processes may share it, and each line goes to the end.
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(|cause| {
            let text = format!("--access-log {}: cannot open for appending: {cause}", path.display());
            io::Error::new(cause.kind(), text)
        })?;
        Ok(Self::File(file, path))
    }

    fn piece(&self) -> usize {
        let is_file = fstat(self.as_fd())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if is_file { usize::MAX } else { PIECE }
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout(stdout) => stdout.as_fd(),
            Self::File(file, _) => file.as_fd(),
        }
    }
}
