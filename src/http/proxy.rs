//! The PROXY protocol's header, versions 1 and 2: HAProxy's proxy-protocol.txt (2020/03/05).
//!
//! A pure function of bytes. Its answer depends on the bytes alone, never on how they were split into reads.
//!
//! The crate `ppp` takes what the specification forbids (a sign before a port) and refuses what it demands (LOCAL
//! without the addresses of its family, UNKNOWN with more words), so the header is read here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr2;

use super::rfc7239::port;
use crate::config::ProxyProtocol;

/// What version 1 begins with (§2.1).
const V1_START: &[u8] = b"PROXY ";

/// Bytes of a version 1 header at most, its CRLF included (§2.1).
const V1_MOST: usize = 107;

/// What version 2 begins with (§2.2).
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a version 2 header before what its length counts (§2.2).
const V2_FIXED: usize = 16;

/// Bytes that a version 2 header's length may count. 16 KiB: addresses take 216, and a client's certificate, the
/// largest thing that proxies add, a few KiB. The protocol's own bound is 64 KiB.
const V2_MOST: usize = 16 * 1024;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a header.
    Partial,
    /// A header of this many bytes, and perhaps more behind it.
    Done(usize, Origin),
    /// No header: the connection is to be aborted.
    Bad(&'static str),
}

/// Where a connection comes from, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From the proxy itself, or the proxy does not know: the real endpoints are used.
    Peer,
    Inet {
        source: SocketAddr,
        destination: SocketAddr,
        transport: Transport,
    },
    Unix(Transport),
}

/// How the client came to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Perhaps over TLS, but the header does not say so.
    Untold,
    Tls,
}

pub(super) fn parse(bytes: &[u8], protocol: ProxyProtocol) -> Parsed {
    match (bytes.first(), protocol) {
        (None, _) => Parsed::Partial,
        (Some(b'P'), ProxyProtocol::V1 | ProxyProtocol::Auto) => v1(bytes),
        (Some(b'\r'), ProxyProtocol::V2 | ProxyProtocol::Auto) => v2(bytes).unwrap_or_else(|parsed| parsed),
        (Some(b'\r'), ProxyProtocol::V1) => Parsed::Bad("no PROXY header of version 1"),
        (Some(b'P'), ProxyProtocol::V2) => Parsed::Bad("no PROXY header of version 2"),
        _ => Parsed::Bad("no PROXY header"),
    }
}

fn v1(bytes: &[u8]) -> Parsed {
    let known = bytes.len().min(V1_START.len());
    if bytes.get(..known) != V1_START.get(..known) {
        return Parsed::Bad("no PROXY header");
    }
    let window = bytes.get(..V1_MOST).unwrap_or(bytes);
    // Neither CR nor LF alone ends a line.
    match memchr2(b'\r', b'\n', window) {
        Some(end) => match window.get(end..) {
            Some([b'\r', b'\n', ..]) => {
                let line = window.get(V1_START.len()..end).unwrap_or_default();
                match v1_origin(line) {
                    Some(origin) => Parsed::Done(end + 2, origin),
                    None => Parsed::Bad("a malformed PROXY header of version 1"),
                }
            }
            Some([b'\r']) if bytes.len() < V1_MOST => Parsed::Partial,
            _ => Parsed::Bad("a PROXY header of version 1 that does not end with CRLF"),
        },
        None if bytes.len() < V1_MOST => Parsed::Partial,
        None => Parsed::Bad("a PROXY header of version 1 that is too long"),
    }
}

/// What stands between `PROXY ` and CRLF.
fn v1_origin(line: &[u8]) -> Option<Origin> {
    if let Some(rest) = line.strip_prefix(b"UNKNOWN") {
        // Whatever follows is to be ignored.
        return matches!(rest, [] | [b' ', ..]).then_some(Origin::Peer);
    }
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let addresses: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => address::<Ipv4Addr>,
        "TCP6" => address::<Ipv6Addr>,
        _ => return None,
    };
    let (source, destination) = (addresses(words.next()?)?, addresses(words.next()?)?);
    let (source_port, destination_port) = (v1_port(words.next()?)?, v1_port(words.next()?)?);
    words.next().is_none().then(|| inet(source, destination, (source_port, destination_port)))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<A>().ok().map(Into::into)
}

fn v1_port(text: &str) -> Option<u16> {
    port(text).filter(|_| text == "0" || !text.starts_with('0'))
}

/// A client that came over IPv4 has an IPv4 address, as everywhere.
fn inet(source: IpAddr, destination: IpAddr, ports: (u16, u16)) -> Origin {
    Origin::Inet {
        source: SocketAddr::new(source.to_canonical(), ports.0),
        destination: SocketAddr::new(destination.to_canonical(), ports.1),
        transport: Transport::Untold,
    }
}

/// What the two halves of version 2's bytes 13 and 14 mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

/// The error is an answer, too: one that needs no more of the header.
fn v2(bytes: &[u8]) -> Result<Parsed, Parsed> {
    let known = bytes.len().min(V2_START.len());
    if bytes.get(..known) != V2_START.get(..known) {
        return Err(Parsed::Bad("no PROXY header"));
    }
    let Some(&[.., command, family, high, low]) = bytes.first_chunk::<V2_FIXED>() else {
        return Err(match bytes.get(V2_START.len()) {
            Some(0x20 | 0x21) | None => Parsed::Partial,
            Some(_) => BAD_COMMAND,
        });
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BAD_COMMAND),
    };
    if length > V2_MOST {
        return Err(Parsed::Bad("a PROXY header of version 2 that is too long"));
    }
    let family = match is_local {
        // To be discarded, the family included.
        true => Family::Unspecified,
        false => v2_family(family).ok_or(Parsed::Bad("a PROXY header of an unknown address family"))?,
    };
    let Some(header) = bytes.get(..V2_FIXED + length) else { return Err(Parsed::Partial) };
    let origin = v2_origin(header, family)?;
    Ok(Parsed::Done(header.len(), origin))
}

const BAD_COMMAND: Parsed = Parsed::Bad("a PROXY header of another version or with an unknown command");

/// The address family and transport protocol. A protocol other than that of streams does not make an address worse:
/// HTTP/3 comes to a proxy by datagrams.
fn v2_family(byte: u8) -> Option<Family> {
    match (byte >> 4, byte & 0x0f) {
        (0..=3, 0) | (0, 1 | 2) => Some(Family::Unspecified),
        (1, 1 | 2) => Some(Family::V4),
        (2, 1 | 2) => Some(Family::V6),
        (3, 1 | 2) => Some(Family::Unix),
        _ => None,
    }
}

fn v2_origin(header: &[u8], family: Family) -> Result<Origin, Parsed> {
    let block = header.get(V2_FIXED..).unwrap_or_default();
    let short = || Parsed::Bad("a PROXY header of version 2 without room for its addresses");
    let (mut origin, extensions) = match family {
        Family::Unspecified => return Ok(Origin::Peer),
        Family::V4 => {
            let (addresses, rest) = block.split_first_chunk::<12>().ok_or_else(short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            (inet(Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into(), v2_ports(ports)), rest)
        }
        Family::V6 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or_else(short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let (ports, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            (
                inet(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), v2_ports(*ports)),
                rest,
            )
        }
        // Two paths, of no use to anybody here.
        Family::Unix => (Origin::Unix(Transport::Untold), block.get(216..).ok_or_else(short)?),
    };
    if v2_extensions(header, extensions)? == Transport::Tls {
        match &mut origin {
            Origin::Inet { transport, .. } | Origin::Unix(transport) => *transport = Transport::Tls,
            Origin::Peer => {}
        }
    }
    Ok(origin)
}

fn v2_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// PP2_TYPE_CRC32C and PP2_TYPE_SSL (§2.2.3, §2.2.6), and of the latter the flag PP2_CLIENT_SSL.
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// The type-length-value vectors behind the addresses.
fn v2_extensions(header: &[u8], mut rest: &[u8]) -> Result<Transport, Parsed> {
    const MALFORMED: Parsed = Parsed::Bad("a PROXY header of version 2 with malformed extensions");
    let mut transport = Transport::Untold;
    while !rest.is_empty() {
        let (&[kind, high, low], behind) = rest.split_first_chunk::<3>().ok_or(MALFORMED)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, behind) = behind.split_at_checked(length).ok_or(MALFORMED)?;
        match (kind, value) {
            (CRC32C, &[a, b, c, d]) => {
                // As it was when the sum was made: the field itself zero.
                let (before, after) = (header.len() - behind.len() - value.len(), behind);
                let zeroed = header.iter().take(before).chain(&[0; 4]).chain(after);
                if crc32c(zeroed) != u32::from_be_bytes([a, b, c, d]) {
                    return Err(Parsed::Bad("a PROXY header whose checksum is wrong"));
                }
            }
            (SSL, &[client, _, _, _, _, ..]) if client & CLIENT_SSL != 0 => transport = Transport::Tls,
            (SSL, &[_, _, _, _, _, ..]) => {}
            (CRC32C | SSL, _) => return Err(MALFORMED),
            _ => {}
        }
        rest = behind;
    }
    Ok(transport)
}

/// CRC-32C (RFC 4960 appendix B), bit by bit: it runs once a connection, over some 50 bytes.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    /// Castagnoli's polynomial, its bits in reverse.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shift(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(bytes: &[u8]) -> Parsed {
        parse(bytes, ProxyProtocol::Auto)
    }

    fn origin(source: &str, destination: &str, transport: Transport) -> Origin {
        Origin::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap(), transport }
    }

    /// A version 2 header of these parts.
    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, block].concat()
    }

    const BLOCK_V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];

    fn block_v6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let destination: Ipv6Addr = "2001:db8::2".parse().unwrap();
        [&source.octets()[..], &destination.octets(), &[0x12, 0x34, 0x01, 0xbb]].concat()
    }

    fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
    }

    /// Each header here, with what it says.
    fn headers() -> Vec<(Vec<u8>, Origin)> {
        let v4 = |transport| origin("192.0.2.1:4660", "198.51.100.2:443", transport);
        let v6 = |transport| origin("[2001:db8::1]:4660", "[2001:db8::2]:443", transport);
        let ssl = |flags| extension(SSL, &[&[flags, 0, 0, 0, 0][..], &extension(0x21, b"TLSv1.3")].concat());
        let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n".to_vec(), v4(Transport::Untold)),
            (b"PROXY TCP6 2001:db8::1 2001:DB8::2 4660 443\r\n".to_vec(), v6(Transport::Untold)),
            (
                format!("PROXY TCP6 {full} {full} 65535 65535\r\n").into_bytes(),
                origin(&format!("[{full}]:65535"), &format!("[{full}]:65535"), Transport::Untold),
            ),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 4660 443\r\n".to_vec(), v4(Transport::Untold)),
            (
                b"PROXY TCP4 0.0.0.0 255.255.255.255 0 1\r\n".to_vec(),
                origin("0.0.0.0:0", "255.255.255.255:1", Transport::Untold),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Origin::Peer),
            (format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n").into_bytes(), Origin::Peer),
            (b"PROXY UNKNOWN \xff\0 what ever\r\n".to_vec(), Origin::Peer),
            (binary(0x21, 0x11, BLOCK_V4), v4(Transport::Untold)),
            (binary(0x21, 0x12, BLOCK_V4), v4(Transport::Untold)),
            (binary(0x21, 0x21, &block_v6()), v6(Transport::Untold)),
            (binary(0x21, 0x31, &[b'/'; 216]), Origin::Unix(Transport::Untold)),
            (binary(0x21, 0x31, &[&[b'/'; 216][..], &ssl(1)].concat()), Origin::Unix(Transport::Tls)),
            // No address, or none that counts.
            (binary(0x20, 0x00, b""), Origin::Peer),
            (binary(0x20, 0x11, BLOCK_V4), Origin::Peer),
            (binary(0x20, 0x11, b"x"), Origin::Peer),
            (binary(0x20, 0xff, b"anything"), Origin::Peer),
            (binary(0x21, 0x00, b"anything"), Origin::Peer),
            (binary(0x21, 0x10, BLOCK_V4), Origin::Peer),
            // Extensions.
            (binary(0x21, 0x11, &[BLOCK_V4, &ssl(1)].concat()), v4(Transport::Tls)),
            (binary(0x21, 0x11, &[BLOCK_V4, &ssl(7)].concat()), v4(Transport::Tls)),
            (binary(0x21, 0x11, &[BLOCK_V4, &ssl(6)].concat()), v4(Transport::Untold)),
            (
                binary(
                    0x21,
                    0x21,
                    &[&block_v6()[..], &extension(0x04, b""), &extension(0xe0, &[7; 999])].concat(),
                ),
                v6(Transport::Untold),
            ),
            (summed(&extension(0x02, b"example.org"), b""), v4(Transport::Untold)),
            (summed(b"", &ssl(1)), v4(Transport::Tls)),
        ]
    }

    /// A header with a checksum between these extensions.
    fn summed(before: &[u8], after: &[u8]) -> Vec<u8> {
        let made = |sum: u32| {
            let sum = extension(CRC32C, &sum.to_be_bytes());
            binary(0x21, 0x11, &[BLOCK_V4, before, &sum, after].concat())
        };
        made(crc32c(made(0).iter()))
    }

    #[test]
    fn a_header_says_where_a_connection_comes_from() {
        for (header, expected) in headers() {
            let length = header.len();
            assert_eq!(auto(&header), Parsed::Done(length, expected), "{header:?}");
            let with_request = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(auto(&with_request), Parsed::Done(length, expected), "{header:?}");
        }
    }

    #[test]
    fn a_header_is_partial_until_its_last_byte() {
        for (header, _) in headers() {
            for length in 0..header.len() {
                assert_eq!(auto(&header[..length]), Parsed::Partial, "{length} of {header:?}");
            }
        }
    }

    #[test]
    fn each_version_is_taken_only_where_it_is_meant() {
        for (header, expected) in headers() {
            let (own, other) = match header.first() {
                Some(b'P') => (ProxyProtocol::V1, ProxyProtocol::V2),
                _ => (ProxyProtocol::V2, ProxyProtocol::V1),
            };
            assert_eq!(parse(&header, own), Parsed::Done(header.len(), expected));
            for length in 1..=header.len() {
                assert!(matches!(parse(&header[..length], other), Parsed::Bad(_)), "{header:?}");
            }
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_bad_and_stays_so() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let wrong_sum = {
            let mut header = summed(b"", b"");
            *header.last_mut().unwrap() ^= 1;
            header
        };
        let mut other_signature = binary(0x21, 0x11, BLOCK_V4);
        other_signature[5] = b'x';
        let cut = |block: &[u8]| binary(0x21, 0x11, &[BLOCK_V4, block].concat());
        let table: Vec<Vec<u8>> = [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROPFIND / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"\r\nGET / HTTP/1.1\r\n",
            b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2\t1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\n2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 00 2\r\n",
            b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
            b"PROXY TCP6 [::1] ::1 1 2\r\n",
            b"PROXY TCP6 ::1 1::2::3 1 2\r\n",
            b"PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY unknown\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY UNKNOWN a\nb\r\n",
            b"PROXY \r\n",
            b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n",
            long.as_bytes(),
            &other_signature,
            &binary(0x11, 0x11, BLOCK_V4),
            &binary(0x31, 0x11, BLOCK_V4),
            &binary(0x22, 0x11, BLOCK_V4),
            &binary(0x21, 0x41, BLOCK_V4),
            &binary(0x21, 0x13, BLOCK_V4),
            &binary(0x21, 0x11, &BLOCK_V4[..11]),
            &binary(0x21, 0x21, &block_v6()[..35]),
            &binary(0x21, 0x31, &[b'/'; 215]),
            &binary(0x20, 0x00, &vec![0; V2_MOST + 1]),
            &cut(&[4]),
            &cut(&[4, 0]),
            &cut(&[4, 0, 1]),
            &cut(&[4, 0xff, 0xff, 0]),
            &cut(&extension(SSL, &[1, 0, 0, 0])),
            &cut(&extension(CRC32C, &[0; 3])),
            &cut(&extension(CRC32C, &[0; 4])),
            &wrong_sum,
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        for bad in table {
            assert!(matches!(auto(&bad), Parsed::Bad(_)), "{:?}", String::from_utf8_lossy(&bad));
            let first = (0..=bad.len()).find(|&length| auto(&bad[..length]) != Parsed::Partial);
            for length in first.unwrap()..=bad.len() {
                assert!(matches!(auto(&bad[..length]), Parsed::Bad(_)), "{length} of {bad:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told_at_its_first_wrong_byte() {
        for (bytes, partial) in [(&b"GET"[..], 0), (b"POST /", 1), (b"PROPFIND", 3), (b"\r\nG", 2)] {
            for length in 0..=bytes.len() {
                let is_partial = auto(&bytes[..length]) == Parsed::Partial;
                assert_eq!(is_partial, length <= partial, "{length} of {bytes:?}");
            }
        }
    }

    #[test]
    fn the_longest_lines_and_blocks_are_taken() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), V1_MOST);
        assert_eq!(auto(longest.as_bytes()), Parsed::Done(V1_MOST, Origin::Peer));
        assert_eq!(auto(&longest.as_bytes()[..V1_MOST - 1]), Parsed::Partial);
        let block = [BLOCK_V4, &extension(0xe1, &vec![1; V2_MOST - 15])].concat();
        assert_eq!(block.len(), V2_MOST);
        assert!(matches!(auto(&binary(0x21, 0x11, &block)), Parsed::Done(_, Origin::Inet { .. })));
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        // Its appendix B.4, and the check value of the CRC catalogues.
        for (bytes, expected) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&(0..32).collect::<Vec<u8>>(), 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c(bytes.iter()), expected);
        }
    }

    #[test]
    fn no_byte_that_is_changed_makes_it_panic_or_read_beyond_its_end() {
        for (header, _) in headers() {
            for at in 0..header.len().min(64) {
                for byte in 0..=255 {
                    let mut changed = header.clone();
                    changed[at] = byte;
                    if let Parsed::Done(length, _) = auto(&changed) {
                        assert!(length <= changed.len());
                    }
                }
            }
        }
    }
}
