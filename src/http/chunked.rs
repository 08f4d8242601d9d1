//! The chunked transfer coding, RFC 9112 §7.1, read strictly.
//!
//! Owns the position within one chunked body. Decodes nothing: hyper does, once these bytes are approved.

use super::head::{HeadLimits, Then};
use super::refusal::Refusal;
use super::syntax::header_line;

/// Bytes of one body's chunk extensions. 4 KiB: nobody uses them, so more is an attack. hyper stops at 16 KiB a body.
const MAX_EXTENSIONS: usize = 4 * 1024;

/// Hexadecimal digits of a chunk size, so that it fits 64 bits.
const MAX_DIGITS: u32 = 16;

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
    Extension { size: u64, quoted: Quoted },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoted {
    No,
    Yes,
    Escape,
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
                // Leading zeros are legal, and endless ones an attack: they count.
                if digits == MAX_DIGITS {
                    return Err("a chunk size is too large");
                }
                Stage::Size { digits: digits + 1, size: (size << 4) | u64::from(hex(byte)) }
            }
            (Stage::Size { digits: 1.., size }, b'\r') => Stage::SizeLf { size },
            (Stage::Size { digits: 1.., size }, b';') => Stage::Extension { size, quoted: Quoted::No },
            (Stage::Size { .. }, _) => return Err("a chunk size is malformed"),
            (Stage::Extension { size, quoted }, _) => self.extension_byte(size, quoted, byte)?,
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

    /// RFC 9112 §7.1.1. Ignored, but no place to hide a line end or a control character.
    fn extension_byte(&mut self, size: u64, quoted: Quoted, byte: u8) -> Result<Stage, &'static str> {
        let quoted = match (quoted, byte) {
            (Quoted::No, b'\r') => return Ok(Stage::SizeLf { size }),
            (_, 0..=8 | 10..=31 | 127) => return Err("a chunk extension has a control character"),
            (Quoted::No, b'"') | (Quoted::Escape, _) => Quoted::Yes,
            (Quoted::Yes, b'"') | (Quoted::No, _) => Quoted::No,
            (Quoted::Yes, b'\\') => Quoted::Escape,
            (Quoted::Yes, _) => Quoted::Yes,
        };
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSIONS {
            return Err("the chunk extensions are too large");
        }
        Ok(Stage::Extension { size, quoted })
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

/// The value of a hexadecimal digit.
fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A') + 10,
    }
}
