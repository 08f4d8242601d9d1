//! What a zygote does in Python: `chaussette._zygote`, in the interpreter that was adopted.

use std::ffi::CStr;

use crate::interp::{Attached, Interpreter, Object, PythonError};

/// Makes the process fit to be forked. Returns the names of threads that no fork will have.
pub fn freeze() -> Result<Vec<String>, String> {
    ask(c"freeze", |at, names| {
        let places = 0..at.sequence_length(&names).unwrap_or(0);
        places.map(|place| at.text(&at.sequence_item(&names, place)?)).collect()
    })
}

/// fork(2), as Python does it. 0: this is the child.
pub fn fork() -> Result<i32, String> {
    ask(c"fork", |at, pid| Ok(i32::try_from(at.integer(&pid)?).unwrap_or(-1)))
}

fn ask<R>(
    name: &CStr,
    read: impl for<'a> FnOnce(Attached<'a>, Object<'a>) -> Result<R, PythonError<'a>>,
) -> Result<R, String> {
    let mut interpreter = Interpreter::adopted().map_err(|error| error.to_string())?;
    let answer = interpreter.attach(|at| {
        let support = at.import(c"chaussette._zygote");
        let answer = support.and_then(|support| at.call(&at.attribute(&support, name)?, &[]));
        answer.and_then(|answer| read(at, answer)).map_err(|error| error.message())
    });
    interpreter.hand_back();
    answer
}
