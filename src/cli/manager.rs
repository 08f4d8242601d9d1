//! Signs of life for a manager that the environment does not tell of: `--heartbeat`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::values::{self, Seconds};
use crate::config::{DEFAULT_HEARTBEAT_INTERVAL, Heartbeat};

/// The options about the program that manages the process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control")]
pub(super) struct ManagerArgs {
    /// Where Circus's watchdog listens: udp://127.0.0.1:1664. It is told while an interpreter answers
    #[arg(long, value_name = "ADDR", value_parser = listener)]
    heartbeat: Option<SocketAddr>,
    /// Seconds between two signs of life. Three of them without an interpreter that answers, and they end
    #[arg(long, value_name = "S", default_value_t = Seconds(DEFAULT_HEARTBEAT_INTERVAL), value_parser = interval)]
    heartbeat_interval: Seconds,
}

impl ManagerArgs {
    pub(super) fn heartbeat(&self) -> Option<Heartbeat> {
        self.heartbeat.map(|to| Heartbeat { to, interval: self.heartbeat_interval.0 })
    }
}

fn listener(text: &str) -> Result<SocketAddr, String> {
    let wrong = || "no address of Circus's watchdog: use udp://127.0.0.1:1664, say".to_owned();
    let place = text.strip_prefix("udp://").ok_or_else(wrong)?;
    let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
    let address = match host {
        // Not looked up: the plugin listens on IPv4 alone.
        "localhost" => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => place.parse().ok(),
    };
    address.filter(|address| address.port() != 0).ok_or_else(wrong)
}

fn interval(text: &str) -> Result<Seconds, String> {
    match values::seconds(text)? {
        Seconds(interval) if interval.is_zero() => Err("would never pause: use 20, say".to_owned()),
        interval => Ok(interval),
    }
}
