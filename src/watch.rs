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
    /// Given up; another thread of its interpreter serves in its place.
    Replaced,
    /// Given up; what becomes of its interpreter is the supervisor's affair.
    Reported,
}

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

    /// Watches for as long as the process lives.
    pub async fn run(mut self) {
        let mut next = None;
        loop {
            match next {
                None => self.dispatcher.stirred().await,
                // Elapsed or stirred: it is time to look.
                Some(moment) => {
                    let _ = tokio::time::timeout_at(Instant::into(moment), self.dispatcher.stirred()).await;
                }
            }
            next = self.look(Instant::now());
        }
    }

    /// Does what is due. Returns when to look again; never, until the next request, if nothing is going on.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let mut next = Next(None);
        self.look_at_queue(now, &mut next);
        self.look_at_cases(now, &mut next);
        if let Some(limit) = self.limits.request {
            for record in self.roster.records() {
                for desk in record.desks() {
                    self.look_at_desk(now, limit, (&record, &desk), &mut next);
                }
            }
        }
        if !self.dispatcher.rest(self.cases.len())
            && let Some(limit) = self.limits.soonest()
        {
            // What somebody takes just now can be too late no sooner than this.
            next.at(now + limit);
        }
        next.0
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

    fn look_at_cases(&mut self, now: Instant, next: &mut Next) {
        let counters = self.dispatcher.counters();
        self.cases.retain(|case| {
            let is_in_hand = case.overdue.is_in_hand();
            // The thread of a process that was killed comes back without its request.
            let comes_back = case.overdue.record().process().is_none();
            if !is_in_hand && case.stage != Stage::Interrupted && comes_back {
                tracing::info!("{}: its thread has come back", case.overdue.name());
            }
            if !is_in_hand && case.stage == Stage::Replaced {
                counters.recovered();
            }
            is_in_hand
        });
        for case in self.cases.iter_mut().filter(|case| case.stage == Stage::Interrupted) {
            if case.since + self.limits.grace <= now {
                case.stage = give_up(&case.overdue, self.stock, &self.reports);
                if case.stage == Stage::Replaced {
                    counters.stuck();
                }
            } else {
                next.at(case.since + self.limits.grace);
            }
        }
        let stuck = self.cases.iter().filter(|case| case.stage == Stage::Replaced).count();
        if stuck > self.stock.most_stuck {
            tracing::error!("{stuck} threads are stuck in the application's code: the process must end");
            report(&self.reports, Report::Exhausted);
        }
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
        if overdue.was_interrupted()
            && let Some(stack) = overdue.stack().filter(|stack| !stack.is_empty())
        {
            tracing::error!("{}: interrupted here:\n{stack}", overdue.name());
        }
    })
    .map(drop)
}

/// The thread of `overdue` does not come back: another one takes its place, or another interpreter.
fn give_up(overdue: &Overdue, stock: Stock, reports: &UnboundedSender<Report>) -> Stage {
    let (name, record) = (overdue.name(), overdue.record());
    let number = record.number();
    let reached = overdue.stack().is_some();
    let why = if reached { "" } else { ", and keeps the GIL: where it is cannot be told" };
    tracing::error!("{name}: does not come back{why}");
    if record.process().is_some() {
        // It can be ended, and others have not to wait for that.
        report(reports, Report::Stuck { number });
        return Stage::Reported;
    }
    // Its siblings go on, and an application that has several threads bears one more.
    if reached && stock.threads > 1 {
        match invite(record) {
            Ok(()) => tracing::warn!("interpreter {number}: another thread takes its place"),
            Err(error) => tracing::error!("interpreter {number}: no thread can take its place: {error}"),
        }
        return Stage::Replaced;
    }
    if stock.replaceable {
        report(reports, Report::Stuck { number });
    } else {
        tracing::error!("interpreter {number}: nothing can take its place: the process must end");
        report(reports, Report::Exhausted);
    }
    Stage::Reported
}

fn invite(record: &Record) -> std::io::Result<()> {
    match (record.visit(), record.access()) {
        (Some(_visit), Some(access)) => access.invite(),
        // It ends, or would not be here: nobody is missed.
        _ => Ok(()),
    }
}

fn report(reports: &UnboundedSender<Report>, report: Report) {
    // Without a supervisor the process ends anyway.
    let _ = reports.send(report);
}
