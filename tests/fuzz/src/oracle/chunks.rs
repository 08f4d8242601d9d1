//! The chunked transfer coding as RFC 9112 §7.1 has it, for [`super`].

use chaussette::http::Limits;

use super::{Request, Stop, header, is_token};

/// RFC 9112 §7.1.
pub(super) fn read(stream: &[u8], request: &mut Request, limits: &Limits) -> Result<(), Stop> {
    let mut at = request.end;
    let mut extensions = 0;
    loop {
        let size = chunk_size(stream, &mut at, &mut extensions)?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let here = size.min(stream.len() - at);
        request.body.extend_from_slice(&stream[at..at + here]);
        at += here;
        if here < size {
            return Err(Stop::Short);
        }
        expect(stream, &mut at, b'\r')?;
        expect(stream, &mut at, b'\n')?;
    }
    let mut trailer_bytes = 0;
    let mut trailers = 0;
    loop {
        let line = trailer_line(stream, &mut at, &mut trailer_bytes, limits)?;
        if line.is_empty() {
            request.end = at;
            return Ok(());
        }
        trailers += 1;
        let (name, _) = header(line).ok_or(Stop::Bad("trailer"))?;
        let late = ["content-length", "transfer-encoding", "host"];
        if trailers > limits.max_headers || late.iter().any(|late| name.eq_ignore_ascii_case(late.as_bytes()))
        {
            return Err(Stop::Bad("trailer"));
        }
    }
}

/// Bytes of one body's chunk extensions that are taken.
const MAX_EXTENSIONS: usize = 4096;

fn chunk_size(stream: &[u8], at: &mut usize, extensions: &mut usize) -> Result<u64, Stop> {
    let rest = &stream[*at..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let zeros = rest.iter().take_while(|byte| **byte == b'0').count();
    if digits > 64 || digits - zeros.min(digits) > 15 {
        return Err(Stop::Bad("chunk size"));
    }
    *at += digits;
    match rest.get(digits) {
        None => return Err(Stop::Short),
        Some(_) if digits == 0 => return Err(Stop::Bad("chunk size")),
        Some(_) => {}
    }
    extension(stream, at, extensions)?;
    expect(stream, at, b'\r')?;
    expect(stream, at, b'\n')?;
    let text = String::from_utf8_lossy(&rest[zeros..digits]);
    Ok(if text.is_empty() { 0 } else { u64::from_str_radix(&text, 16).expect("15 digits") })
}

/// RFC 9112 §7.1.1: `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, and then no more white space.
fn extension(stream: &[u8], at: &mut usize, bytes: &mut usize) -> Result<(), Stop> {
    let mut scanner = Scanner { stream, at, bytes };
    if scanner.peek()? == b'\r' {
        return Ok(());
    }
    loop {
        // Nothing but an extension may come now: the line did not end.
        scanner.blanks()?;
        scanner.one(|byte| byte == b';')?;
        scanner.blanks()?;
        scanner.word()?;
        if scanner.peek()? == b'\r' {
            return Ok(());
        }
        scanner.blanks()?;
        if scanner.peek()? == b'=' {
            scanner.one(|_| true)?;
            scanner.blanks()?;
            if scanner.peek()? == b'"' {
                scanner.quoted()?
            } else {
                scanner.word()?
            }
            if scanner.peek()? == b'\r' {
                return Ok(());
            }
        }
    }
}

/// Reads extensions, byte by byte, as many as are taken.
struct Scanner<'a> {
    stream: &'a [u8],
    at: &'a mut usize,
    bytes: &'a mut usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, Stop> {
        self.stream.get(*self.at).copied().ok_or(Stop::Short)
    }

    fn one(&mut self, is_right: impl Fn(u8) -> bool) -> Result<(), Stop> {
        if !is_right(self.peek()?) {
            return Err(Stop::Bad("chunk extension"));
        }
        *self.at += 1;
        *self.bytes += 1;
        if *self.bytes > MAX_EXTENSIONS { Err(Stop::Bad("chunk extensions too large")) } else { Ok(()) }
    }

    fn blanks(&mut self) -> Result<(), Stop> {
        while b" \t".contains(&self.peek()?) {
            self.one(|_| true)?;
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Stop> {
        self.one(is_token)?;
        while is_token(self.peek()?) {
            self.one(|_| true)?;
        }
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), Stop> {
        self.one(|byte| byte == b'"')?;
        loop {
            match self.peek()? {
                b'"' => return self.one(|_| true),
                b'\\' => {
                    self.one(|_| true)?;
                    self.one(|byte| byte == b'\t' || !byte.is_ascii_control())?;
                }
                _ => self.one(|byte| byte == b'\t' || !byte.is_ascii_control())?,
            }
        }
    }
}

/// A trailer line without its CRLF. No more of them is looked at than the limits allow.
fn trailer_line<'a>(
    stream: &'a [u8],
    at: &mut usize,
    bytes: &mut usize,
    limits: &Limits,
) -> Result<&'a [u8], Stop> {
    let start = *at;
    for (length, byte) in stream[start..].iter().enumerate() {
        match byte {
            b'\r' => {
                *at = start + length + 1;
                expect(stream, at, b'\n')?;
                return Ok(&stream[start..start + length]);
            }
            b'\n' => return Err(Stop::Bad("bare LF")),
            _ => *bytes += 1,
        }
        if *bytes > limits.max_header_size {
            return Err(Stop::Bad("trailers too large"));
        }
    }
    Err(Stop::Short)
}

fn expect(stream: &[u8], at: &mut usize, wanted: u8) -> Result<(), Stop> {
    match stream.get(*at) {
        None => Err(Stop::Short),
        Some(byte) if *byte == wanted => {
            *at += 1;
            Ok(())
        }
        Some(_) => Err(Stop::Bad("chunk")),
    }
}
