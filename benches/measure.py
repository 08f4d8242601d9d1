"""What a server used and what a load got from it: /proc and wrk.

Owns readings. Starts wrk and nothing else, and ends it in time. Knows no server: one is a session id, that
is the process id of its first process, since each server is started in a session of its own.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MICROSECONDS = 1_000_000
CONNECTIONS = 64
# What others may take of all CPUs' time before it is worth a note: an idle machine's own daemons take less.
QUIET_CPUS = 0.1
# Beyond its own duration: connecting, and 2 s for which wrk waits for late replies.
WRK_GRACE_SECONDS = 30


class LoadError(Exception):
    """wrk did not do its work: what it printed instead."""


@dataclass(frozen=True)
class Process:
    """One line of /proc/PID/stat, as far as it is read here."""

    pid: int
    session: int
    cpu_ticks: int  # with those of its children that ended and were waited for


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    rss_bytes: int  # pages shared by processes count once in each
    pss_bytes: int  # ... count once in all


@dataclass(frozen=True)
class Load:
    """How wrk loads: on which CPUs, for how long, with how many bytes of body."""

    cpus: tuple[int, ...]
    seconds: int
    post_bytes: int = 0  # 0: a GET


@dataclass(frozen=True)
class Outcome:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int  # replies that are not 2xx or 3xx
    broken: int  # connections that failed
    late: int  # replies after more than 2 s

    @property
    def errors(self) -> int:
        return self.refused + self.broken + self.late


def processes_of(session: int) -> list[Process]:
    """Return the live processes of the session: a child stays in it even when its parent is gone."""
    return [process for process in _all_processes() if process.session == session]


def _all_processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue  # it ended since the directory was read
        # The command's name, in parentheses, may itself hold blanks and parentheses. Fields: proc_pid_stat(5).
        fields = stat[stat.rindex(")") + 2 :].split()
        yield Process(int(entry), int(fields[3]), sum(map(int, fields[11:15])))


def cpu_seconds(session: int) -> float:
    return sum(process.cpu_ticks for process in processes_of(session)) / TICKS_PER_SECOND


def usage(session: int) -> Usage:
    rss = pss = ticks = 0
    for process in processes_of(session):
        ticks += process.cpu_ticks
        sizes = _memory_bytes(process.pid)
        rss += sizes.get("Rss", 0)
        pss += sizes.get("Pss", 0)
    return Usage(ticks / TICKS_PER_SECOND, rss, pss)


def _memory_bytes(pid: int) -> dict[str, int]:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}  # it ended, or is a zombie and has no memory
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


def wait_until_idle(session: int, deadline_seconds: float) -> None:
    """Return when the server has used no CPU to speak of for a while: all its workers have started, or finished.

    Past the deadline it returns too: a server that is never idle is measured as it is.
    """
    deadline = time.monotonic() + deadline_seconds
    before = cpu_seconds(session)
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = cpu_seconds(session)
        if now - before <= 1 / TICKS_PER_SECOND:
            return
        before = now


def neighbours_cpus() -> float:
    """Return how many CPUs' worth of time others take: called while nothing of ours runs."""
    busy, began = _busy_seconds(), time.monotonic()
    time.sleep(0.5)
    return (_busy_seconds() - busy) / (time.monotonic() - began)


def _busy_seconds() -> float:
    # user nice system idle iowait irq softirq steal: proc_stat(5). What follows is in user and nice already.
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_SECOND


def wait_until_quiet(deadline_seconds: float) -> float:
    """Return `neighbours_cpus` once it is small, or as it is at the deadline."""
    deadline = time.monotonic() + deadline_seconds
    taken = neighbours_cpus()
    while taken > QUIET_CPUS and time.monotonic() < deadline:
        taken = neighbours_cpus()
    return taken


def run_wrk(port: int, load: Load) -> Outcome:
    """Load 127.0.0.1:`port` and return what wrk counted."""
    command = ["taskset", "-c", ",".join(map(str, load.cpus)), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{load.seconds}s"]
    command += ["-s", str(HERE / "load.lua"), f"http://127.0.0.1:{port}/", "--", str(load.post_bytes)]
    try:
        # subprocess.run kills and reaps wrk itself, whatever ends the waiting.
        done = subprocess.run(command, capture_output=True, text=True, timeout=load.seconds + WRK_GRACE_SECONDS)
    except subprocess.TimeoutExpired as expired:
        raise LoadError(f"wrk did not end in {expired.timeout:.0f} s: {' '.join(command)}") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise LoadError(f"{' '.join(command)} exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    counts = json.loads(lines[-1])
    return Outcome(
        requests=counts["requests"],
        seconds=counts["microseconds"] / MICROSECONDS,
        p50_ms=counts["p50"] / 1000,
        p99_ms=counts["p99"] / 1000,
        refused=counts["refused"],
        broken=counts["broken"],
        late=counts["late"],
    )
