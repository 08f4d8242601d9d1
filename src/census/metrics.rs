//! The census as Prometheus is told it, in its text format, version 0.0.4.
//!
//! Names and units are promises: docs/operations.md has them. Nothing is told of a single interpreter: each
//! replacement would begin time series of its own; that is what the status is for.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::status::seconds;
use super::{Census, Reason, Reload, Stage};
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
        self.gauge("chaussette_ready", "1 while an interpreter serves and the process does not stop.", ready);
        self.gauge("chaussette_stopping", "1 once the process stops.", u8::from(census.stopping));
        if let Some(rss) = rss {
            let help = "Of the whole process; what one interpreter has CPython does not know.";
            self.gauge("process_resident_memory_bytes", help, rss);
        }
    }

    fn interpreters(&mut self, census: &Census) {
        self.head("chaussette_interpreters", Type::Gauge, "Interpreters that are there, by stage.");
        for stage in STAGES {
            let label = format!("{{stage=\"{}\"}}", stage.as_str());
            self.sample("chaussette_interpreters", &label, census.count(stage));
        }
        self.gauge("chaussette_interpreters_wanted", "How many shall serve.", census.wanted);
        self.gauge("chaussette_interpreters_min", "--min-interpreters.", census.least);
        self.gauge("chaussette_interpreters_max", "--max-interpreters.", census.most);
        let name = "chaussette_interpreters_replaced_total";
        self.head(name, Type::Counter, "Interpreters that were replaced or ended, by reason.");
        for (reason, count) in Reason::ALL.iter().zip(census.replaced) {
            self.sample(name, &format!("{{reason=\"{}\"}}", reason.as_str()), count);
        }
        let totals = &census.totals;
        let name = "chaussette_interpreters_stuck_total";
        self.counter(name, "Interpreters that were given up as stuck.", totals.stuck);
        let name = "chaussette_interpreters_recovered_total";
        self.counter(name, "Stuck interpreters that came back and were ended.", totals.recovered);
    }

    fn requests(&mut self, census: &Census) {
        let totals = &census.totals;
        let name = "chaussette_requests_total";
        self.counter(name, "Requests that an application has finished with.", totals.served);
        let name = "chaussette_request_timeouts_total";
        self.counter(name, "Requests that were answered 504 for --timeout.", totals.timeouts);
        let name = "chaussette_queue_timeouts_total";
        self.counter(name, "Requests that waited longer than --queue-timeout.", totals.queue_timeouts);
        let name = "chaussette_requests_refused_total";
        self.counter(name, "Requests refused since the queue was full.", totals.refused);
        let name = "chaussette_queue_wait_seconds_total";
        self.counter(name, "The time that requests have waited in the queue.", seconds(totals.queued));
        let name = "chaussette_python_seconds_total";
        let help = "The time that requests have spent in the application's hands.";
        self.counter(name, help, seconds(totals.in_python));
        let serving = census.interpreters.iter().filter(|one| one.stage == Stage::Serving);
        let threads = serving.map(|one| one.threads).sum::<usize>();
        self.gauge("chaussette_threads", "Threads of serving interpreters that take requests.", threads);
        let current = || census.interpreters.iter().flat_map(|one| &one.current);
        let name = "chaussette_requests_in_python";
        self.gauge(name, "Requests in the application's hands, stuck ones too.", current().count());
        let longest = current().map(|one| one.elapsed).max().unwrap_or(Duration::ZERO);
        let name = "chaussette_longest_request_seconds";
        self.gauge(name, "How long the application has had the oldest of them.", seconds(longest));
    }

    fn queue(&mut self, census: &Census) {
        let queue = &census.queue;
        self.gauge("chaussette_queue_requests", "Requests that wait for an interpreter.", queue.waiting);
        self.gauge("chaussette_queue_capacity", "--queue.", queue.capacity);
        let name = "chaussette_queue_oldest_seconds";
        self.gauge(name, "How long the oldest of them has been waiting.", seconds(queue.oldest));
    }

    fn reload(&mut self, census: &Census) {
        self.counter("chaussette_reloads_total", "Reloads that began.", census.generation);
        let running = u8::from(matches!(census.reload, Reload::Running { .. }));
        self.gauge("chaussette_reload_running", "1 while a reload is under way.", running);
        let failed = u8::from(matches!(census.reload, Reload::Failed { .. }));
        let name = "chaussette_reload_failed";
        self.gauge(name, "1 if the last reload failed: the old code goes on serving.", failed);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, Type::Counter, help);
        self.sample(name, "", value);
    }

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

    fn sample(&mut self, name: &str, label: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{label} {value}");
    }
}
