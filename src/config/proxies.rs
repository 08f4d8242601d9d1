//! Which proxies are believed, and in what: the settings, and the reading of a list of them.
//!
//! Owns the rule who is trusted. Knows no header's content: that is `http/forwarded`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Proxies in front of the server. By default none is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Whose word counts.
    pub trusted: Trusted,
    /// In which headers it counts.
    pub headers: ForwardedHeaders,
    /// What becomes of the headers that do not count.
    pub unbelieved: Unbelieved,
    /// Whether connections begin with a PROXY protocol header.
    pub protocol: ProxyProtocol,
}

/// Whose word on a request's origin is believed. By default nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// Proxies by address: whoever connects from there, and each hop there that a trusted proxy names.
    pub networks: Vec<IpNet>,
    /// Whoever connects to a unix socket of ours (`unix`).
    pub unix: bool,
    /// Whoever connects (`*`). It makes no proxy of the addresses in a header: those a client can invent.
    pub every_peer: bool,
}

impl Trusted {
    /// Whether anybody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix && !self.every_peer
    }

    /// Whether the other end of a connection is; without an address it is a unix socket's.
    #[must_use]
    pub fn has_peer(&self, address: Option<IpAddr>) -> bool {
        self.every_peer || address.map_or(self.unix, |address| self.has_address(address))
    }

    /// Whether a proxy of ours has this address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Why a text is no list of peers: the part, and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no address or network: use 10.0.0.1, 10.0.0.0/8, 2001:db8::/32, unix or *, and commas between"
)]
pub struct TrustedError(String);

impl FromStr for Trusted {
    type Err = TrustedError;

    /// Reads `--forwarded-allow-ips`. Nothing is nobody: an unset variable in a start script is safe.
    fn from_str(text: &str) -> Result<Self, TrustedError> {
        let mut trusted = Self::default();
        if text.trim().is_empty() {
            return Ok(trusted);
        }
        for part in text.split(',').map(str::trim) {
            match part {
                "unix" => trusted.unix = true,
                "*" => trusted.every_peer = true,
                part => trusted.networks.push(network(part).ok_or_else(|| TrustedError(part.to_owned()))?),
            }
        }
        Ok(trusted)
    }
}

/// An address, or a network in which host bits are as good as unset.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()))?.trunc();
    // Peers are compared by their canonical addresses, in which ::ffff:10.0.0.1 is 10.0.0.1.
    Some(match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= MAPPED_BITS => match mapped.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, mapped.prefix_len() - MAPPED_BITS).ok()?.into(),
            None => network,
        },
        _ => network,
    })
}

/// Bits of the prefix of IPv4-mapped addresses, `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A header in which proxies say whom a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    For,
    /// `X-Forwarded-Proto`.
    Proto,
    /// `X-Forwarded-Host`.
    Host,
    /// `X-Forwarded-Port`.
    Port,
    /// `X-Forwarded-Prefix`.
    Prefix,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::For, Self::Proto, Self::Host, Self::Port, Self::Prefix, Self::Forwarded];

    /// The header's name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::For => "x-forwarded-for",
            Self::Proto => "x-forwarded-proto",
            Self::Host => "x-forwarded-host",
            Self::Port => "x-forwarded-port",
            Self::Prefix => "x-forwarded-prefix",
            Self::Forwarded => "forwarded",
        }
    }
}

/// The headers that are believed. By default all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedHeaders(pub Vec<ForwardedHeader>);

impl Default for ForwardedHeaders {
    fn default() -> Self {
        Self(ForwardedHeader::ALL.to_vec())
    }
}

impl ForwardedHeaders {
    /// Whether this one is.
    #[must_use]
    pub fn has(&self, header: ForwardedHeader) -> bool {
        self.0.contains(&header)
    }
}

/// Why a text is no list of headers: the part, and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is none of x-forwarded-for, -proto, -host, -port, -prefix and forwarded: name some, with commas between"
)]
pub struct HeadersError(String);

impl FromStr for ForwardedHeaders {
    type Err = HeadersError;

    /// Reads `--forwarded-headers`.
    fn from_str(text: &str) -> Result<Self, HeadersError> {
        let named = |part: &str| {
            let header = ForwardedHeader::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(part));
            header.ok_or_else(|| HeadersError(part.to_owned()))
        };
        text.split(',').map(|part| named(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// What becomes of a forwarded header that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unbelieved {
    /// The application sees it as any other header.
    #[default]
    Kept,
    /// The application does not see it.
    Removed,
}

/// `--proxy-protocol`: HAProxy's proxy-protocol.txt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// Connections begin with a request.
    #[default]
    Off,
    /// Each begins with a header of either version.
    Auto,
    /// Each begins with a line of text.
    V1,
    /// Each begins with a binary header.
    V2,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(text: &str) -> Trusted {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_address_is_trusted_by_itself_or_by_its_network() {
        let table = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            // Host bits are as good as unset.
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
            ("::/0", "10.0.0.1", false),
            // An IPv4 peer of a dual-stack socket, either way round.
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1", true),
            (" 192.0.2.1 , 10.0.0.0/8 ", "10.0.0.1", true),
        ];
        for (list, address, expected) in table {
            let address: IpAddr = address.parse().unwrap();
            let trusted = trusted(list);
            assert_eq!(trusted.has_address(address), expected, "{list} {address}");
            assert_eq!(trusted.has_peer(Some(address)), expected, "{list} {address}");
            assert!(!trusted.has_peer(None), "{list}");
        }
    }

    #[test]
    fn unix_and_the_asterisk_speak_of_peers_only() {
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        assert!(trusted("unix").has_peer(None));
        assert!(!trusted("unix").has_peer(Some(address)));
        assert!(trusted("*").has_peer(None));
        assert!(trusted("*").has_peer(Some(address)));
        assert!(!trusted("*").has_address(address));
        assert!(!trusted("*").is_empty() && !trusted("unix").is_empty());
    }

    #[test]
    fn nothing_is_nobody() {
        assert_eq!(trusted(""), Trusted::default());
        assert_eq!(trusted(" "), Trusted::default());
        assert!(trusted("").is_empty());
    }

    #[test]
    fn what_is_no_list_of_peers_is_refused_by_its_part() {
        for (list, part) in [
            ("10.0.0.1,", ""),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8,localhost", "localhost"),
            ("10.0.0.*", "10.0.0.*"),
            ("10.0.0", "10.0.0"),
            ("010.0.0.1", "010.0.0.1"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"),
            ("UNIX", "UNIX"),
        ] {
            assert_eq!(list.parse::<Trusted>(), Err(TrustedError(part.to_owned())), "{list}");
        }
    }

    #[test]
    fn headers_are_named_in_any_case() {
        let named: ForwardedHeaders = "X-Forwarded-For, forwarded".parse().unwrap();
        assert!(named.has(ForwardedHeader::For) && named.has(ForwardedHeader::Forwarded));
        assert!(!named.has(ForwardedHeader::Proto));
        for (list, part) in [("", ""), ("x-real-ip", "x-real-ip"), ("forwarded,", "")] {
            assert_eq!(list.parse::<ForwardedHeaders>(), Err(HeadersError(part.to_owned())), "{list}");
        }
    }
}
