"""The programs that load a server: wrk as fast as it answers, oha at a rate whatever it answers.

Starts wrk and oha and nothing else, and ends them in time. Knows a server's port only.

wrk is the cheaper, so more of the machine is left to the server; it waits for each reply before it sends the next
request, so a server that stalls is asked less (coordinated omission). oha sends at a constant rate, and counts each
latency from when its request was due. It writes down each request with its URL: fast ones and slow ones are told apart.
"""

import json
import sqlite3
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import CONNECTIONS, MICROSECONDS
from tools import OHA

HERE = Path(__file__).parent
# Beyond its own duration: connecting, and 2 s for which wrk waits for late replies.
GRACE_SECONDS = 30
SLOW_PATH = "/slow"
# Of which each stands for one request in a hundred.
LINES_OF_URLS = 100


class LoadError(Exception):
    """A load did not do its work: what it printed instead."""


@dataclass(frozen=True)
class Load:
    """How wrk loads: on which CPUs, for how long, with how many bytes of body."""

    cpus: tuple[int, ...]
    seconds: int
    post_bytes: int = 0  # 0: a GET
    connections: int = CONNECTIONS


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


def run_wrk(port: int, load: Load) -> Outcome:
    """Load 127.0.0.1:`port` and return what wrk counted."""
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "-s", str(HERE / "load.lua")]
    command += [f"http://127.0.0.1:{port}/", "--", str(load.post_bytes)]
    output = _run(load.cpus, command, load.seconds)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"{' '.join(command)} printed: {output.strip()}")
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


@dataclass(frozen=True)
class Rate:
    """How oha loads: so many requests a second, of which some of a hundred are for SLOW_PATH."""

    cpus: tuple[int, ...]
    seconds: int
    per_second: int
    connections: int = CONNECTIONS
    slow_percent: int = 0


def run_oha(port: int, rate: Rate) -> dict[str, list[float]]:
    """Load 127.0.0.1:`port`; return the milliseconds from when each request was due to its reply, by path.

    Requests under way at the end are waited for: the slowest are not left out.
    """
    urls = [SLOW_PATH if number < rate.slow_percent else "/" for number in range(LINES_OF_URLS)]
    with tempfile.TemporaryDirectory(prefix="oha-") as directory:
        listed, written = Path(directory, "urls"), Path(directory, "requests.sqlite")
        listed.write_text("".join(f"http://127.0.0.1:{port}{path}\n" for path in urls))
        command = [str(OHA), "--no-tui", "--output-format", "json", "--worker-threads", "1", "--urls-from-file"]
        command += ["-z", f"{rate.seconds}s", "-w", "-q", str(rate.per_second), "--latency-correction"]
        # Longer than any reply ought to take, or one that never comes would be waited for.
        command += ["-t", f"{GRACE_SECONDS // 2}s", "-c", str(rate.connections), "--db-url", str(written), str(listed)]
        summary = json.loads(_run(rate.cpus, command, rate.seconds))
        if errors := summary["errorDistribution"]:
            raise LoadError(f"{' '.join(command)}: {errors}")
        return _by_path(written)


def send(port: int, requests: int, cpus: tuple[int, ...]) -> None:
    """Have exactly so many requests answered over CONNECTIONS connections, as fast as they are."""
    command = [str(OHA), "--no-tui", "--output-format", "json", "--worker-threads", "1", "-n", str(requests)]
    command += ["-c", str(CONNECTIONS), f"http://127.0.0.1:{port}/"]
    summary = json.loads(_run(cpus, command, requests // 10))
    if summary["errorDistribution"] or set(summary["statusCodeDistribution"]) != {"200"}:
        raise LoadError(f"{summary['errorDistribution']} {summary['statusCodeDistribution']}")


def _by_path(database: Path) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"/": [], SLOW_PATH: []}
    connection = sqlite3.connect(database)
    try:
        for url, seconds, status in connection.execute("SELECT url, duration, status FROM oha"):
            if status != 200:
                raise LoadError(f"{url} was answered {status}")
            taken["/" + url.rpartition("/")[2]].append(seconds * 1000)
    finally:
        connection.close()
    return taken


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        raise LoadError(f"{len(values)} replies: too few for percentiles")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _run(cpus: tuple[int, ...], command: list[str], seconds: int) -> str:
    command = ["taskset", "-c", ",".join(map(str, cpus)), *command]
    try:
        # subprocess.run kills and reaps the program itself, whatever ends the waiting.
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired as expired:
        raise LoadError(f"did not end in {expired.timeout:.0f} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise LoadError(f"{' '.join(command)} exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
