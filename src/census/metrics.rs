//! The census as Prometheus is told it, in its text format, version 0.0.4.
//!
//! Names and units are promises: docs/operations.md has them. Where there are several pools, each has samples of its
//! own, with the label `pool`. Nothing is told of a single interpreter: each
//! replacement would begin time series of its own; that is what the status is for.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::status::seconds;
use super::{Census, Current, Pool, Reason, Reload, Stage};
use crate::config::VERSION;

/// The content type that names the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an interpreter that is there can be found doing.
const STAGES: [Stage; 7] = [
    Stage::Loading,
    Stage::Spare,
    Stage::Serving,
    Stage::Draining,
    Stage::Ending,
    Stage::Abandoned,
    Stage::Stuck,
];

/// The text of all metrics; `rss` bytes of the process are in memory.
#[must_use]
pub fn metrics(census: &Census, rss: Option<u64>) -> String {
    let mut page = Page::default();
    page.process(census, rss);
    page.interpreters(census);
    page.requests(census);
    page.queue(census);
    page.reload(census);
    page.0
}

#[derive(Debug, Default)]
struct Page(String);

/// What becomes of a value over time.
#[derive(Debug, Clone, Copy)]
enum Type {
    Counter,
    Gauge,
}

impl Page {
    fn process(&mut self, census: &Census, rss: Option<u64>) {
        self.head("chaussette_info", Type::Gauge, "The release that runs, as a label. Always 1.");
        self.sample("chaussette_info", &format!("{{version=\"{VERSION}\"}}"), 1);
        self.gauge("chaussette_uptime_seconds", "Since the start of the process.", seconds(census.uptime));
        let ready = u8::from(census.is_ready());
        self.gauge(
            "chaussette_ready",
            "1 while every pool has one that serves, and the process does not stop.",
            ready,
        );
        self.gauge("chaussette_stopping", "1 once the process stops.", u8::from(census.stopping));
        if let Some(rss) = rss {
            let help = "Of the whole process; what one interpreter has CPython does not know.";
            self.gauge("process_resident_memory_bytes", help, rss);
        }
    }

    fn interpreters(&mut self, census: &Census) {
        let name = "chaussette_interpreters";
        self.head(name, Type::Gauge, "Interpreters that are there, by stage.");
        for (pool, census) in census.pools() {
            for stage in STAGES {
                self.sample(name, &labels(pool, &[("stage", stage.as_str())]), census.count(stage));
            }
        }
        self.gauges("chaussette_interpreters_wanted", "How many shall serve.", census, |one| one.wanted);
        self.gauges("chaussette_interpreters_min", "--min-interpreters.", census, |one| one.least);
        self.gauges("chaussette_interpreters_max", "--max-interpreters.", census, |one| one.most);
        let name = "chaussette_interpreters_replaced_total";
        self.head(name, Type::Counter, "Interpreters that were replaced or ended, by reason.");
        for (pool, census) in census.pools() {
            for (reason, count) in Reason::ALL.iter().zip(census.replaced) {
                self.sample(name, &labels(pool, &[("reason", reason.as_str())]), count);
            }
        }
        let name = "chaussette_interpreters_stuck_total";
        self.counters(name, "Interpreters that were given up as stuck.", census, |one| one.totals.stuck);
        let name = "chaussette_interpreters_recovered_total";
        let help = "Stuck interpreters that came back and were ended.";
        self.counters(name, help, census, |one| one.totals.recovered);
    }

    fn requests(&mut self, census: &Census) {
        let name = "chaussette_requests_total";
        let help = "Requests that an application has finished with.";
        self.counters(name, help, census, |one| one.totals.served);
        let name = "chaussette_request_timeouts_total";
        let help = "Requests that were answered 504 for --timeout.";
        self.counters(name, help, census, |one| one.totals.timeouts);
        let name = "chaussette_queue_timeouts_total";
        let help = "Requests that waited longer than --queue-timeout.";
        self.counters(name, help, census, |one| one.totals.queue_timeouts);
        let name = "chaussette_requests_refused_total";
        let help = "Requests refused since the queue was full.";
        self.counters(name, help, census, |one| one.totals.refused);
        let name = "chaussette_queue_wait_seconds_total";
        let help = "The time that requests have waited in the queue.";
        self.counters(name, help, census, |one| seconds(one.totals.queued));
        let name = "chaussette_python_seconds_total";
        let help = "The time that requests have spent in the application's hands.";
        self.counters(name, help, census, |one| seconds(one.totals.in_python));
        let threads = |one: &Census| {
            let serving = one.interpreters.iter().filter(|one| one.stage == Stage::Serving);
            serving.map(|one| one.threads).sum::<usize>()
        };
        let help = "Threads of serving interpreters that take requests.";
        self.gauges("chaussette_threads", help, census, threads);
        let help = "Requests in the application's hands, stuck ones too.";
        self.gauges("chaussette_requests_in_python", help, census, |one| current(one).count());
        let longest = |one: &Census| current(one).map(|one| one.elapsed).max().unwrap_or(Duration::ZERO);
        let help = "How long the application has had the oldest of them.";
        self.gauges("chaussette_longest_request_seconds", help, census, |one| seconds(longest(one)));
    }

    fn queue(&mut self, census: &Census) {
        let help = "Requests that wait for an interpreter.";
        self.gauges("chaussette_queue_requests", help, census, |one| one.queue.waiting);
        self.gauges("chaussette_queue_capacity", "--queue.", census, |one| one.queue.capacity);
        let help = "How long the oldest of them has been waiting.";
        self.gauges("chaussette_queue_oldest_seconds", help, census, |one| seconds(one.queue.oldest));
    }

    fn reload(&mut self, census: &Census) {
        self.counters("chaussette_reloads_total", "Reloads that began.", census, |one| one.generation);
        let running = |one: &Census| u8::from(matches!(one.reload, Reload::Running { .. }));
        self.gauges("chaussette_reload_running", "1 while a reload is under way.", census, running);
        let failed = |one: &Census| u8::from(matches!(one.reload, Reload::Failed { .. }));
        let help = "1 if the last reload failed: the old code goes on serving.";
        self.gauges("chaussette_reload_failed", help, census, failed);
    }

    /// A sample a pool.
    fn counters<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        census: &Census,
        value: impl Fn(&Census) -> V,
    ) {
        self.head(name, Type::Counter, help);
        self.each(name, census, value);
    }

    /// A sample a pool.
    fn gauges<V: Display>(&mut self, name: &str, help: &str, census: &Census, value: impl Fn(&Census) -> V) {
        self.head(name, Type::Gauge, help);
        self.each(name, census, value);
    }

    fn each<V: Display>(&mut self, name: &str, census: &Census, value: impl Fn(&Census) -> V) {
        for (pool, census) in census.pools() {
            self.sample(name, &labels(pool, &[]), value(census));
        }
    }

    /// Of the process.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, Type::Gauge, help);
        self.sample(name, "", value);
    }

    fn head(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Requests in the application's hands.
fn current(census: &Census) -> impl Iterator<Item = &Current> {
    census.interpreters.iter().flat_map(|one| &one.current)
}

/// In braces, after the pool, which is named where there are several.
fn labels(pool: Option<Pool>, others: &[(&str, &str)]) -> String {
    let pool = pool.map(|pool| ("pool", pool.as_str()));
    let all: Vec<_> = pool.iter().chain(others).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}
