//! How Python code of ours says in the log what only it can know in time.

use crate::interp::{Arguments, Attached, Class, ExceptionKind, Outcome, Protocol, PythonError};
use crate::logging;

/// Called with a text, logs it at level CRITICAL: what the application did ends the process.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) number: u64,
}

impl Class for Voice {
    const NAME: &'static std::ffi::CStr = c"chaussette.Voice";
    const PROTOCOL: Protocol = Protocol::Callable;

    fn call<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Outcome<'a> {
        let Some(text) = arguments.get(0) else {
            return Err(PythonError::new(at, ExceptionKind::TypeError, "a text is missing"));
        };
        let (number, text) = (self.number, text.display());
        logging::critical(format_args!("interpreter {number}: {text}"));
        Ok(at.none())
    }
}
