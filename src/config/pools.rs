//! Which requests go to a pool of worker processes, and how many these are: `--process-for`, `--processes`.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::Bounds;

/// The pool of worker processes beside the interpreters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPool {
    /// Whose requests go there: at least one.
    pub prefixes: Vec<PathPrefix>,
    /// Worker processes at the start.
    pub processes: NonZeroUsize,
    /// How many there may be while it runs.
    pub bounds: Bounds,
}

/// The beginning of a path, in whole segments: `/report` is that of `/report` and `/report/x`, not of `/reports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix {
    /// As it was written.
    text: String,
    /// Percent-decoded, without a slash at the end: as PATH_INFO begins.
    decoded: Vec<u8>,
}

impl PathPrefix {
    /// Whether `path`, which is a request target's, lies under it. Compared is what the application gets as PATH_INFO:
    /// percent-decoded, and nothing else.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        let mut rest = percent_decode_str(path);
        self.decoded.iter().all(|byte| rest.next() == Some(*byte)) && matches!(rest.next(), None | Some(b'/'))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Why a text is no prefix of paths: what is wrong and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathPrefixError(&'static str);

impl FromStr for PathPrefix {
    type Err = PathPrefixError;

    fn from_str(text: &str) -> Result<Self, PathPrefixError> {
        let wrong = |what| Err(PathPrefixError(what));
        if text.is_empty() {
            return wrong("empty: write the beginning of a path, /report");
        }
        if !text.starts_with('/') {
            return wrong("not a path: begin with a slash, as in /report");
        }
        if text.contains(['?', '#']) {
            return wrong("a path has no query and no fragment: leave out what begins with ? or #");
        }
        if text.contains('*') {
            return wrong("no patterns: /report has all that is under it; write %2A for an asterisk");
        }
        if !is_encoded(text) {
            return wrong("a % without two hexadecimal digits: write %25 for a percent sign");
        }
        let decoded: Vec<u8> = percent_decode_str(text.trim_end_matches('/')).collect();
        let Some(segments) = decoded.strip_prefix(b"/") else {
            return wrong("every path lies under it: use --isolation process instead");
        };
        if decoded.iter().any(u8::is_ascii_control) {
            return wrong("a control character: write the beginning of a path, /report");
        }
        let is_odd = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
        if segments.split(|byte| *byte == b'/').any(is_odd) {
            return wrong("clients send no path with // or /./ or /../: write it without");
        }
        Ok(Self { text: text.to_owned(), decoded })
    }
}

fn is_encoded(text: &str) -> bool {
    let is_code = |after: &str| {
        let mut digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.next().is_some() && digits.next().is_some()
    };
    text.match_indices('%').all(|(place, _)| is_code(&text[place + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_holds_whole_segments() {
        let report = prefix("/report");
        for path in ["/report", "/report/", "/report/x", "/report/x/y", "/report//"] {
            assert!(report.holds(path), "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "/repor",
            "/reports",
            "/report.html",
            "/Report",
            "//report",
            "/x/report",
            "/report;x",
        ] {
            assert!(!report.holds(path), "{path}");
        }
        assert!(prefix("/a/b").holds("/a/b/c"));
        assert!(!prefix("/a/b").holds("/a/c"));
    }

    #[test]
    fn a_slash_at_its_end_makes_no_difference() {
        assert!(prefix("/report/").holds("/report"));
        assert!(prefix("/report//").holds("/report/x"));
    }

    #[test]
    fn what_is_compared_is_percent_decoded_once() {
        assert!(prefix("/report").holds("/%72eport"));
        assert!(prefix("/report").holds("/report%2Fx"));
        assert!(prefix("/caf\u{e9}").holds("/caf%C3%A9/x"));
        assert!(prefix("/caf%c3%a9").holds("/caf%C3%A9"));
        assert!(prefix("/100%25").holds("/100%25"));
        assert!(!prefix("/report").holds("/%2572eport"));
        assert!(!prefix("/report").holds("%2Freport/"[3..].trim_end_matches('/')));
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_a_cure() {
        for (text, cure) in [
            ("", "/report"),
            ("report", "begin with a slash"),
            ("http://x/report", "begin with a slash"),
            ("/", "--isolation process"),
            ("//", "--isolation process"),
            ("/report?x", "leave out"),
            ("/report#x", "leave out"),
            ("/report/*", "/report has all"),
            ("/100%", "%25"),
            ("/%4", "%25"),
            ("/%zz", "%25"),
            ("/a//b", "without"),
            ("/a/../b", "without"),
            ("/./a", "without"),
            ("/a%2F%2e%2E", "without"),
            ("/a\n", "control character"),
            ("/a%00", "control character"),
        ] {
            let error = text.parse::<PathPrefix>().unwrap_err().to_string();
            assert!(error.contains(cure), "{text}: {error}");
        }
    }
}
