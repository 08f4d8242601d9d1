//! How many requests an interpreter has left before it is to be replaced: `--max-requests`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Report;
use crate::application::{Appetite, Line};
use crate::dispatch::Seat;
use crate::exchange::{Exchange, Request, Service};

/// Shared by the threads of one interpreter.
#[derive(Debug)]
pub(super) struct Wear {
    number: u64,
    left: AtomicU64,
    reports: UnboundedSender<Report>,
}

impl Wear {
    pub(super) fn new(number: u64, most: u64, reports: UnboundedSender<Report>) -> Self {
        Self { number, left: AtomicU64::new(most), reports }
    }

    /// One more request is done. The last one is reported; the interpreter serves on until it is replaced.
    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Without a supervisor nobody would replace it.
            let _ = self.reports.send(Report::Worn { number: self.number });
        }
    }
}

/// A seat at which requests are counted.
#[derive(Debug)]
pub(super) struct Post {
    seat: Seat,
    wear: Option<Arc<Wear>>,
}

impl Post {
    pub(super) fn new(seat: Seat, wear: Option<Arc<Wear>>) -> Self {
        Self { seat, wear }
    }

    pub(super) fn wait(&mut self) -> Option<Exchange> {
        self.seat.wait()
    }

    /// A request was finished with.
    pub(super) fn count(&self) {
        if let Some(wear) = &self.wear {
            wear.count();
        }
    }
}

impl Line for Post {
    fn next(&mut self) -> Option<Exchange> {
        self.count();
        self.seat.take()
    }

    fn was_interrupted(&mut self) -> bool {
        self.seat.was_interrupted()
    }

    fn offered(&mut self) {
        self.seat.offered();
    }

    fn done_with(&mut self, request: Box<Request>) {
        self.seat.done_with(request);
    }

    fn give_back(&mut self, exchange: Exchange) {
        self.seat.give_back(exchange);
    }

    fn attached_after(&mut self, wait: Duration) {
        self.seat.attached_after(wait);
    }

    fn ahead(&mut self, appetite: Appetite) -> Vec<Exchange> {
        self.seat.ahead(appetite)
    }

    fn proceed(&mut self, at: Instant) -> Option<Service> {
        self.count();
        self.seat.proceed(at)
    }

    fn take_back(&mut self, exchange: Exchange) {
        self.seat.take_back(exchange);
    }
}
