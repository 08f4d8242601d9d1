//! Which sockets to serve on: `--host`, `--port`, `--fd`, `--bind` and `LISTEN_FDS` as one list.

use std::ffi::OsString;
use std::os::fd::RawFd;

use clap::Args;

use super::values::{self, AddressFamily, Descriptor, unreplaced};
use crate::config::{self, Address};
use crate::listener::KEPT;

/// The first inherited descriptor (SD_LISTEN_FDS_START, sd_listen_fds(3)).
const FIRST_LISTEN_FD: RawFd = 3;

/// The options that say where to accept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sockets")]
pub(super) struct SocketArgs {
    #[arg(long, help = format!("Host to bind, or unix:/path [default: {}]", config::DEFAULT_HOST))]
    host: Option<String>,
    #[arg(long, value_parser = values::port, help = format!("TCP port, 0 for any [default: {}]", config::DEFAULT_PORT))]
    port: Option<u16>,
    /// Inherited listening socket (Circus: $(circus.sockets.NAME)); -1 for none
    #[arg(long, value_name = "N", value_parser = values::descriptor)]
    fd: Option<Descriptor>,
    /// host:port, [::1]:port, unix:/path or fd://N; may be repeated
    #[arg(long, value_name = "ADDR", value_parser = values::address)]
    bind: Vec<Address>,
    /// Connections the kernel queues on a socket that we bind
    #[arg(long, value_name = "N", default_value_t = config::DEFAULT_BACKLOG, value_parser = values::backlog)]
    pub(super) backlog: u32,
}

impl SocketArgs {
    /// The sockets to serve on, and what is odd about them.
    pub(super) fn resolve(
        &self,
        family: Option<AddressFamily>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<(Vec<Address>, Vec<String>), String> {
        let inherited = inherited(env)?;
        let mut sockets = self.named()?;
        let mut notices = Vec::new();
        if sockets.is_empty() && !inherited.is_empty() {
            sockets = inherited.into_iter().map(Address::Inherited).collect();
        } else {
            let unused: Vec<_> =
                inherited.iter().filter(|&&fd| !sockets.contains(&Address::Fd(fd))).collect();
            if !unused.is_empty() {
                notices.push(format!(
                    "the command line names the sockets: descriptors {unused:?} of LISTEN_FDS are not served"
                ));
            }
        }
        if sockets.is_empty() {
            sockets = vec![host_and_port(config::DEFAULT_HOST, config::DEFAULT_PORT)?];
        }
        if let Some(family) = family {
            take_family(&mut sockets, family)?;
        }
        Ok((sockets, notices))
    }

    /// The sockets that the command line names.
    fn named(&self) -> Result<Vec<Address>, String> {
        let fd = match self.fd {
            Some(Descriptor::Inherited(fd)) => Some(fd),
            Some(Descriptor::None) | None => None,
        };
        if let (Some(host), Some(fd)) = (&self.host, fd) {
            return Err(format!("--host {host} and --fd {fd} exclude each other: leave one out"));
        }
        if !self.bind.is_empty() {
            let host = self.host.as_ref().map(|host| format!("--host {host}"));
            let port = self.port.map(|port| format!("--port {port}"));
            if let Some(other) = host.or(port) {
                return Err(format!(
                    "{other} and --bind exclude each other: write --bind HOST:PORT for each socket"
                ));
            }
        }
        let mut sockets: Vec<_> = fd.map(Address::Fd).into_iter().chain(self.bind.iter().cloned()).collect();
        if fd.is_none() && (self.host.is_some() || self.port.is_some()) {
            let host = self.host.as_deref().unwrap_or(config::DEFAULT_HOST);
            sockets.push(host_and_port(host, self.port.unwrap_or(config::DEFAULT_PORT))?);
        }
        match repeated(&sockets) {
            Some(address) => Err(format!("{address} is named twice (--fd, --bind): leave one out")),
            None => Ok(sockets),
        }
    }
}

/// `--address-family`. The family of an adopted socket is read off it; 1.3 crashed there.
fn take_family(sockets: &mut [Address], wanted: AddressFamily) -> Result<(), String> {
    for socket in sockets {
        if let Address::Tcp { host, port, family } = socket {
            match wanted {
                AddressFamily::Inet(wanted) => *family = wanted,
                AddressFamily::Unix => {
                    return Err(format!(
                        "--address-family AF_UNIX does not go with {host}:{port}: write --host unix:/path"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn host_and_port(host: &str, port: u16) -> Result<Address, String> {
    let shown = if host.is_empty() { "''" } else { host };
    let wrong = |why: String| format!("--host {shown}: {why}");
    if let Some(unreplaced) = unreplaced(host) {
        return Err(wrong(unreplaced));
    }
    Address::from_host(host, port).map_err(|error| wrong(error.to_string()))
}

/// An address that stands twice in the list. Port 0 is another port each time.
fn repeated(sockets: &[Address]) -> Option<&Address> {
    sockets.iter().enumerate().find_map(|(index, address)| {
        let any_port = matches!(address, Address::Tcp { port: 0, .. });
        (!any_port && sockets[..index].contains(address)).then_some(address)
    })
}

/// The sockets that this process had before it began anew (`--reload`).
pub(super) fn resumed(env: &dyn Fn(&str) -> Option<OsString>) -> Vec<Option<RawFd>> {
    let value = env(KEPT).unwrap_or_default().to_string_lossy().into_owned();
    let mut words = value.split(',');
    let process = words.next().and_then(|process| process.parse().ok());
    // Whoever inherits the variable from it is another process.
    if process == Some(std::process::id()) {
        words.map(|word| word.parse().ok()).collect()
    } else {
        Vec::new()
    }
}

/// The descriptors of `LISTEN_FDS`, if they are meant for this process (sd_listen_fds(3)). The
/// variables stay: a child is protected from them by its own process id.
fn inherited(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Vec<RawFd>, String> {
    let text = |name| env(name).map(|value| value.to_string_lossy().into_owned());
    if text("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let Some(count) = text("LISTEN_FDS") else { return Ok(Vec::new()) };
    match count.parse::<u16>() {
        Ok(count) => Ok((FIRST_LISTEN_FD..FIRST_LISTEN_FD + RawFd::from(count)).collect()),
        Err(_) => Err(format!("LISTEN_FDS={count}: not a number of sockets: unset it or LISTEN_PID")),
    }
}
