//! The census for a person: some lines, then a row for each interpreter.
//!
//! What clients sent is shown with its control characters escaped: a terminal obeys them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Pool;
use super::status::{
    CurrentStatus, InterpreterStatus, PoolStatus, ProcessStatus, QueueStatus, ReloadStatus, Status,
    TotalsStatus,
};

/// Characters of a request's target in a row: what leaves room for the rest on a wide terminal.
const TARGET: usize = 80;

const HEADINGS: [&str; 9] =
    ["NUMBER", "SLOT", "STAGE", "GENERATION", "AGE", "LOADED IN", "REQUESTS", "GIL WAIT", "BUSY"];

/// And where there are several pools.
const POOL: &str = "POOL";

/// And where interpreters are processes: its number, and its share of the memory.
const OF_PROCESSES: [&str; 2] = ["PROCESS", "PSS"];

/// What is told of a pool, or of the only one.
struct Block<'a> {
    /// None: there is no other.
    pool: Option<&'a str>,
    wanted: usize,
    limits: (usize, usize),
    queue: &'a QueueStatus,
    totals: &'a TotalsStatus,
    replaced: &'a BTreeMap<String, u64>,
    reload: &'a ReloadStatus,
}

/// The whole text, which ends with a newline.
#[must_use]
pub fn table(status: &Status) -> String {
    let mut text = summary(status);
    text.push('\n');
    let mut headings: Vec<_> = HEADINGS.iter().map(|heading| (*heading).to_owned()).collect();
    let mut rows: Vec<_> = status.interpreters.iter().map(cells).collect();
    if !status.pools.is_empty() {
        headings.push(POOL.to_owned());
        for (row, interpreter) in rows.iter_mut().zip(&status.interpreters) {
            row.push(printable(interpreter.pool.as_deref().unwrap_or_default()));
        }
    }
    if status.interpreters.iter().any(|interpreter| interpreter.process.is_some()) {
        headings.extend(OF_PROCESSES.map(str::to_owned));
        for (row, interpreter) in rows.iter_mut().zip(&status.interpreters) {
            row.extend(process(interpreter.process.as_ref()));
        }
    }
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let line = |cells: &[String], now: &str| {
        let mut line = String::new();
        for (place, width) in widths.iter().enumerate() {
            let cell = cells.get(place).map_or("", String::as_str);
            let _ = write!(line, "{cell:<width$}  ");
        }
        format!("{}\n", (line + now).trim_end())
    };
    text += &line(&headings, "NOW");
    for (interpreter, cells) in status.interpreters.iter().zip(&rows) {
        let mut requests = interpreter.current.iter().map(request);
        text += &line(cells, &requests.next().unwrap_or_default());
        for request in requests {
            text += &line(&[], &request);
        }
    }
    text
}

fn summary(status: &Status) -> String {
    let mut text = String::new();
    let state = match (status.stopping, status.ready) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let memory = status.rss_bytes.map(|bytes| format!(", {} MiB in memory", bytes >> 20)).unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "chaussette {}, process {}: {state}, up {}{memory}",
        status.version,
        status.pid,
        time(status.uptime_seconds)
    );
    for block in blocks(status) {
        if let Some(pool) = block.pool {
            let _ = writeln!(text, "\npool {}", printable(pool));
        }
        text += &told(&block, status);
    }
    text
}

fn blocks<'a>(status: &'a Status) -> Vec<Block<'a>> {
    if status.pools.is_empty() {
        return vec![Block {
            pool: None,
            wanted: status.interpreters_wanted,
            limits: (status.interpreters_min, status.interpreters_max),
            queue: &status.queue,
            totals: &status.totals,
            replaced: &status.replaced,
            reload: &status.reload,
        }];
    }
    let block = |pool: &'a PoolStatus| Block {
        pool: Some(&pool.name),
        wanted: pool.wanted,
        limits: (pool.min, pool.max),
        queue: &pool.queue,
        totals: &pool.totals,
        replaced: &pool.replaced,
        reload: &pool.reload,
    };
    status.pools.iter().map(block).collect()
}

fn told(block: &Block<'_>, status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let noun = if block.pool == Some(Pool::Process.as_str()) { "processes" } else { "interpreters" };
    let _ = writeln!(text, "{noun}: {}", interpreters(block, status));
    let (queue, totals) = (block.queue, block.totals);
    let oldest = match queue.waiting {
        0 => String::new(),
        _ => format!(", the oldest for {}", time(queue.oldest_seconds)),
    };
    let _ = writeln!(text, "queue: {} of {} waiting{oldest}", queue.waiting, queue.capacity);
    let _ = writeln!(
        text,
        "requests: {} finished, {} timed out, {} timed out in the queue, {} refused",
        totals.requests, totals.timeouts, totals.queue_timeouts, totals.refused
    );
    if totals.requests > 0 {
        #[allow(clippy::cast_precision_loss, reason = "an average for a person")]
        let each = |seconds: f64| time(seconds / totals.requests as f64);
        let (queued, python) = (each(totals.queue_seconds), each(totals.python_seconds));
        let _ = writeln!(text, "on average: {queued} in the queue, {python} in Python");
    }
    let replaced: Vec<_> =
        block.replaced.iter().filter(|(_, n)| **n > 0).map(|(why, n)| format!("{n} {why}")).collect();
    if !replaced.is_empty() {
        let _ = writeln!(text, "replaced: {}", replaced.join(", "));
    }
    let _ = writeln!(text, "reload: {}", reload(block.reload));
    text
}

/// How many are wanted, and how many there are in each stage, in the order of their first.
fn interpreters(block: &Block<'_>, status: &Status) -> String {
    let mut stages: Vec<(&str, usize)> = Vec::new();
    for interpreter in status.interpreters.iter().filter(|one| one.pool.as_deref() == block.pool) {
        match stages.iter_mut().find(|(stage, _)| *stage == interpreter.stage) {
            Some((_, count)) => *count += 1,
            None => stages.push((&interpreter.stage, 1)),
        }
    }
    let (least, most) = block.limits;
    let limits = if least == most { String::new() } else { format!(" ({least} to {most})") };
    let there: String =
        stages.iter().map(|(stage, count)| format!(", {count} {}", printable(stage))).collect();
    format!("{} wanted{limits}{there}", block.wanted)
}

fn reload(reload: &ReloadStatus) -> String {
    match reload {
        ReloadStatus::Never => "none yet".to_owned(),
        ReloadStatus::Running { seconds, queued } => {
            let behind = if *queued { ", another one waits" } else { "" };
            format!("under way for {}{behind}", time(*seconds))
        }
        ReloadStatus::Done { ago_seconds, took_seconds } => {
            format!("done {} ago, in {}", time(*ago_seconds), time(*took_seconds))
        }
        ReloadStatus::Failed { ago_seconds, error } => {
            format!("FAILED {} ago, the old code serves: {}", time(*ago_seconds), printable(error))
        }
    }
}

fn process(process: Option<&ProcessStatus>) -> [String; OF_PROCESSES.len()] {
    let unknown = || "-".to_owned();
    let memory = process.and_then(|process| process.pss_bytes);
    [
        process.map_or_else(unknown, |process| process.pid.to_string()),
        memory.map_or_else(unknown, |bytes| format!("{} MiB", bytes >> 20)),
    ]
}

fn cells(interpreter: &InterpreterStatus) -> Vec<String> {
    vec![
        interpreter.number.to_string(),
        interpreter.slot.to_string(),
        printable(&interpreter.stage),
        interpreter.generation.to_string(),
        time(interpreter.age_seconds),
        interpreter.load_seconds.map(time).unwrap_or_else(|| "-".to_owned()),
        interpreter.requests.to_string(),
        time(interpreter.gil_wait_seconds),
        format!("{}/{}", interpreter.current.len(), interpreter.threads),
    ]
}

fn request(current: &CurrentStatus) -> String {
    let target: String = match current.target.char_indices().nth(TARGET) {
        Some((end, _)) => format!("{}…", &current.target[..end]),
        None => current.target.clone(),
    };
    let answered = if current.timed_out { ", answered 504" } else { "" };
    let client = match current.client.as_str() {
        "" => String::new(),
        client => format!(" ({})", printable(client)),
    };
    format!(
        "{} {} for {}{answered}{client}",
        printable(&current.method),
        printable(&target),
        time(current.elapsed_seconds)
    )
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|one| if one.is_control() { one.escape_default().to_string() } else { one.into() })
        .collect()
}

/// A time in the two units that matter.
fn time(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = seconds as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match seconds {
        _ if days > 0 => format!("{days} d {} h", hours % 24),
        _ if hours > 0 => format!("{hours} h {} min", minutes % 60),
        _ if minutes > 0 => format!("{minutes} min {} s", whole % 60),
        _ if seconds >= 10.0 => format!("{seconds:.0} s"),
        _ if seconds >= 1.0 => format!("{seconds:.1} s"),
        _ if seconds > 0.0 => format!("{:.1} ms", seconds * 1e3),
        _ => "0 s".to_owned(),
    }
}
