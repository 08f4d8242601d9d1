//! The application's code on disk, as a scripted workplace loads it, and who answers by it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test binary uses its own part"
)]

use std::path::PathBuf;

use rustix::process::Signal;

use crate::minded::{Minded, get};

/// Its file; beside it lie, with an end to their names: `process`, what processes load if it is another; `gate`, what
/// opens a gate; `sock`, the control socket. All go with it.
pub struct Code(PathBuf);

impl Code {
    pub fn new(name: &str, text: &str) -> Self {
        let code = Self(std::env::temp_dir().join(format!("chaussette-{name}-{}", std::process::id())));
        code.write(text);
        code
    }

    pub fn beside(&self, end: &str) -> PathBuf {
        format!("{}.{end}", self.0.display()).into()
    }

    pub fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    pub fn open_gate(&self) {
        std::fs::write(self.beside("gate"), "").unwrap();
    }

    pub fn serve(&self, words: &str) -> Minded {
        Minded::start(&format!("code:{}", self.0.display()), words)
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        for end in ["process", "gate", "sock"] {
            let _ = std::fs::remove_file(self.beside(end));
        }
    }
}

/// Which code answers, and its interpreter's number.
pub fn who(port: u16, path: &str) -> (String, u64) {
    told(&get(port, path))
}

/// The same of an answer.
pub fn told(answer: &str) -> (String, u64) {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, number) = answer.rsplit_once("\r\n\r\n").unwrap().1.split_once(" from ").unwrap();
    (code.to_owned(), number.parse().unwrap())
}

pub fn stop(minded: Minded) -> String {
    minded.signal(Signal::TERM);
    let (status, said) = minded.ended();
    assert_eq!(status, 0, "{said}");
    said
}
