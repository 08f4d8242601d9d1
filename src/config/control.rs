//! Where the process can be asked how it is and told what to do: `--control`; and asked no more than that: `--probes`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::{Address, AddressError};

/// The places to choose from, for errors.
const PLACES: &str = "use unix:/path, 127.0.0.1:PORT, [::1]:PORT or localhost:PORT";

/// The same for `--probes`.
const PROBED: &str = "use 0.0.0.0:PORT, [::]:PORT or HOST:PORT";

/// A place that only this machine reaches: whoever reaches it may read requests and stop the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlAddress {
    /// A unix socket to make at this path, for the user that the process runs as.
    Unix(PathBuf),
    /// A loopback address. Port 0: the kernel chooses.
    Loopback(SocketAddr),
}

impl ControlAddress {
    /// As an address to bind.
    #[must_use]
    pub fn to_bind(&self) -> Address {
        match self {
            Self::Unix(path) => Address::Unix(path.clone()),
            Self::Loopback(address) => Address::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
                family: super::Family::Any,
            },
        }
    }
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Loopback(address) => write!(out, "{address}"),
        }
    }
}

impl FromStr for ControlAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = text.parse().map_err(|AddressError(why)| {
            // The cures of an address to serve on name more than there is here.
            let why = why.split(": write").next().unwrap_or(&why).to_owned();
            AddressError(format!("{why}: {PLACES}"))
        })?;
        match address {
            Address::Unix(path) => Ok(Self::Unix(path)),
            Address::Tcp { host, port, .. } => match loopback(&host) {
                Some(ip) => Ok(Self::Loopback(SocketAddr::new(ip, port))),
                None => Err(AddressError(format!(
                    "no loopback address, and who reaches it may read requests and stop the server: {PLACES}"
                ))),
            },
            Address::Fd(_) | Address::Inherited(_) => {
                Err(AddressError(format!("the control socket is never an inherited one: {PLACES}")))
            }
        }
    }
}

/// A place that other machines may reach, for who may know whether the server is well, and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAddress(Address);

impl ProbeAddress {
    #[must_use]
    pub fn as_bind(&self) -> &Address {
        &self.0
    }
}

impl fmt::Display for ProbeAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Tcp { host, port, .. } if host.contains(':') => write!(out, "[{host}]:{port}"),
            address => address.fmt(out),
        }
    }
}

impl FromStr for ProbeAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse() {
            Ok(address @ Address::Tcp { .. }) => Ok(Self(address)),
            Ok(_) => Err(AddressError(format!("probes come over TCP: {PROBED}"))),
            Err(AddressError(why)) => {
                Err(AddressError(format!("{}: {PROBED}", why.split(": write").next().unwrap_or(&why))))
            }
        }
    }
}

/// `localhost` is not looked up: what a resolver says of it may be another machine.
fn loopback(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.parse().ok().filter(IpAddr::is_loopback)
}
