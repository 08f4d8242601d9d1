//! One request as the access log tells it: Apache's formats, and JSON.
//!
//! What a client sent cannot begin a line, end a field or reach a terminal: Apache's rules of escaping
//! (ap_escape_logitem).

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Version};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::config::AccessFormat;
use crate::exchange::Service;

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
    /// None over a unix socket.
    pub client: Option<IpAddr>,
    pub asked: Asked,
    pub referer: Option<HeaderValue>,
    pub agent: Option<HeaderValue>,
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
    pub fn new(client: Option<IpAddr>, asked: Asked) -> Self {
        Self {
            time: Timestamp::now(),
            client,
            asked,
            referer: None,
            agent: None,
            status: None,
            bytes: 0,
            duration: Duration::ZERO,
            service: None,
            complete: false,
        }
    }

    /// Adds the line, its end included.
    pub fn write(&self, format: AccessFormat, zone: &TimeZone, out: &mut Vec<u8>) {
        match format {
            AccessFormat::Common => self.common(zone, out),
            AccessFormat::Combined => self.combined(zone, out),
            AccessFormat::Timed => {
                self.combined(zone, out);
                self.times(out);
            }
            AccessFormat::Json => self.json(zone, out),
        }
        out.push(b'\n');
    }

    fn status(&self) -> u16 {
        self.status.unwrap_or(CLIENT_LEFT)
    }

    /// `%h %l %u %t "%r" %>s %b`.
    fn common(&self, zone: &TimeZone, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match self.client {
            Some(client) => write!(out, "{client}"),
            None => write!(out, "-"),
        };
        let time = self.time.to_zoned_datetime(zone.clone());
        let _ = write!(out, " - - [{}] \"", time.strftime("%d/%b/%Y:%H:%M:%S %z"));
        match &self.asked {
            Asked::Request { method, target, version } => {
                escape(method.as_str().as_bytes(), out);
                out.push(b' ');
                escape(target, out);
                let _ = write!(out, " {version:?}");
            }
            Asked::Raw(bytes) if bytes.is_empty() => out.push(b'-'),
            Asked::Raw(bytes) => escape(bytes, out),
        }
        let _ = write!(out, "\" {} ", self.status());
        let _ = match self.bytes {
            0 => write!(out, "-"),
            bytes => write!(out, "{bytes}"),
        };
    }

    /// And `"%{Referer}i" "%{User-Agent}i"`.
    fn combined(&self, zone: &TimeZone, out: &mut Vec<u8>) {
        self.common(zone, out);
        for header in [&self.referer, &self.agent] {
            out.extend_from_slice(b" \"");
            match header {
                Some(value) => escape(value.as_bytes(), out),
                None => out.push(b'-'),
            }
            out.push(b'"');
        }
    }

    /// And microseconds, microseconds in the queue, and the interpreter's number.
    fn times(&self, out: &mut Vec<u8>) {
        let _ = write!(out, " {}", self.duration.as_micros());
        let _ = match &self.service {
            Some(service) => write!(out, " {} {}", service.queued.as_micros(), service.interpreter),
            None => write!(out, " - -"),
        };
    }

    fn json(&self, zone: &TimeZone, out: &mut Vec<u8>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |value: &Option<HeaderValue>| value.as_ref().map(|value| text(value.as_bytes()));
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
            time: self.time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            client: self.client.map(|client| client.to_string()),
            method,
            target,
            protocol,
            request,
            status: self.status(),
            bytes: self.bytes,
            referer: header(&self.referer),
            user_agent: header(&self.agent),
            duration_seconds: seconds(self.duration),
            queue_seconds: self.service.as_ref().map(|service| seconds(service.queued)),
            interpreter: self.service.as_ref().map(|service| service.interpreter),
            complete: self.complete,
        };
        // Plain data into a Vec: nothing of it can fail.
        let _ = serde_json::to_writer(out, &record);
    }
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

    fn line() -> Line {
        Line {
            time: "2026-11-24T19:15:02.5Z".parse().unwrap(),
            client: Some([192, 0, 2, 1].into()),
            asked: Asked::Request {
                method: Method::GET,
                target: Bytes::from_static(b"/a?b"),
                version: Version::HTTP_11,
            },
            referer: Some(HeaderValue::from_static("http://x/\"\\")),
            agent: Some(HeaderValue::from_bytes(b"caf\xe9\t").unwrap()),
            status: Some(200),
            bytes: 13,
            duration: Duration::from_micros(1_234_567),
            service: Some(Service { interpreter: 3, queued: Duration::from_micros(89) }),
            complete: true,
        }
    }

    fn written(line: &Line, format: AccessFormat) -> String {
        let mut out = Vec::new();
        line.write(format, &TimeZone::fixed(jiff::tz::offset(-3)), &mut out);
        String::from_utf8(out).unwrap()
    }

    const COMMON: &str = r#"192.0.2.1 - - [24/Nov/2026:16:15:02 -0300] "GET /a?b HTTP/1.1" 200 13"#;

    #[test]
    fn apaches_formats_have_apaches_fields() {
        assert_eq!(written(&line(), AccessFormat::Common), format!("{COMMON}\n"));
        let combined = format!(r#"{COMMON} "http://x/\"\\" "caf\xe9\t""#);
        assert_eq!(written(&line(), AccessFormat::Combined), format!("{combined}\n"));
        assert_eq!(written(&line(), AccessFormat::Timed), format!("{combined} 1234567 89 3\n"));
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let unknown =
            Line { client: None, asked: Asked::Raw(Bytes::new()), referer: None, agent: None, ..line() };
        let unknown = Line { status: None, bytes: 0, service: None, complete: false, ..unknown };
        let expected = "- - - [24/Nov/2026:16:15:02 -0300] \"-\" 499 - \"-\" \"-\" 1234567 - -\n";
        assert_eq!(written(&unknown, AccessFormat::Timed), expected);
    }

    #[test]
    fn nothing_that_a_client_sends_ends_a_field_or_a_line() {
        let every: Vec<u8> = (0..=255).collect();
        let sly = Line { asked: Asked::Raw(Bytes::from(every)), ..line() };
        let text = written(&sly, AccessFormat::Combined);
        assert!(text.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert!(text.contains(r#"\x00\x01\x02\x03\x04\x05\x06\x07\b\t\n\v\x0c\r\x0e"#), "{text}");
        assert!(
            text.contains(r##" !\"#$%"##) && text.contains(r"[\\]") && text.contains(r"~\x7f\x80"),
            "{text}"
        );
        let text = written(&sly, AccessFormat::Json);
        assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(read["request"].as_str().unwrap().starts_with("\0\u{1}"));
        assert!(read.get("method").is_none());
    }

    #[test]
    fn json_has_a_name_for_each() {
        let read: serde_json::Value = serde_json::from_str(&written(&line(), AccessFormat::Json)).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-24T16:15:02.500-03:00", "client": "192.0.2.1", "method": "GET", "target": "/a?b",
            "protocol": "HTTP/1.1", "status": 200, "bytes": 13, "referer": "http://x/\"\\",
            "user_agent": "caf\u{fffd}\t", "duration_seconds": 1.234567, "queue_seconds": 0.000089,
            "interpreter": 3, "complete": true,
        });
        assert_eq!(read, expected);
    }
}
