//! Why a request was not served as it should be, in words for the log.
//!
//! Owns the wording. A rule of PEP 3333 that the application broke is told with its clause; an exception with
//! its traceback.

use crate::interp::{Attached, ExceptionKind, Kept, Object, PythonError};
use crate::wsgi::clause::Clause;
use crate::wsgi::responder::CLIENT_LEFT;

/// Characters of a value that a message shows: enough to recognise it.
const SHOWN: usize = 80;

/// What the application did.
#[derive(Debug)]
pub(super) enum Failure<'a> {
    Raised(PythonError<'a>),
    /// A rule of PEP 3333, already in words.
    Broke(String),
    /// And then `close()` failed as well.
    Twice(Box<(Self, Self)>),
}

impl<'a> From<PythonError<'a>> for Failure<'a> {
    fn from(error: PythonError<'a>) -> Self {
        Self::Raised(error)
    }
}

impl<'a> Failure<'a> {
    pub(super) fn broke(clause: Clause, what: impl std::fmt::Display) -> Self {
        Self::Broke(clause.cited(what))
    }

    /// The call of the application itself failed. Without a traceback no code of it ever ran: it cannot be
    /// called with two positional arguments.
    pub(super) fn of_call(at: Attached<'a>, error: PythonError<'a>) -> Self {
        let traceback = at.attribute(error.instance(), c"__traceback__");
        if error.is(ExceptionKind::TypeError) && traceback.is_ok_and(|traceback| at.is_none(&traceback)) {
            let what = "application cannot be called with environ and start_response";
            return Self::broke(Clause::Application, format!("{what}: {}", error.message()));
        }
        Self::Raised(error)
    }

    /// `iter()` of what the application returned failed.
    pub(super) fn of_iteration(at: Attached<'a>, parts: &Object<'a>, error: PythonError<'a>) -> Self {
        let lacks = |name| matches!(at.optional_attribute(parts, name), Ok(None));
        if error.is(ExceptionKind::TypeError) && lacks(c"__iter__") && lacks(c"__getitem__") {
            let what = format!("application returned what cannot be iterated over: {}", describe(at, parts));
            return Self::broke(Clause::Specification, what);
        }
        Self::Raised(error)
    }

    /// A part of the body is not bytes.
    pub(super) fn not_bytes(at: Attached<'a>, parts: &Object<'a>, part: &Object<'a>) -> Self {
        let what = if at.is_str(parts) || at.with_bytes(parts, |_| ()).is_some() {
            format!("application returned a string, not an iterable of bytes: {}", describe(at, parts))
        } else {
            format!("a part of the body is not bytes: {}", describe(at, part))
        };
        Self::broke(Clause::Specification, what)
    }

    pub(super) fn and(self, later: Self) -> Self {
        Self::Twice(Box::new((self, later)))
    }

    /// What `write` raised because the client left came back through the application.
    pub(super) fn is_only_the_client(&self) -> bool {
        matches!(self, Self::Raised(error) if error.is(ExceptionKind::OSError) && error.message().ends_with(CLIENT_LEFT))
    }

    /// It was interrupted for taking too long, and let that pass.
    pub(super) fn is_timeout(&self, at: Attached<'a>, support: &Kept) -> bool {
        let class = at.attribute(support, c"RequestTimeout");
        matches!((self, class), (Self::Raised(error), Ok(class)) if error.matches(&class))
    }

    /// In one line, and in full.
    pub(super) fn told(&self, at: Attached<'a>, support: &Kept) -> (String, String) {
        match self {
            Self::Raised(error) => {
                // An exception of ours, which came back through the application: its rule is the news.
                let rule = Some(error.message()).filter(|message| Clause::is_cited(message));
                let rule = rule.map_or_else(String::new, |message| format!(": {message}"));
                let what = match ending(error) {
                    Some(name) => format!("application raised {name} (the interpreter goes on)"),
                    None => format!("application raised{rule}"),
                };
                (what, report(at, support, error))
            }
            Self::Broke(rule) => (rule.clone(), String::new()),
            Self::Twice(both) => {
                let (what, report) = both.0.told(at, support);
                let (then, more) = both.1.told(at, support);
                let lines = [report, format!("then, while its iterable was closed: {then}"), more];
                (what, lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

/// The name of an exception that ends programs, not servers: whoever is on call looks for it.
pub(super) fn ending(error: &PythonError<'_>) -> Option<&'static str> {
    const ENDING: [(ExceptionKind, &str); 4] = [
        (ExceptionKind::SystemExit, "SystemExit"),
        (ExceptionKind::KeyboardInterrupt, "KeyboardInterrupt"),
        (ExceptionKind::MemoryError, "MemoryError"),
        (ExceptionKind::RecursionError, "RecursionError"),
    ];
    ENDING.into_iter().find_map(|(kind, name)| error.is(kind).then_some(name))
}

/// The traceback of `error`, or at least its text.
pub(super) fn report<'a>(at: Attached<'a>, support: &Kept, error: &PythonError<'a>) -> String {
    at.attribute(support, c"report")
        .and_then(|report| at.call(&report, &[error.instance()]))
        .and_then(|text| at.text(&text))
        .unwrap_or_else(|_| error.message())
}

/// The type of an object and the beginning of its value: `int: 5`.
pub(super) fn describe<'a>(at: Attached<'a>, object: &Object<'a>) -> String {
    let name = at
        .attribute(object, c"__class__")
        .and_then(|class| at.attribute(&class, c"__name__"))
        .and_then(|name| at.text(&name))
        .unwrap_or_else(|_| "an unknown type".to_owned());
    let value = object.in_ascii();
    let shown: String = value.chars().take(SHOWN).collect();
    let rest = if shown.len() < value.len() { "..." } else { "" };
    format!("{name}: {shown}{rest}")
}
