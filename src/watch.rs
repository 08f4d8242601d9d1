//! Watches the time that requests take: in the queue, and in the application's hands.
//!
//! Owns what is done about those that take too long: the client is answered, the thread is interrupted, and given
//! up if it does not come back. Knows neither HTTP nor Python.
//! Rule: no timer a request. One timer sleeps until the earliest moment at which anything can be too late, as of its
//! last look; it is set by the first request after a rest, so an idle server never wakes for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::census::{Desk, Entry, Overdue, Record, Roster};
use crate::config::Timeouts;
use crate::dispatch::Dispatcher;
use crate::exchange::{Fault, Revoked};
use crate::worker::{Report, thread};

/// What stuck threads mean for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// Threads of each interpreter.
    pub threads: usize,
    /// Whether an interpreter can be replaced by another one.
    pub replaceable: bool,
    /// More threads than these may not be stuck at the same time.
    pub most_stuck: usize,
}

/// The one who watches. Lives on the reactor's thread.
#[derive(Debug)]
pub struct Watch {
    limits: Timeouts,
    stock: Stock,
    dispatcher: Dispatcher,
    roster: Roster,
    reports: UnboundedSender<Report>,
    cases: Vec<Case>,
}

/// A request that took too long, until its thread has come back from it.
#[derive(Debug)]
struct Case {
    overdue: Arc<Overdue>,
    /// When it was interrupted.
    since: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Interrupted,
    GivenUp,
}

/// So many threads are stuck that the process must be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl Watch {
    pub fn new(
        limits: Timeouts,
        stock: Stock,
        dispatcher: Dispatcher,
        roster: Roster,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self { limits, stock, dispatcher, roster, reports, cases: Vec::new() }
    }

    /// Watches until more threads are stuck than may be.
    pub async fn run(mut self) -> Exhausted {
        let mut next = None;
        loop {
            match next {
                None => self.dispatcher.stirred().await,
                // Elapsed or stirred: it is time to look.
                Some(moment) => {
                    let _ = tokio::time::timeout_at(Instant::into(moment), self.dispatcher.stirred()).await;
                }
            }
            match self.look(Instant::now()) {
                Ok(moment) => next = moment,
                Err(exhausted) => return exhausted,
            }
        }
    }

    /// Does what is due. Returns when to look again; never, until the next request, if nothing is going on.
    fn look(&mut self, now: Instant) -> Result<Option<Instant>, Exhausted> {
        let mut next = Next(None);
        self.look_at_queue(now, &mut next);
        self.look_at_cases(now, &mut next)?;
        if let Some(limit) = self.limits.request {
            for record in self.roster.records() {
                for desk in record.desks() {
                    self.look_at_desk(now, limit, (&record, &desk), &mut next);
                }
            }
        }
        if next.0.is_none() && !self.dispatcher.rest(self.cases.len()) {
            // Somebody takes a request just now. It can be too late no sooner than this.
            next.0 = self.limits.soonest().map(|limit| now + limit);
        }
        Ok(next.0)
    }

    fn look_at_queue(&self, now: Instant, next: &mut Next) {
        let Some(limit) = self.limits.queue else { return };
        let expired = self.dispatcher.expire(limit);
        let count = expired.iter().filter(|exchange| exchange.reply.is_wanted()).count();
        if count > 0 {
            let seconds = limit.as_secs_f64();
            tracing::warn!(
                "{count} waited for a free worker longer than --queue-timeout {seconds} s: answered 503"
            );
            self.dispatcher.counters().queue_timeouts.fetch_add(count as u64, Ordering::Relaxed);
        }
        // Dropped: no worker took them, which is an answer.
        drop(expired);
        if let Some(oldest) = self.dispatcher.oldest() {
            next.at((oldest + limit).max(now));
        }
    }

    fn look_at_desk(
        &mut self,
        now: Instant,
        limit: Duration,
        (record, desk): (&Arc<Record>, &Arc<Desk>),
        next: &mut Next,
    ) {
        let Some(entry) = desk.entry() else { return };
        if self.cases.iter().any(|case| case.overdue.is(desk, entry.serial)) {
            return;
        }
        let waited = entry.revoker.as_ref().map(|revoker| revoker.waited(now));
        let (time, still) = waited.map_or((Duration::ZERO, false), |waited| (waited.time, waited.still));
        let taken = now.saturating_duration_since(entry.since).saturating_sub(time);
        if taken < limit {
            next.at(now + (limit - taken));
        } else if still {
            // It waits for the client at the last moment. That has limits of its own.
            next.at(now + limit);
        } else {
            self.intervene(now, limit, (record, desk), &entry);
            next.at(now + self.limits.grace);
        }
    }

    /// Answers the client and interrupts the thread.
    fn intervene(
        &mut self,
        now: Instant,
        limit: Duration,
        (record, desk): (&Arc<Record>, &Arc<Desk>),
        entry: &Entry,
    ) {
        if !desk.time_out(entry.serial) {
            return;
        }
        let revoked =
            entry.revoker.as_ref().map_or(Revoked::Complete, |revoker| revoker.revoke(Fault::Overdue));
        let done = match revoked {
            Revoked::Answered => "answered 504",
            Revoked::Aborted => "its connection is aborted",
            Revoked::Complete => "its response was complete",
        };
        let name = format!("interpreter {}: {} {}", record.number(), entry.method, entry.uri);
        tracing::error!("{name}: took longer than --timeout {} s: {done}", limit.as_secs_f64());
        self.dispatcher.counters().timeouts.fetch_add(1, Ordering::Relaxed);
        let overdue = Arc::new(Overdue::new(Arc::clone(record), Arc::clone(desk), entry.serial, name));
        if let Err(error) = interrupt(Arc::clone(&overdue)) {
            tracing::warn!("{}: cannot be interrupted: no thread for it: {error}", overdue.name());
        }
        self.cases.push(Case { overdue, since: now, stage: Stage::Interrupted });
    }

    fn look_at_cases(&mut self, now: Instant, next: &mut Next) -> Result<(), Exhausted> {
        let (limits, stock) = (self.limits, self.stock);
        self.cases.retain(|case| {
            let is_in_hand = case.overdue.is_in_hand();
            if !is_in_hand && case.stage == Stage::GivenUp {
                tracing::info!("{}: its thread has come back", case.overdue.name());
                self.dispatcher.counters().recovered.fetch_add(1, Ordering::Relaxed);
            }
            is_in_hand
        });
        for case in &mut self.cases {
            match case.stage {
                Stage::Interrupted if case.since + limits.grace <= now => {
                    case.stage = Stage::GivenUp;
                    self.dispatcher.counters().stuck.fetch_add(1, Ordering::Relaxed);
                    give_up(&case.overdue, stock, &self.reports)?;
                }
                Stage::Interrupted => next.at(case.since + limits.grace),
                Stage::GivenUp => {}
            }
        }
        let stuck = self.stuck();
        if stuck > stock.most_stuck {
            tracing::error!("{stuck} threads are stuck, more than --max-stuck {}", stock.most_stuck);
            return Err(Exhausted);
        }
        Ok(())
    }

    /// How many threads are stuck. Those that wait for an interpreter which one of them keeps count once with it.
    fn stuck(&self) -> usize {
        let given_up = || self.cases.iter().filter(|case| case.stage == Stage::GivenUp);
        let mut kept: Vec<_> = given_up()
            .filter(|case| !case.was_reached())
            .map(|case| case.overdue.record().number())
            .collect();
        kept.sort_unstable();
        kept.dedup();
        given_up().filter(|case| case.was_reached()).count() + kept.len()
    }
}

impl Case {
    /// Whether its interpreter could be entered.
    fn was_reached(&self) -> bool {
        self.overdue.stack().is_some()
    }
}

/// The earliest of several moments.
struct Next(Option<Instant>);

impl Next {
    fn at(&mut self, moment: Instant) {
        self.0 = Some(self.0.map_or(moment, |before| before.min(moment)));
    }
}

impl Timeouts {
    /// The shortest of the limits: nothing is too late sooner than so long after its beginning.
    fn soonest(&self) -> Option<Duration> {
        match (self.request, self.queue) {
            (Some(request), Some(queue)) => Some(request.min(queue)),
            (request, queue) => request.or(queue),
        }
    }
}

/// Interrupts from a thread made for it: it may have to wait for the interpreter for ever.
fn interrupt(overdue: Arc<Overdue>) -> std::io::Result<()> {
    thread(&format!("interrupt-{}", overdue.record().number()), move || {
        let record = overdue.record();
        let (Some(_visit), Some(access)) = (record.visit(), record.access()) else { return };
        access.interrupt(&overdue);
        if let Some(stack) = overdue.stack().filter(|stack| !stack.is_empty()) {
            tracing::error!("{}: interrupted here:\n{stack}", overdue.name());
        }
    })
    .map(drop)
}

/// The thread of `overdue` does not come back: another one takes its place, or another interpreter.
fn give_up(overdue: &Overdue, stock: Stock, reports: &UnboundedSender<Report>) -> Result<(), Exhausted> {
    let (name, record) = (overdue.name(), overdue.record());
    let reached = overdue.stack().is_some();
    let why = if reached { "" } else { ", and keeps the GIL: where it is cannot be told" };
    tracing::error!("{name}: does not come back{why}");
    if reached && stock.threads > 1 {
        // Its siblings go on; an application that has several threads bears one more.
        if let (Some(_visit), Some(access)) = (record.visit(), record.access()) {
            match access.invite() {
                Ok(()) => tracing::warn!("interpreter {}: another thread takes its place", record.number()),
                Err(error) => {
                    tracing::error!("interpreter {}: no thread to take its place: {error}", record.number());
                }
            }
        }
        return Ok(());
    }
    if !stock.replaceable {
        tracing::error!("interpreter {}: nothing can take its place", record.number());
        return Err(Exhausted);
    }
    // Should the supervisor be gone, the process ends anyway.
    let _ = reports.send(Report::Stuck { number: record.number() });
    Ok(())
}
