//! Responses as a client reads them that forgives nothing: RFC 9112 §4 to §7, from all that came on a connection.

/// What was asked, as far as the answer's framing depends on it (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Head,
    Other,
}

#[derive(Debug)]
pub struct Response {
    pub is_1_0: bool,
    pub status: u16,
    pub reason: Vec<u8>,
    /// Names in lower case, values without the white space around them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Names of headers as they were written.
    pub names: Vec<Vec<u8>>,
    pub body: Vec<u8>,
    pub framing: Framing,
    /// What ends it has come. Of a body that lasts as long as the connection nobody can tell.
    pub is_whole: bool,
    /// 100 Continue that came before.
    pub continues: usize,
    /// Headers of 103 Early Hints that came before.
    pub hints: Vec<Vec<(String, Vec<u8>)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    Close,
}

impl Response {
    /// The value of a header that comes at most once.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        value.map(|(_, value)| &value[..])
    }

    /// RFC 9112 §9.3: whether the server promises to read another request.
    pub fn persists(&self) -> bool {
        let option = self.header("connection").map(<[u8]>::to_ascii_lowercase);
        let persists = match option.as_deref() {
            None => !self.is_1_0,
            Some(b"close") => false,
            Some(b"keep-alive") => true,
            Some(_) => panic!("odd Connection: {self:?}"),
        };
        persists && self.is_whole && self.framing != Framing::Close
    }
}

/// Reads the answers to `asked`, in order. Panics where a client would have to guess, and at anything behind the
/// last answer, or behind one that ends the connection.
pub fn read(bytes: &[u8], asked: &[Asked]) -> Vec<Response> {
    let mut rest = bytes;
    let mut responses: Vec<Response> = Vec::new();
    for asked in asked {
        if rest.is_empty() {
            break;
        }
        let (response, more) = one(rest, *asked);
        rest = more;
        let goes_on = response.persists();
        responses.push(response);
        if !goes_on {
            break;
        }
    }
    assert!(rest.is_empty(), "bytes behind the last answer: {}", rest.escape_ascii());
    responses
}

fn one(bytes: &[u8], asked: Asked) -> (Response, &[u8]) {
    let mut continues = 0;
    let mut hints = Vec::new();
    let mut rest = bytes;
    loop {
        let (mut response, more) = head(rest);
        assert!(!response.is_1_0 || response.status >= 200, "an interim response of HTTP/1.0: {response:?}");
        match response.status {
            100 => {
                assert!(response.headers.is_empty(), "odd interim response: {response:?}");
                continues += 1;
            }
            103 => hints.push(std::mem::take(&mut response.headers)),
            101..200 => panic!("an interim response that was not asked for: {response:?}"),
            _ => {
                (response.continues, response.hints) = (continues, hints);
                response.framing = framing(&response, asked);
                let rest = body(&mut response, more);
                return (response, rest);
            }
        }
        rest = more;
        if rest.is_empty() {
            // Nothing final came.
            (response.continues, response.hints) = (continues, hints);
            response.is_whole = false;
            return (response, rest);
        }
    }
}

/// RFC 9112 §4.
fn head(bytes: &[u8]) -> (Response, &[u8]) {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        panic!("a head that does not end: {}", bytes.escape_ascii());
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let text = head.escape_ascii();
    let mut lines = Vec::new();
    let mut left = head;
    while let Some(at) = left.windows(2).position(|window| window == b"\r\n") {
        lines.push(&left[..at]);
        left = &left[at + 2..];
    }
    lines.push(left);
    for line in &lines {
        let is_clean = line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        assert!(is_clean, "a control character in a head: {text}");
    }
    let status_line = lines[0];
    let is_1_0 = match status_line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => panic!("a bad status line: {text}"),
    };
    assert!(status_line.len() >= 13 && status_line[12] == b' ', "a bad status line: {text}");
    let digits = &status_line[9..12];
    assert!(digits.iter().all(u8::is_ascii_digit), "a bad status: {text}");
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    let header = |line: &&[u8]| {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or_else(|| panic!("a header without colon: {text}")));
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        assert!(!name.is_empty() && name.iter().all(is_token), "a bad header name: {text}");
        (String::from_utf8_lossy(name).to_ascii_lowercase(), trimmed(&value[1..]).to_vec())
    };
    let response = Response {
        is_1_0,
        status,
        reason: status_line[13..].to_vec(),
        headers: lines[1..].iter().map(header).collect(),
        names: lines[1..]
            .iter()
            .filter_map(|line| Some(line.split(|b| *b == b':').next()?.to_vec()))
            .collect(),
        body: Vec::new(),
        framing: Framing::None,
        is_whole: true,
        continues: 0,
        hints: Vec::new(),
    };
    (response, rest)
}

/// Without optional white space (RFC 9110 §5.5).
pub fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// RFC 9112 §6.3, for responses.
fn framing(response: &Response, asked: Asked) -> Framing {
    let coding = response.header("transfer-encoding");
    let length = response.header("content-length").map(|digits| {
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        assert!(is_number, "a bad Content-Length: {response:?}");
        String::from_utf8_lossy(digits).parse().unwrap_or(usize::MAX)
    });
    assert!(coding.is_none() || length.is_none(), "both lengths: {response:?}");
    // RFC 9112 §6.1, RFC 9110 §8.6.
    let may_have_neither = response.status == 204;
    assert!(!may_have_neither || (coding.is_none() && length.is_none()), "204 with a length: {response:?}");
    if asked == Asked::Head || matches!(response.status, 204 | 304) {
        return Framing::None;
    }
    match (coding, length) {
        (Some(coding), _) => {
            assert!(coding == b"chunked" && !response.is_1_0, "a bad transfer coding: {response:?}");
            Framing::Chunked
        }
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Close,
    }
}

fn body<'a>(response: &mut Response, bytes: &'a [u8]) -> &'a [u8] {
    match response.framing {
        Framing::None => bytes,
        Framing::Length(length) => {
            let (body, rest) = bytes.split_at(length.min(bytes.len()));
            response.body = body.to_vec();
            response.is_whole = body.len() == length;
            rest
        }
        Framing::Close => {
            response.body = bytes.to_vec();
            &[]
        }
        Framing::Chunked => chunks(response, bytes),
    }
}

/// RFC 9112 §7.1: what a server has no reason to send (extensions, trailers, leading zeros) is not taken.
fn chunks<'a>(response: &mut Response, bytes: &'a [u8]) -> &'a [u8] {
    let mut rest = bytes;
    response.is_whole = false;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let Some(line_end) = rest.get(digits..digits + 2) else { return &[] };
        assert!(digits > 0 && line_end == b"\r\n", "a bad chunk size: {}", rest[..digits + 2].escape_ascii());
        let size =
            usize::from_str_radix(&String::from_utf8_lossy(&rest[..digits]), 16).expect("a chunk size");
        rest = &rest[digits + 2..];
        response.body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(line_end) = rest.get(size..size + 2) else { return &[] };
        assert!(line_end == b"\r\n", "a chunk that does not end: {response:?}");
        rest = &rest[size + 2..];
        if size == 0 {
            response.is_whole = true;
            return rest;
        }
    }
}
