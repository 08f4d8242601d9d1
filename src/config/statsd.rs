//! Where figures of each request are pushed: `--statsd`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Address, AddressError};

/// What stands before each name, unless `--statsd-prefix` says otherwise. With `gunicorn` the names are its own.
pub const DEFAULT_STATSD_PREFIX: &str = "chaussette";

/// The port where statsd listens by default.
const PORT: u16 = 8125;

/// Bytes of a prefix at most: names are to fit into a datagram many times.
const LONGEST_PREFIX: usize = 200;

/// A statsd, and the names that it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statsd {
    pub address: StatsdAddress,
    pub prefix: StatsdPrefix,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsdAddress {
    /// A host, a name or an address, and a port.
    Udp(String, u16),
    /// A unix datagram socket, as DogStatsD has one.
    Unix(PathBuf),
}

/// Empty, or with the dot that parts it from a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdPrefix(String);

impl StatsdPrefix {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StatsdPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.trim_end_matches('.'))
    }
}

impl FromStr for StatsdPrefix {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
        if text.len() > LONGEST_PREFIX || !text.chars().all(is_plain) {
            let cure = format!("use at most {LONGEST_PREFIX} letters, digits and . _ - /");
            return Err(AddressError(format!("no name of a metric: {cure}")));
        }
        let bare = text.trim_end_matches('.');
        Ok(Self(if bare.is_empty() { String::new() } else { format!("{bare}.") }))
    }
}

impl fmt::Display for StatsdAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host, port) if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Udp(host, port) => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl FromStr for StatsdAddress {
    type Err = AddressError;

    /// Reads `HOST[:PORT]` and `unix:/path`; `unix:///path`, too, as gunicorn writes it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let cure = |why: &str| AddressError(format!("{why}: write HOST:8125 or unix:/path"));
        let has_port =
            text.strip_prefix('[').map_or(text, |rest| rest.split(']').nth(1).unwrap_or("")).contains(':');
        let whole = if has_port { text.to_owned() } else { format!("{text}:{PORT}") };
        match whole.parse() {
            Ok(Address::Tcp { port: 0, .. }) => Err(cure("nobody listens on port 0")),
            Ok(Address::Tcp { host, port, .. }) => Ok(Self::Udp(host, port)),
            Ok(Address::Unix(path)) => {
                let path = path.strip_prefix("//").map_or(path.clone(), |rest| PathBuf::from("/").join(rest));
                Ok(Self::Unix(path))
            }
            Ok(Address::Fd(_) | Address::Inherited(_)) => Err(cure("an inherited socket is for serving")),
            Err(AddressError(why)) => Err(cure(why.split(": write").next().unwrap_or(&why))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port_or_a_path() {
        let udp = |host: &str, port| Ok(StatsdAddress::Udp(host.to_owned(), port));
        for (text, expected) in [
            ("statsd", udp("statsd", 8125)),
            ("statsd:9125", udp("statsd", 9125)),
            ("127.0.0.1:1", udp("127.0.0.1", 1)),
            ("[::1]", udp("::1", 8125)),
            ("[::1]:7", udp("::1", 7)),
            ("unix:/run/s", Ok(StatsdAddress::Unix("/run/s".into()))),
            ("unix:///run/s", Ok(StatsdAddress::Unix("/run/s".into()))),
        ] {
            assert_eq!(text.parse::<StatsdAddress>(), expected, "{text}");
        }
        for text in ["", ":8125", "statsd:x", "statsd:0", "fd://3", "unix:", "udp://statsd:8125"] {
            let error = text.parse::<StatsdAddress>().unwrap_err().to_string();
            assert!(error.ends_with(": write HOST:8125 or unix:/path"), "{text}: {error}");
        }
    }

    #[test]
    fn a_prefix_ends_with_one_dot() {
        let read = |text: &str| text.parse::<StatsdPrefix>().map(|prefix| prefix.as_str().to_owned());
        assert_eq!(read("a.b"), Ok("a.b.".to_owned()));
        assert_eq!(read("a.."), Ok("a.".to_owned()));
        assert_eq!(read(""), Ok(String::new()));
        assert!(read("a b").is_err());
        assert!(read("a:1|c\nb").is_err());
    }
}
