//! Which proxies are believed: `--forwarded-allow-ips` and what goes with it.

use clap::Args;
use clap::builder::{MapValueParser, PossibleValuesParser, TypedValueParser as _};

use crate::config::{ForwardedHeaders, Proxies, ProxyProtocol, Trusted, Unbelieved};

/// The options about who is in front of the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Proxies")]
pub(super) struct ProxyArgs {
    /// Proxies that are believed: addresses, networks, unix for peers of unix sockets, * for every peer
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    forwarded_allow_ips: Trusted,
    /// Headers in which they are: x-forwarded-for, -proto, -host, -port, -prefix, forwarded [default: all]
    #[arg(long, value_name = "LIST")]
    forwarded_headers: Option<ForwardedHeaders>,
    /// Remove those six headers wherever they are not believed
    #[arg(long)]
    clear_untrusted_proxy_headers: bool,
    /// PROXY protocol header with which those proxies begin each connection; others are closed
    #[arg(long, value_name = "VERSION", default_value = "off", value_parser = protocol())]
    proxy_protocol: ProxyProtocol,
}

impl ProxyArgs {
    /// The settings, and what is odd about them.
    pub(super) fn resolve(self) -> Result<(Proxies, Vec<String>), String> {
        let trusted = self.forwarded_allow_ips;
        if trusted.is_empty() && self.proxy_protocol != ProxyProtocol::Off {
            return Err(
                "--proxy-protocol goes with --forwarded-allow-ips only: name there the proxies that send the header"
                    .to_owned(),
            );
        }
        let mut notices = Vec::new();
        if trusted.is_empty() && self.forwarded_headers.is_some() {
            notices.push("--forwarded-headers has no effect without --forwarded-allow-ips".to_owned());
        }
        let unbelieved = match self.clear_untrusted_proxy_headers {
            true => Unbelieved::Removed,
            false => Unbelieved::Kept,
        };
        let headers = self.forwarded_headers.unwrap_or_default();
        Ok((Proxies { trusted, headers, unbelieved, protocol: self.proxy_protocol }, notices))
    }
}

fn protocol() -> MapValueParser<PossibleValuesParser, fn(String) -> ProxyProtocol> {
    PossibleValuesParser::new(["off", "auto", "v1", "v2"]).map(|name| match name.as_str() {
        "auto" => ProxyProtocol::Auto,
        "v1" => ProxyProtocol::V1,
        "v2" => ProxyProtocol::V2,
        _ => ProxyProtocol::Off,
    })
}
