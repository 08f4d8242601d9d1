//! The access log's settings: where its lines go, and what each of them has.
//!
//! Owns the language of `--access-log-format`: Apache's directives (mod_log_config), gunicorn's names for them, and
//! ours. Rule: what is not known is refused by name, never written as a dash.

use std::path::PathBuf;
use std::str::FromStr;

use http::HeaderName;
use http::header::{COOKIE, REFERER, USER_AGENT};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;
const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;
const TIMED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D %{queue}x %{interpreter}x"#;

/// What to write instead of what is no format.
const CURE: &str = "use one of common, combined, timed, json, or directives as in '%h %t \"%r\" %>s %D'";

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub output: AccessOutput,
    pub format: AccessFormat,
}

/// Where its lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOutput {
    /// Standard output (`-`): log lines go to standard error.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// What its lines are, and which headers have to be kept for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFormat {
    pub form: Form,
    /// Header fields of a request: what is kept of them is in this order.
    pub request: Vec<HeaderName>,
    /// Header fields of its answer.
    pub response: Vec<HeaderName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Parts(Vec<Part>),
    /// An object a line. The first two headers of the request are Referer and User-Agent.
    Json,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Field(Field),
    /// A dash, unless the status is one of these, or is none of them.
    Only(Field, Statuses),
}

/// Statuses for which a field is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statuses {
    These(Vec<u16>),
    AllBut(Vec<u16>),
}

impl Statuses {
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        match self {
            Self::These(listed) => listed.contains(&status),
            Self::AllBut(listed) => !listed.contains(&status),
        }
    }
}

/// What is told of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Client,
    ClientPort,
    /// What nobody knows here: a dash.
    Nothing,
    Time(Moment, TimeForm),
    RequestLine,
    Method,
    Path,
    /// With its question mark, or nothing.
    Query,
    /// Without it, or a dash.
    BareQuery,
    Protocol,
    Status,
    Bytes,
    /// A dash for none.
    BytesOrDash,
    Duration(Unit),
    Queue,
    Interpreter,
    Complete,
    Process,
    /// As gunicorn has it: `<4711>`.
    ProcessInBrackets,
    ServerName,
    ServerPort,
    /// Requests before this one on its connection.
    Kept,
    /// Numbers in `AccessFormat::request` and `AccessFormat::response`.
    RequestHeader(usize),
    ResponseHeader(usize),
    Cookie(usize, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request's head is there.
    Begin,
    /// The answer's last byte is gone.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeForm {
    /// `[24/Nov/2026:16:15:02 -0300]`.
    Apache,
    /// As strftime(3) has it.
    Strftime(String),
    /// Since 1970, in this unit.
    Epoch(Unit),
    /// Three or six digits behind the second.
    Fraction(Unit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    /// With six digits behind the point.
    DecimalSeconds,
    Milliseconds,
    Microseconds,
}

impl Default for AccessFormat {
    /// What most programs that read such logs take.
    fn default() -> Self {
        Reader::default().read(COMBINED).unwrap_or_else(|_| Self::json())
    }
}

impl AccessFormat {
    #[must_use]
    pub fn json() -> Self {
        Self { form: Form::Json, request: vec![REFERER, USER_AGENT], response: Vec::new() }
    }
}

/// Why a text is no format: what is wrong and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl FromStr for AccessFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let text = match text {
            "json" => return Ok(Self::json()),
            "common" => COMMON,
            "combined" => COMBINED,
            "timed" => TIMED,
            text if !text.contains('%') => return Err(FormatError(CURE.to_owned())),
            text => text,
        };
        Reader::default().read(text)
    }
}

/// Which statuses a directive is written for, and which `{argument}` it has.
#[derive(Debug, Default)]
struct Modifiers<'a> {
    argument: Option<&'a str>,
    statuses: Vec<u16>,
    negated: bool,
}

#[derive(Debug, Default)]
struct Reader {
    parts: Vec<Part>,
    text: String,
    request: Vec<HeaderName>,
    response: Vec<HeaderName>,
}

impl Reader {
    fn read(mut self, format: &str) -> Result<AccessFormat, FormatError> {
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let tail = &rest[first.len_utf8()..];
            rest = match first {
                '%' => self.directive(tail)?,
                '\\' => self.escaped(tail),
                _ => {
                    self.text.push(first);
                    tail
                }
            };
        }
        self.end_text();
        Ok(AccessFormat { form: Form::Parts(self.parts), request: self.request, response: self.response })
    }

    /// As in Apache's configuration, quotation marks included, which a format copied from there has.
    fn escaped<'a>(&mut self, tail: &'a str) -> &'a str {
        let known = [('n', "\n"), ('t', "\t"), ('r', "\r"), ('"', "\""), ('\\', "\\")];
        match known.iter().find(|(letter, _)| tail.starts_with(*letter)) {
            Some((letter, text)) => {
                self.text.push_str(text);
                &tail[letter.len_utf8()..]
            }
            None => {
                self.text.push('\\');
                tail
            }
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// What follows a `%`. Returns what is left.
    fn directive<'a>(&mut self, start: &'a str) -> Result<&'a str, FormatError> {
        if let Some(tail) = start.strip_prefix('%') {
            self.text.push('%');
            return Ok(tail);
        }
        let (modifiers, name, tail) = match start.strip_prefix('(') {
            Some(inner) => gunicorns(inner)?,
            None => apaches(start)?,
        };
        let told = &start[..start.len() - tail.len()];
        let field = match start.starts_with('(') {
            true => self.field_of_gunicorn(name, modifiers.argument),
            false => self.field(name, modifiers.argument),
        };
        let field = field.map_err(|why| FormatError(format!("%{told}: {why}")))?;
        self.end_text();
        self.parts.push(match modifiers.statuses {
            statuses if statuses.is_empty() => Part::Field(field),
            statuses if modifiers.negated => Part::Only(field, Statuses::AllBut(statuses)),
            statuses => Part::Only(field, Statuses::These(statuses)),
        });
        Ok(tail)
    }

    /// Apache's directives, and by `%{…}x`, which is for modules there, ours.
    fn field(&mut self, name: &str, argument: Option<&str>) -> Result<Field, String> {
        let header = |list: &mut Vec<HeaderName>, name: &str| {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| "not a header's name".to_owned())?;
            Ok::<_, String>(list.iter().position(|known| *known == name).unwrap_or_else(|| {
                list.push(name);
                list.len() - 1
            }))
        };
        Ok(match (name, argument) {
            ("h" | "a", None) => Field::Client,
            ("l" | "u", None) => Field::Nothing,
            ("t", None) => Field::Time(Moment::Begin, TimeForm::Apache),
            ("t", Some(form)) => time(form)?,
            ("r", None) => Field::RequestLine,
            ("m", None) => Field::Method,
            ("U", None) => Field::Path,
            ("q", None) => Field::Query,
            ("H", None) => Field::Protocol,
            ("s", None) => Field::Status,
            ("B", None) => Field::Bytes,
            ("b", None) => Field::BytesOrDash,
            ("D", None) | ("T", Some("us")) => Field::Duration(Unit::Microseconds),
            ("T", None | Some("s")) => Field::Duration(Unit::Seconds),
            ("T", Some("ms")) => Field::Duration(Unit::Milliseconds),
            ("P", None | Some("pid")) => Field::Process,
            ("v" | "V", None) => Field::ServerName,
            ("p", None | Some("canonical" | "local")) => Field::ServerPort,
            ("p", Some("remote")) => Field::ClientPort,
            ("k", None) => Field::Kept,
            ("i", Some(name)) => Field::RequestHeader(header(&mut self.request, name)?),
            ("o", Some(name)) => Field::ResponseHeader(header(&mut self.response, name)?),
            ("C", Some(name)) => Field::Cookie(header(&mut self.request, COOKIE.as_str())?, name.to_owned()),
            ("x", Some("interpreter")) => Field::Interpreter,
            ("x", Some("queue")) => Field::Queue,
            ("x", Some("complete")) => Field::Complete,
            ("i" | "o" | "C" | "x", None) => return Err(format!("it needs a name: %{{NAME}}{name}")),
            ("e", _) => return Err("variables of the environment are not logged: write the value".to_owned()),
            _ => return Err("not a directive that is known here: see docs/operations.md".to_owned()),
        })
    }

    /// gunicorn's names, where they are not Apache's.
    fn field_of_gunicorn(&mut self, name: &str, argument: Option<&str>) -> Result<Field, String> {
        match (name, argument) {
            ("f", None) => self.field("i", Some(REFERER.as_str())),
            ("a", None) => self.field("i", Some(USER_AGENT.as_str())),
            ("q", None) => Ok(Field::BareQuery),
            ("M", None) => Ok(Field::Duration(Unit::Milliseconds)),
            ("L", None) => Ok(Field::Duration(Unit::DecimalSeconds)),
            ("p", None) => Ok(Field::ProcessInBrackets),
            ("h" | "l" | "u" | "t" | "r" | "m" | "U" | "H" | "s" | "b" | "B" | "T" | "D", None)
            | ("i" | "o" | "e", Some(_)) => self.field(name, argument),
            _ => Err("not a name that gunicorn has: see docs/operations.md".to_owned()),
        }
    }
}

/// `{argument}`, `>`, `<`, statuses, and the letter, in Apache's order of reading: any.
fn apaches(start: &str) -> Result<(Modifiers<'_>, &str, &str), FormatError> {
    let mut modifiers = Modifiers::default();
    let mut rest = start;
    loop {
        let Some(first) = rest.chars().next() else {
            return Err(FormatError(format!(
                "%{start}: the directive has no end: write %% for a percent sign"
            )));
        };
        let tail = &rest[first.len_utf8()..];
        rest = match first {
            '{' => {
                let Some((argument, tail)) = tail.split_once('}') else {
                    return Err(FormatError(format!("%{start}: the brace is not closed")));
                };
                modifiers.argument = Some(argument);
                tail
            }
            // Of an inner redirect, the first or the last request: there are none here.
            '<' | '>' | ',' => tail,
            '!' => {
                modifiers.negated = true;
                tail
            }
            '0'..='9' => {
                let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
                match rest[..digits].parse() {
                    Ok(status @ 100..=999) => modifiers.statuses.push(status),
                    _ => return Err(FormatError(format!("%{}: not a status", &rest[..digits]))),
                }
                &rest[digits..]
            }
            _ => return Ok((modifiers, &rest[..first.len_utf8()], tail)),
        };
    }
}

/// `%(h)s`, `%({header}i)s`.
fn gunicorns(inner: &str) -> Result<(Modifiers<'_>, &str, &str), FormatError> {
    let Some((name, tail)) = inner.split_once(")s") else {
        return Err(FormatError(format!("%({inner}: not closed: write %(h)s")));
    };
    let (argument, name) = match name.strip_prefix('{').and_then(|name| name.split_once('}')) {
        Some((argument, name)) => (Some(argument), name),
        None => (None, name),
    };
    Ok((Modifiers { argument, ..Modifiers::default() }, name, tail))
}

/// `%{…}t`.
fn time(form: &str) -> Result<Field, String> {
    let (moment, form) = match form.split_once(':') {
        Some(("begin", form)) => (Moment::Begin, form),
        Some(("end", form)) => (Moment::End, form),
        _ => (Moment::Begin, form),
    };
    let form = match form {
        "" => TimeForm::Apache,
        "sec" => TimeForm::Epoch(Unit::Seconds),
        "msec" => TimeForm::Epoch(Unit::Milliseconds),
        "usec" => TimeForm::Epoch(Unit::Microseconds),
        "msec_frac" => TimeForm::Fraction(Unit::Milliseconds),
        "usec_frac" => TimeForm::Fraction(Unit::Microseconds),
        form => {
            let trial = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
            strtime::format(form, &trial).map_err(|error| format!("not a form of strftime(3): {error}"))?;
            TimeForm::Strftime(form.to_owned())
        }
    };
    Ok(Field::Time(moment, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        match text.parse::<AccessFormat>().unwrap().form {
            Form::Parts(parts) => parts,
            Form::Json => Vec::new(),
        }
    }

    fn wrong(text: &str) -> String {
        text.parse::<AccessFormat>().unwrap_err().to_string()
    }

    #[test]
    fn the_names_are_formats_of_apache() {
        assert_eq!("combined".parse(), Ok(AccessFormat::default()));
        assert_ne!(AccessFormat::default(), AccessFormat::json());
        assert_eq!(parts("common"), parts(COMMON));
        assert_eq!(parts("timed").len(), parts(TIMED).len());
    }

    #[test]
    fn a_header_is_kept_once_however_it_is_written() {
        let format: AccessFormat = "%{host}i %{HOST}i %{a}C %{b}C %{ETag}o".parse().unwrap();
        assert_eq!(format.request, ["host", "cookie"]);
        assert_eq!(format.response, ["etag"]);
    }

    #[test]
    fn modifiers_are_apaches() {
        assert_eq!(parts("%>s"), [Part::Field(Field::Status)]);
        assert_eq!(
            parts("%400,501{Referer}i"),
            [Part::Only(Field::RequestHeader(0), Statuses::These(vec![400, 501]))]
        );
        assert_eq!(
            parts("%!200D"),
            [Part::Only(Field::Duration(Unit::Microseconds), Statuses::AllBut(vec![200]))]
        );
    }

    #[test]
    fn text_is_as_it_is_but_for_escapes() {
        let text = |text: &str| [Part::Field(Field::Method), Part::Text(text.to_owned())];
        assert_eq!(parts(r#"%m\t\"%%\"\\\x"#), text("\t\"%\"\\\\x"));
    }

    #[test]
    fn gunicorns_names_are_read_where_they_differ() {
        assert_eq!(parts("%(h)s"), parts("%h"));
        assert_eq!(parts(r#"%(t)s "%(r)s" %(s)s %(b)s"#), parts(r#"%t "%r" %s %b"#));
        assert_eq!(parts("%(f)s%(a)s"), parts("%{Referer}i%{User-Agent}i"));
        assert_eq!(parts("%({x-a}i)s %(M)s"), parts("%{X-A}i %{ms}T"));
        assert_eq!(parts("%(L)s"), [Part::Field(Field::Duration(Unit::DecimalSeconds))]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(wrong("clf"), CURE);
        assert!(wrong("%h %Z").starts_with("%Z: not a directive that is known here"));
        assert!(wrong("%{PATH}e").starts_with("%{PATH}e: variables of the environment"));
        assert!(wrong("%i").starts_with("%i: it needs a name: %{NAME}i"));
        assert!(wrong("%{a b}i").starts_with("%{a b}i: not a header's name"));
        assert!(wrong("%{%Ä}t").starts_with("%{%Ä}t: not a form of strftime(3)"));
        assert!(wrong("100%").starts_with("%: the directive has no end"));
        assert!(wrong("%{x").starts_with("%{x: the brace is not closed"));
        assert!(wrong("%(h)").starts_with("%(h): not closed"));
        assert!(wrong("%(Z)s").starts_with("%(Z)s: not a name that gunicorn has"));
        assert!(wrong("%20{x}i").starts_with("%20: not a status"));
    }
}
