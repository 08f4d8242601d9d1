//! The chunked transfer coding, RFC 9112 §7.1, read strictly.
//!
//! Owns the position within one chunked body. Decodes nothing: hyper does, once these bytes are approved.

use super::head::{HeadLimits, Then};
use super::refusal::Refusal;
use super::syntax::{header_line, is_token};

/// Bytes of one body's chunk extensions, and of the white space around them. 4 KiB: nobody uses them, so more is an
/// attack. hyper stops at 16 KiB a body.
const MAX_EXTENSIONS: usize = 4 * 1024;

/// Hexadecimal digits of a chunk size, zeros in front included. 64: those are legal, and endless ones an attack.
const MAX_DIGITS: u32 = 64;

/// Bytes of one chunk, at most. 15 digits: more than anybody sends, and with one digit more still no overflow.
const MAX_SIZE: u64 = (1 << 60) - 1;

#[derive(Debug)]
pub(super) struct Chunks {
    limits: HeadLimits,
    stage: Stage,
    extension_bytes: usize,
    /// The trailer line that is being read.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_lines: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Size { digits: u32, size: u64 },
    Space { size: u64 },
    Extension { size: u64, place: Place },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

/// Where in an extension the reader is: RFC 9112 §7.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    AfterValue,
}

impl Chunks {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            stage: Stage::Size { digits: 0, size: 0 },
            extension_bytes: 0,
            line: Vec::new(),
            trailer_bytes: 0,
            trailer_lines: 0,
        }
    }

    /// How many of `bytes` are good, and what follows them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Then) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Stage::Data { left } = self.stage {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.stage = if left == 0 { Stage::DataCr } else { Stage::Data { left } };
                continue;
            }
            match self.step(byte) {
                Ok(Some(stage)) => self.stage = stage,
                Ok(None) => return (at + 1, Then::End),
                Err(why) => return (at, Then::Refused(Refusal::bad_request(why))),
            }
            at += 1;
        }
        (at, Then::More)
    }

    /// The next stage after one byte; `None` at the end of the body.
    fn step(&mut self, byte: u8) -> Result<Option<Stage>, &'static str> {
        let next = match (self.stage, byte) {
            (Stage::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                let size = (size << 4) | u64::from(hex(byte));
                if digits == MAX_DIGITS || size > MAX_SIZE {
                    return Err("a chunk size is too large");
                }
                Stage::Size { digits: digits + 1, size }
            }
            (Stage::Size { digits: 1.., size }, b'\r') => Stage::SizeLf { size },
            (Stage::Size { digits: 1.., size } | Stage::Space { size }, b';') => {
                self.extends(Stage::Extension { size, place: Place::BeforeName })?
            }
            // RFC 9110 §5.6.3: bad white space, which only an extension may follow.
            (Stage::Size { digits: 1.., size } | Stage::Space { size }, b' ' | b'\t') => {
                self.extends(Stage::Space { size })?
            }
            (Stage::Size { .. } | Stage::Space { .. }, _) => return Err("a chunk size is malformed"),
            (Stage::Extension { size, place }, _) => match extension(place, byte)? {
                Some(place) => self.extends(Stage::Extension { size, place })?,
                None => Stage::SizeLf { size },
            },
            (Stage::SizeLf { size: 0 }, b'\n') => Stage::Trailer,
            (Stage::SizeLf { size }, b'\n') => Stage::Data { left: size },
            (Stage::DataCr, b'\r') => Stage::DataLf,
            (Stage::DataLf, b'\n') => Stage::Size { digits: 0, size: 0 },
            (Stage::Trailer, b'\r') => Stage::TrailerLf,
            (Stage::Trailer, _) => self.trailer_byte(byte)?,
            (Stage::TrailerLf, b'\n') if self.line.is_empty() => return Ok(None),
            (Stage::TrailerLf, b'\n') => self.trailer_line()?,
            _ => return Err("a chunk is malformed"),
        };
        Ok(Some(next))
    }

    /// One byte more of extensions.
    fn extends(&mut self, next: Stage) -> Result<Stage, &'static str> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSIONS {
            return Err("the chunk extensions are too large");
        }
        Ok(next)
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<Stage, &'static str> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.limits.size {
            return Err("the trailers are larger than --max-header-size");
        }
        if byte == b'\n' {
            return Err("a line ends with a bare LF");
        }
        self.line.push(byte);
        Ok(Stage::Trailer)
    }

    fn trailer_line(&mut self) -> Result<Stage, &'static str> {
        self.trailer_lines += 1;
        if self.trailer_lines > self.limits.count {
            return Err("there are more trailers than --max-headers");
        }
        let (name, _) = header_line(&self.line).map_err(|refusal| refusal.why)?;
        // RFC 9110 §6.5.1: these decide framing or routing, so they cannot come late.
        let late: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
        if late.into_iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
            return Err("a trailer may not carry framing or routing");
        }
        self.line.clear();
        Ok(Stage::Trailer)
    }
}

/// RFC 9112 §7.1.1: `;`, a name, perhaps `=` and a value. Ignored, but no place to hide anything. Nothing at its end.
fn extension(place: Place, byte: u8) -> Result<Option<Place>, &'static str> {
    use Place::{AfterName, AfterQuoted, AfterValue, BeforeName, BeforeValue, Escaped, Name, Quoted, Value};
    Ok(Some(match (place, byte) {
        (Name | Value | AfterQuoted, b'\r') => return Ok(None),
        (Quoted, b'"') => AfterQuoted,
        (Quoted, b'\\') => Escaped,
        (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
        (BeforeName | BeforeValue | AfterName | AfterValue, b' ' | b'\t') => place,
        (Name, b' ' | b'\t') => AfterName,
        (Value | AfterQuoted, b' ' | b'\t') => AfterValue,
        (Name | AfterName | Value | AfterQuoted | AfterValue, b';') => BeforeName,
        (Name | AfterName, b'=') => BeforeValue,
        (BeforeValue, b'"') => Quoted,
        (BeforeName | Name, _) if is_token(byte) => Name,
        (BeforeValue | Value, _) if is_token(byte) => Value,
        _ => return Err("a chunk extension is malformed"),
    }))
}

/// The value of a hexadecimal digit.
fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A') + 10,
    }
}
