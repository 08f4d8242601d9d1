//! Who may ask: programs of this machine, and no web page. Probes: who reaches the socket, and no web page either.
//!
//! A page on any site can make its visitor's browser send requests to a loopback address (CSRF), and by a name of
//! its own that it points there (DNS rebinding) even read the answers. Browsers tell in headers that a page cannot
//! change: Origin, Sec-Fetch-Site, and Host with the name.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{StatusCode, Version};

use super::Clients;
use crate::http::refusal::Refusal;
use crate::listener::Kind;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const ALIEN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "Host must be a loopback address or localhost: no other name is served",
);
const PAGE: Refusal = Refusal::new(StatusCode::FORBIDDEN, "web pages may not ask this server");

/// Refuses what a web page may have sent, and a Host that nobody who is here would use.
pub(super) fn check(parts: &Parts, clients: Clients, kind: Kind) -> Result<(), Refusal> {
    let headers = &parts.headers;
    // Each request with side effects that a page makes has it (Fetch, "append a request Origin header").
    if headers.contains_key(ORIGIN) {
        return Err(PAGE);
    }
    // `none`: a person typed the address. `same-origin`: a link on an answer of ours.
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none" && site != "same-origin") {
        return Err(PAGE);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        (None, _) if parts.version == Version::HTTP_10 => None,
        // RFC 9112 §3.2.
        _ => return Err(Refusal::bad_request("there must be one Host header")),
    };
    // A browser cannot reach a unix socket, and a client of one has no name to give. Who probes from another machine
    // names this one by whatever address it has.
    if kind == Kind::Unix || clients == Clients::Anybody {
        return Ok(());
    }
    let named = host.and_then(|host| host.to_str().ok()?.parse().ok());
    if named.as_ref().is_none_or(|authority| !is_loopback(authority)) {
        return Err(ALIEN);
    }
    match parts.uri.authority() {
        Some(authority) if !is_loopback(authority) => Err(ALIEN),
        _ => Ok(()),
    }
}

/// With any port: it may have been forwarded (ssh -L, kubectl port-forward).
fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    !authority.as_str().contains('@')
        && (bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()))
}
