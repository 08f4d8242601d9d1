//! What must hold for any input, as plain functions: `request`, `connection`, `reply` and `proxies`, each with a `check`
//! that takes a fuzzer's bytes and panics at a finding.
//!
//! cargo-fuzz calls them without end (fuzz_targets/), `cargo test` some thousand times (tests/generated.rs).
//! `oracle` reads requests and `client` reads responses as the RFCs have it, in the simplest way: whole, slow, and
//! without a line in common with the server. `site` is a whole front end on one thread, without a clock.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "shared by programs that use a part each"
)]

pub mod client;
pub mod connection;
pub mod corpus;
pub mod oracle;
pub mod proxies;
pub mod reply;
pub mod request;
pub mod site;

use std::time::Duration;

use chaussette::http::Limits;

/// Small enough for a fuzzer to reach, and times that a check never waits for.
pub fn limits() -> Limits {
    Limits {
        max_body: Some(400 * 1024),
        max_header_size: 600,
        max_headers: 8,
        header_timeout: Duration::from_secs(600),
        body_timeout: Duration::from_secs(600),
        min_rate: None,
        keep_alive: Duration::from_secs(600),
        drain_idle: Duration::ZERO,
    }
}

/// Cuts a stream in pieces, `most` of them at most. The seed decides: 0 not at all, 1 into single bytes, else small
/// and large ones mixed.
pub fn split(stream: &[u8], seed: u16, most: usize) -> Vec<&[u8]> {
    let mut state = u32::from(seed);
    let mut rest = stream;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = match (seed, state >> 30) {
            (0, _) => rest.len(),
            _ if pieces.len() + 1 == most => rest.len(),
            (1, _) => 1,
            (_, 0) => 1 + (state >> 8) as usize % 3,
            (_, 1 | 2) => 1 + (state >> 8) as usize % 40,
            _ => 1 + (state >> 8) as usize % 20_000,
        };
        let (piece, more) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}
