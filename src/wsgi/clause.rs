//! The clauses of PEP 3333 that an application can break, by the titles of its sections: every message about
//! a broken one names it, so that it can be looked up. Owns the titles; knows nothing of Python or HTTP.

use std::fmt;

/// A section of PEP 3333.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    /// What is called, and with what.
    Application,
    /// What is returned: an iterable of bytestrings, its `close()`, and when `start_response` is due.
    Specification,
    Streams,
    StartResponse,
    ContentLength,
    Write,
}

impl Clause {
    fn title(self) -> &'static str {
        match self {
            Self::Application => "The Application/Framework Side",
            Self::Specification => "Specification Details",
            Self::Streams => "Input and Error Streams",
            Self::StartResponse => "The start_response() Callable",
            Self::ContentLength => "Handling the Content-Length Header",
            Self::Write => "The write() Callable",
        }
    }

    /// `message`, with this clause behind it.
    pub fn cited(self, message: impl fmt::Display) -> String {
        format!("{message} ({self})")
    }

    /// Whether `message` ends with a clause.
    pub fn is_cited(message: &str) -> bool {
        message.rsplit_once(" (PEP 3333, \"").is_some_and(|(_, rest)| rest.ends_with("\")"))
            && !message.contains('\n')
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PEP 3333, \"{}\"", self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_clause() {
        let message = Clause::Write.cited("late");
        assert_eq!(message, "late (PEP 3333, \"The write() Callable\")");
        assert!(Clause::is_cited(&message));
        assert!(!Clause::is_cited("late") && !Clause::is_cited(&format!("{message}\n")));
    }
}
