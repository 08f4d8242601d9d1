"""What a server uses and what the machine does beside it: /proc.

Owns readings; starts nothing. Knows no server: one is a session id, that is the process id of its first process, since
each server is started in a session of its own.
"""

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MICROSECONDS = 1_000_000
MIB = 1024 * 1024
CONNECTIONS = 64
# What others may take of all CPUs' time before it is worth a note: an idle machine's own daemons take less.
QUIET_CPUS = 0.1


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


def voluntary_switches(session: int) -> int:
    """Return how often the threads of the session have waited since they began: each wait ends in a wake-up."""
    waits = 0
    for process in processes_of(session):
        for status in Path("/proc", str(process.pid), "task").glob("*/status"):
            try:
                lines = status.read_text().splitlines()
            except OSError:
                continue  # the thread ended
            waits += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))
    return waits


def neighbours_cpus() -> float:
    """Return how many CPUs' worth of time others take: called while nothing of ours runs."""
    watch = Others()
    time.sleep(0.5)
    return watch.cpus()


class Others:
    """What others took of all CPUs since this was made, the host of a virtual machine included.

    All that the machine did, without what this process did and those that it has waited for.
    """

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds()

    def cpus(self) -> float:
        busy, own = _busy_seconds() - self._busy, _own_seconds() - self._own
        return max(0.0, busy - own) / (time.monotonic() - self._began)


def _busy_seconds() -> float:
    # user nice system idle iowait irq softirq steal: proc_stat(5). What follows is in user and nice already. The
    # network's part of our own load is in softirq here, and in the system time of whoever it interrupted there.
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_SECOND


def _own_seconds() -> float:
    taken = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in taken)


def wait_until_quiet(deadline_seconds: float) -> float:
    """Return `neighbours_cpus` once it is small, or as it is at the deadline."""
    deadline = time.monotonic() + deadline_seconds
    taken = neighbours_cpus()
    while taken > QUIET_CPUS and time.monotonic() < deadline:
        taken = neighbours_cpus()
    return taken
