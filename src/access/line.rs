//! One request as the access log tells it: the directives of its format, or JSON.
//!
//! What a client sent cannot begin a line, end a field or reach a terminal: Apache's rules of escaping
//! (ap_escape_logitem).

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Version};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde::Serialize;

use crate::config::{AccessFormat, Field, Form, Moment, Part, TimeForm, Unit};
use crate::exchange::{Client, Connection, Service};

/// What nginx calls an answer that its client did not wait for; no status was sent.
const CLIENT_LEFT: u16 = 499;

/// What was asked.
#[derive(Debug, Clone)]
pub enum Asked {
    Request {
        method: Method,
        target: Bytes,
        version: Version,
    },
    /// The beginning of what is no request.
    Raw(Bytes),
}

#[derive(Debug, Clone)]
pub struct Line {
    pub time: Timestamp,
    /// Who asks, and whom.
    pub connection: Arc<Connection>,
    pub asked: Asked,
    /// Header fields of the request and of its answer, as far as the format wants them, in its order.
    pub request: Box<[Option<HeaderValue>]>,
    pub response: Box<[Option<HeaderValue>]>,
    /// Requests before it on its connection.
    pub kept: u64,
    /// None: there was no answer.
    pub status: Option<u16>,
    /// Of the answer's body.
    pub bytes: u64,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
    /// Who served it; None: it never reached Python.
    pub service: Option<Service>,
    /// The client's kernel took all of the answer.
    pub complete: bool,
}

impl Line {
    /// Of a request that begins now.
    #[must_use]
    pub fn new(connection: Arc<Connection>, asked: Asked) -> Self {
        Self {
            time: Timestamp::now(),
            connection,
            asked,
            request: Box::default(),
            response: Box::default(),
            kept: 0,
            status: None,
            bytes: 0,
            duration: Duration::ZERO,
            service: None,
            complete: false,
        }
    }

    /// What the answer's status is, or is called where there was none.
    #[must_use]
    pub fn told_status(&self) -> u16 {
        self.status.unwrap_or(CLIENT_LEFT)
    }

    /// Adds the line, its end included.
    pub fn write(&self, format: &AccessFormat, zone: &TimeZone, out: &mut Vec<u8>) {
        match &format.form {
            Form::Json => self.json(zone, out),
            Form::Parts(parts) => {
                for part in parts {
                    self.part(part, zone, out);
                }
            }
        }
        out.push(b'\n');
    }

    fn part(&self, part: &Part, zone: &TimeZone, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Field(field) => self.field(field, zone, out),
            Part::Only(field, statuses) if statuses.has(self.told_status()) => self.field(field, zone, out),
            Part::Only(..) => out.push(b'-'),
        }
    }

    fn field(&self, field: &Field, zone: &TimeZone, out: &mut Vec<u8>) {
        let connection = &self.connection;
        match field {
            Field::Client => number(connection.client.address(), out),
            Field::ClientPort => number(port(connection.client), out),
            Field::Nothing => out.push(b'-'),
            Field::Time(moment, form) => self.moment(*moment, form, zone, out),
            Field::RequestLine => self.request_line(out),
            Field::Method | Field::Path | Field::Query | Field::BareQuery | Field::Protocol => {
                self.part_of_line(field, out);
            }
            Field::Status => number(Some(self.told_status()), out),
            Field::Bytes => number(Some(self.bytes), out),
            Field::BytesOrDash => number(Some(self.bytes).filter(|bytes| *bytes > 0), out),
            Field::Duration(unit) => length(self.duration, *unit, out),
            Field::Queue => number(self.service.as_ref().map(|service| service.queued.as_micros()), out),
            Field::Interpreter => number(self.service.as_ref().map(|service| service.interpreter), out),
            Field::Complete => number(Some(self.complete), out),
            Field::Process => number(Some(std::process::id()), out),
            Field::ProcessInBrackets => number(Some(format_args!("<{}>", std::process::id())), out),
            Field::ServerName => escape(connection.server_name.as_bytes(), out),
            Field::ServerPort => escape(connection.server_port.as_bytes(), out),
            Field::Kept => number(Some(self.kept), out),
            Field::RequestHeader(place) => value(self.request.get(*place), out),
            Field::ResponseHeader(place) => value(self.response.get(*place), out),
            Field::Cookie(place, name) => match self.request.get(*place).and_then(Option::as_ref) {
                Some(cookies) => escape(cookie(cookies.as_bytes(), name).unwrap_or(b"-"), out),
                None => out.push(b'-'),
            },
        }
    }

    fn request_line(&self, out: &mut Vec<u8>) {
        match &self.asked {
            Asked::Request { method, target, version } => {
                escape(method.as_str().as_bytes(), out);
                out.push(b' ');
                escape(target, out);
                // Writing to a Vec cannot fail, here and below.
                let _ = write!(out, " {version:?}");
            }
            Asked::Raw(bytes) if bytes.is_empty() => out.push(b'-'),
            Asked::Raw(bytes) => escape(bytes, out),
        }
    }

    fn part_of_line(&self, field: &Field, out: &mut Vec<u8>) {
        let Asked::Request { method, target, version } = &self.asked else { return out.push(b'-') };
        let (path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(mark) => target.split_at(mark),
            None => (&target[..], &[][..]),
        };
        match field {
            Field::Method => escape(method.as_str().as_bytes(), out),
            Field::Path => escape(path, out),
            Field::Query => escape(query, out),
            Field::BareQuery => escape(query.get(1..).unwrap_or(b"-"), out),
            _ => number(Some(format_args!("{version:?}")), out),
        }
    }

    fn moment(&self, moment: Moment, form: &TimeForm, zone: &TimeZone, out: &mut Vec<u8>) {
        let time = match moment {
            Moment::Begin => self.time,
            // Beyond what a timestamp holds: never.
            Moment::End => self.time.checked_add(self.duration).unwrap_or(self.time),
        };
        let _ = match form {
            TimeForm::Apache => write!(out, "[{}]", local(time, zone).strftime("%d/%b/%Y:%H:%M:%S %z")),
            // It was tried when it was read.
            TimeForm::Strftime(form) => {
                let text = strtime::format(form, &local(time, zone)).unwrap_or_default();
                return escape(text.as_bytes(), out);
            }
            TimeForm::Epoch(Unit::Milliseconds) => write!(out, "{}", time.as_millisecond()),
            TimeForm::Epoch(Unit::Microseconds) => write!(out, "{}", time.as_microsecond()),
            TimeForm::Epoch(_) => write!(out, "{}", time.as_second()),
            TimeForm::Fraction(Unit::Milliseconds) => {
                write!(out, "{:03}", time.as_millisecond().rem_euclid(1_000))
            }
            TimeForm::Fraction(_) => write!(out, "{:06}", time.as_microsecond().rem_euclid(1_000_000)),
        };
    }

    fn json(&self, zone: &TimeZone, out: &mut Vec<u8>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |place: usize| {
            let value = self.request.get(place)?.as_ref()?;
            Some(text(value.as_bytes()))
        };
        let (mut method, mut target, mut protocol, mut request) = (None, None, None, None);
        match &self.asked {
            Asked::Request { method: name, target: bytes, version } => {
                method = Some(name.as_str());
                target = Some(text(bytes));
                protocol = Some(format!("{version:?}"));
            }
            Asked::Raw(bytes) => request = Some(text(bytes)),
        }
        let record = Record {
            time: local(self.time, zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            client: self.connection.client.address().map(|client| client.to_string()),
            method,
            target,
            protocol,
            request,
            status: self.told_status(),
            bytes: self.bytes,
            referer: header(0),
            user_agent: header(1),
            duration_seconds: seconds(self.duration),
            queue_seconds: self.service.as_ref().map(|service| seconds(service.queued)),
            interpreter: self.service.as_ref().map(|service| service.interpreter),
            complete: self.complete,
        };
        // Plain data into a Vec: nothing of it can fail.
        let _ = serde_json::to_writer(out, &record);
    }
}

fn local(time: Timestamp, zone: &TimeZone) -> ZonedDateTime {
    time.to_zoned_datetime(zone.clone())
}

fn port(client: Client) -> Option<u16> {
    match client {
        Client::Inet(_, port) => port,
        Client::Unix => None,
    }
}

/// What needs no escaping; a dash where there is nothing.
fn number(value: Option<impl std::fmt::Display>, out: &mut Vec<u8>) {
    let _ = match value {
        Some(value) => write!(out, "{value}"),
        None => write!(out, "-"),
    };
}

fn length(time: Duration, unit: Unit, out: &mut Vec<u8>) {
    let _ = match unit {
        Unit::Seconds => write!(out, "{}", time.as_secs()),
        Unit::DecimalSeconds => write!(out, "{:.6}", time.as_secs_f64()),
        Unit::Milliseconds => write!(out, "{}", time.as_millis()),
        Unit::Microseconds => write!(out, "{}", time.as_micros()),
    };
}

fn value(kept: Option<&Option<HeaderValue>>, out: &mut Vec<u8>) {
    match kept.and_then(Option::as_ref) {
        Some(value) => escape(value.as_bytes(), out),
        None => out.push(b'-'),
    }
}

/// The first cookie of that name (RFC 6265 §4.2.1).
fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies.split(|byte| *byte == b';' || *byte == b',').find_map(|pair| {
        let pair = pair.trim_ascii();
        let mark = pair.iter().position(|byte| *byte == b'=')?;
        (&pair[..mark] == name.as_bytes()).then(|| &pair[mark + 1..])
    })
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    time: String,
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    /// In place of these three, where they could not be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    status: u16,
    bytes: u64,
    referer: Option<String>,
    user_agent: Option<String>,
    duration_seconds: f64,
    queue_seconds: Option<f64>,
    interpreter: Option<u64>,
    complete: bool,
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

/// As Apache does.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0b => out.extend_from_slice(b"\\v"),
            _ => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(client: Client) -> Arc<Connection> {
        let (server_name, server_port) = ("example.org".to_owned(), "8080".to_owned());
        let (scheme, script_name) = (crate::exchange::Scheme::Http, String::new());
        Arc::new(Connection { client, server_name, server_port, scheme, script_name })
    }

    fn line() -> Line {
        Line {
            time: "2026-11-24T19:15:02.5Z".parse().unwrap(),
            connection: connection(Client::Inet([192, 0, 2, 1].into(), Some(4711))),
            asked: Asked::Request {
                method: Method::GET,
                target: Bytes::from_static(b"/a?b"),
                version: Version::HTTP_11,
            },
            request: Box::new([
                Some(HeaderValue::from_static("http://x/\"\\")),
                Some(HeaderValue::from_bytes(b"caf\xe9\t").unwrap()),
            ]),
            response: Box::default(),
            kept: 2,
            status: Some(200),
            bytes: 13,
            duration: Duration::from_micros(1_234_567),
            service: Some(Service { interpreter: 3, queued: Duration::from_micros(89) }),
            complete: true,
        }
    }

    fn written(line: &Line, format: &str) -> String {
        let mut out = Vec::new();
        line.write(&format.parse().unwrap(), &TimeZone::fixed(jiff::tz::offset(-3)), &mut out);
        String::from_utf8(out).unwrap()
    }

    const COMMON: &str = r#"192.0.2.1 - - [24/Nov/2026:16:15:02 -0300] "GET /a?b HTTP/1.1" 200 13"#;

    #[test]
    fn apaches_formats_have_apaches_fields() {
        assert_eq!(written(&line(), "common"), format!("{COMMON}\n"));
        let combined = format!(r#"{COMMON} "http://x/\"\\" "caf\xe9\t""#);
        assert_eq!(written(&line(), "combined"), format!("{combined}\n"));
        assert_eq!(written(&line(), "timed"), format!("{combined} 1234567 89 3\n"));
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let (connection, asked) = (connection(Client::Unix), Asked::Raw(Bytes::new()));
        let unknown = Line { connection, asked, request: Box::new([None, None]), ..line() };
        let unknown = Line { status: None, bytes: 0, service: None, complete: false, ..unknown };
        let expected = "- - - [24/Nov/2026:16:15:02 -0300] \"-\" 499 - \"-\" \"-\" 1234567 - -\n";
        assert_eq!(written(&unknown, "timed"), expected);
    }

    #[test]
    fn nothing_that_a_client_sends_ends_a_field_or_a_line() {
        let every: Vec<u8> = (0..=255).collect();
        let sly = Line { asked: Asked::Raw(Bytes::from(every)), ..line() };
        let text = written(&sly, "combined");
        assert!(text.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert!(text.contains(r#"\x00\x01\x02\x03\x04\x05\x06\x07\b\t\n\v\x0c\r\x0e"#), "{text}");
        assert!(
            text.contains(r##" !\"#$%"##) && text.contains(r"[\\]") && text.contains(r"~\x7f\x80"),
            "{text}"
        );
        let text = written(&sly, "json");
        assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(read["request"].as_str().unwrap().starts_with("\0\u{1}"));
        assert!(read.get("method").is_none());
    }

    #[test]
    fn json_has_a_name_for_each() {
        let read: serde_json::Value = serde_json::from_str(&written(&line(), "json")).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-24T16:15:02.500-03:00", "client": "192.0.2.1", "method": "GET", "target": "/a?b",
            "protocol": "HTTP/1.1", "status": 200, "bytes": 13, "referer": "http://x/\"\\",
            "user_agent": "caf\u{fffd}\t", "duration_seconds": 1.234567, "queue_seconds": 0.000089,
            "interpreter": 3, "complete": true,
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn each_directive_has_its_value() {
        let with = |status| Line {
            request: Box::new([Some(HeaderValue::from_static("a=1; b=x\"y; ab=3"))]),
            response: Box::new([None, Some(HeaderValue::from_static("text/plain"))]),
            status: Some(status),
            ..line()
        };
        for (format, expected) in [
            ("%h %a %l %u", "192.0.2.1 192.0.2.1 - -"),
            ("%m %U %q %H", "GET /a ?b HTTP/1.1"),
            ("%(m)s %(U)s %(q)s %(H)s", "GET /a b HTTP/1.1"),
            ("%s %>s %B %b", "200 200 13 13"),
            ("%D %T %{s}T %{ms}T %{us}T", "1234567 1 1 1234 1234567"),
            ("%(D)s %(T)s %(M)s %(L)s", "1234567 1 1234 1.234567"),
            ("%v:%p %V %{remote}p %k", "example.org:8080 example.org 4711 2"),
            ("%{b}C %{c}C", r#"x\"y -"#),
            ("%{Cookie}i %{X}o %{Content-Type}o", r#"a=1; b=x\"y; ab=3 - text/plain"#),
            ("%{queue}x %{interpreter}x %{complete}x", "89 3 true"),
            ("%{sec}t.%{msec_frac}t %{usec}t", "1795547702.500 1795547702500000"),
            ("%{end:msec}t %{usec_frac}t", "1795547703734 500000"),
            ("%{%Y-%m-%d %H:%M}t", "2026-11-24 16:15"),
            ("%200s %404s %!404,500s", "200 - 200"),
            ("100%% \\t", "100% \t"),
        ] {
            assert_eq!(written(&with(200), format), format!("{expected}\n"), "{format}");
        }
        assert_eq!(written(&with(500), "%!404,500m %m"), "- GET\n");
        let process = std::process::id();
        assert_eq!(written(&with(200), "%P %{pid}P %(p)s"), format!("{process} {process} <{process}>\n"));
    }
}
