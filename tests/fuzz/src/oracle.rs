//! Requests as RFC 9112 has them, read from a stream that is there as a whole.
//!
//! Written from the RFCs and from what docs/design.md and the limits promise on top, not from the server's source.
//! It is slow and allocates at will: its one virtue is that each rule can be read off a line.

mod chunks;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use chaussette::http::Limits;

/// What a stream says.
#[derive(Debug)]
pub struct Reading {
    /// Requests whose heads are good, in order. All but perhaps the last one are whole.
    pub requests: Vec<Request>,
    pub end: End,
    /// Where the head begins that is bad or does not end.
    pub rest: usize,
}

/// Why the reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing is left.
    Clean,
    /// The stream ends in a head.
    InHead,
    /// The stream ends in the last request's body.
    InBody,
    /// A head that is not to be served.
    BadHead(&'static str),
    /// The last request's chunks are malformed.
    BadBody(&'static str),
}

#[derive(Debug)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub is_1_0: bool,
    /// As sent, in order, without the white space around values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub framing: Framing,
    /// Decoded; of a broken one, what came of it.
    pub body: Vec<u8>,
    /// Positions in the stream. `end` is where the good part of the body ends.
    pub start: usize,
    pub body_start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Why a message cannot be read further.
enum Stop {
    /// The stream ends first.
    Short,
    Bad(&'static str),
}

/// Empty lines before a request that are ignored.
const MAX_EMPTY_LINES: usize = 10;

/// Reads all requests of a stream.
pub fn read(stream: &[u8], limits: &Limits) -> Reading {
    let mut requests = Vec::new();
    let mut at = 0;
    loop {
        // RFC 9112 §2.2: empty lines before a request line are ignored, some.
        let mut empty = 0;
        while stream[at..].starts_with(b"\r\n") && empty < MAX_EMPTY_LINES {
            at += 2;
            empty += 1;
        }
        if at == stream.len() {
            return Reading { requests, end: End::Clean, rest: at };
        }
        let mut request = match head(stream, at, limits) {
            Ok(request) => request,
            Err(Stop::Short) => return Reading { requests, end: End::InHead, rest: at },
            Err(Stop::Bad(why)) => return Reading { requests, end: End::BadHead(why), rest: at },
        };
        let body = body(stream, &mut request, limits);
        at = request.end;
        requests.push(request);
        match body {
            Ok(()) => {}
            Err(Stop::Short) => return Reading { requests, end: End::InBody, rest: at },
            Err(Stop::Bad(why)) => return Reading { requests, end: End::BadBody(why), rest: at },
        }
    }
}

impl Request {
    /// The values of one header, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(given, _): &&(Vec<u8>, Vec<u8>)| given.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(named).map(|(_, value)| &value[..])
    }

    /// Headers by lower-case name.
    pub fn by_name(&self) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in &self.headers {
            all.entry(name.to_ascii_lowercase()).or_default().push(value.clone());
        }
        all
    }

    /// RFC 9112 §9.3: whether another request may follow.
    pub fn persists(&self) -> bool {
        let has = |option: &str| {
            // Lines with anything but visible ASCII are not understood.
            let lines = self.values("connection").filter(|line| line.is_ascii());
            let mut options = lines.flat_map(|line| line.split(|byte| *byte == b','));
            options.any(|given| given.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
        };
        !has("close") && (!self.is_1_0 || has("keep-alive"))
    }

    /// RFC 9112 §3.2.2: of an absolute form, authority and the rest.
    pub fn absolute(&self) -> Option<(&[u8], &[u8])> {
        let scheme = ["http://", "https://"].into_iter().find(|scheme| {
            self.target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        })?;
        let rest = &self.target[scheme.len()..];
        Some(rest.split_at(rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len())))
    }

    /// Path and query of the target. A fragment is none of a server's business.
    pub fn path_and_query(&self) -> (Vec<u8>, Vec<u8>) {
        let target = self.absolute().map_or(&self.target[..], |(_, rest)| rest);
        let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
        let (path, query) =
            target.split_at(target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()));
        let path = if path.is_empty() { b"/" } else { path };
        (path.to_vec(), query.strip_prefix(b"?").unwrap_or_default().to_vec())
    }
}

// ---- heads

fn head(stream: &[u8], start: usize, limits: &Limits) -> Result<Request, Stop> {
    let mut at = start;
    // TLS and the like are refused by their first byte; what could become an empty line is waited for.
    if !is_token(stream[start]) && stream[start] != b'\r' {
        return Err(Stop::Bad("not HTTP"));
    }
    let line = head_line(stream, start, &mut at, limits)?;
    let mut request = request_line(line).ok_or(Stop::Bad("request line"))?;
    request.start = start;
    loop {
        let line = head_line(stream, start, &mut at, limits)?;
        if line.is_empty() {
            break;
        }
        if request.headers.len() == limits.max_headers {
            return Err(Stop::Bad("too many headers"));
        }
        let (name, value) = header(line).ok_or(Stop::Bad("header line"))?;
        request.headers.push((name.to_vec(), value.to_vec()));
        let values: Vec<_> = request.values("host").collect();
        if values.len() > 1 || values.iter().any(|host| !is_host(host)) {
            return Err(Stop::Bad("host"));
        }
        let values: Vec<_> = request.values("content-length").collect();
        if values.len() > 1 || values.iter().any(|length| length_of(length).is_none()) {
            return Err(Stop::Bad("content-length"));
        }
        if request.values("content-type").count() > 1 {
            return Err(Stop::Bad("content-type"));
        }
    }
    if !request.is_1_0 && request.values("host").count() != 1 {
        return Err(Stop::Bad("no host"));
    }
    request.framing = framing(&request)?;
    (request.body_start, request.end) = (at, at);
    Ok(request)
}

/// A line of a head that begins at `start`, without its CRLF.
fn head_line<'a>(stream: &'a [u8], start: usize, at: &mut usize, limits: &Limits) -> Result<&'a [u8], Stop> {
    let rest = &stream[*at..];
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        let is_over = stream.len() - start > limits.max_header_size;
        return Err(if is_over { Stop::Bad("head too large") } else { Stop::Short });
    };
    *at += end + 1;
    if *at - start > limits.max_header_size {
        return Err(Stop::Bad("head too large"));
    }
    rest[..end].strip_suffix(b"\r").ok_or(Stop::Bad("bare LF"))
}

fn request_line(line: &[u8]) -> Option<Request> {
    let parts: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let is_1_0 = match version {
        b"HTTP/1.0" => true,
        // RFC 9110 §2.5: later versions of HTTP/1 are read as the latest one.
        [start @ .., b'1'..=b'9'] if start == b"HTTP/1." => false,
        _ => return None,
    };
    let is_good = !method.is_empty()
        && method.iter().all(|byte| is_token(*byte))
        && method != b"CONNECT"
        && !target.is_empty()
        && target.iter().all(u8::is_ascii_graphic);
    let request = Request {
        method: method.to_vec(),
        target: target.to_vec(),
        is_1_0,
        headers: Vec::new(),
        framing: Framing::None,
        body: Vec::new(),
        start: 0,
        body_start: 0,
        end: 0,
    };
    let form = match (target.first()?, request.absolute()) {
        (b'/', _) => true,
        (b'*', _) => target == b"*" && method == b"OPTIONS",
        (_, Some((authority, _))) => !authority.contains(&b'%') && is_host(authority),
        (_, None) => false,
    };
    (is_good && form).then_some(request)
}

/// RFC 9112 §5: a token, a colon at once, and a value of visible characters, white space and obs-text.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    let value = &value[start..end];
    let is_good = !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    is_good.then_some((name, value))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §7.2, RFC 3986 §3.2.2: a name or an address in brackets, and a port; never empty.
pub fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    let is_name = match name {
        [b'[', inside @ .., b']'] => String::from_utf8_lossy(inside).parse::<Ipv6Addr>().is_ok(),
        _ => {
            let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
            let is_encoded = |at: usize| {
                let digits = name.get(at + 1..at + 3).unwrap_or_default();
                name[at] != b'%' || (digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit))
            };
            !name.is_empty() && name.iter().all(is_allowed) && (0..name.len()).all(is_encoded)
        }
    };
    let port = port.iter().skip_while(|digit| **digit == b'0').copied().collect::<Vec<_>>();
    let number = String::from_utf8_lossy(&port).parse::<u32>();
    is_name
        && (port.is_empty() || port.iter().all(u8::is_ascii_digit) && number.is_ok_and(|port| port < 65_536))
}

fn length_of(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length = is_number.then(|| String::from_utf8_lossy(value).parse().ok()).flatten()?;
    // Two values are beyond what the server counts.
    (length <= u64::MAX - 2).then_some(length)
}

/// RFC 9112 §6.3, without anything that two readers could see in two ways.
fn framing(request: &Request) -> Result<Framing, Stop> {
    let codings: Vec<_> = request.values("transfer-encoding").collect();
    let length = request.values("content-length").next().and_then(length_of);
    match (&codings[..], length) {
        ([], None | Some(0)) => Ok(Framing::None),
        ([], Some(length)) => Ok(Framing::Length(length)),
        _ if request.is_1_0 => Err(Stop::Bad("transfer-encoding in 1.0")),
        (_, Some(_)) => Err(Stop::Bad("content-length and transfer-encoding")),
        ([one], None) if one.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        _ => Err(Stop::Bad("transfer-encoding")),
    }
}

// ---- bodies

fn body(stream: &[u8], request: &mut Request, limits: &Limits) -> Result<(), Stop> {
    match request.framing {
        Framing::None => Ok(()),
        Framing::Length(length) => {
            let rest = &stream[request.end..];
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let here = length.min(rest.len());
            request.body = rest[..here].to_vec();
            request.end += here;
            if here < length { Err(Stop::Short) } else { Ok(()) }
        }
        Framing::Chunked => chunks::read(stream, request, limits),
    }
}
