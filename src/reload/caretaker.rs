//! Who answers while the application cannot be loaded: a text, to everything.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::census::Desk;
use crate::dispatch::{Member, WorkQueue};
use crate::exchange::ResponseHead;

/// Answers every request with 500 and a text, until it is dropped.
#[derive(Debug)]
pub struct Caretaker {
    member: Member,
    thread: Option<JoinHandle<()>>,
}

impl Caretaker {
    /// Takes its place at the queue. `text` is shown to whoever asks: for a developer's own eyes.
    pub fn new(queue: &WorkQueue, text: &str) -> std::io::Result<Self> {
        let member = queue.member();
        let mut seat = member.seat(Arc::new(Desk::default()));
        let body = Bytes::from(format!("{text}\n"));
        let thread = Builder::new().name("caretaker".to_owned()).spawn(move || {
            while let Some(exchange) = seat.wait() {
                exchange.reply.respond(head(), body.clone());
                seat.offered();
            }
        })?;
        Ok(Self { member, thread: Some(thread) })
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.member.retire();
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but the queue, which has just told it to leave.
            let _ = thread.join();
        }
    }
}

fn head() -> ResponseHead {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ResponseHead { status: StatusCode::INTERNAL_SERVER_ERROR, reason: None, headers, names: Vec::new() }
}
