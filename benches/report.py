"""From rounds to a table and a file.

Owns the arithmetic (medians, ratios, spread), the words and benches/results. Measures nothing but the machine's facts.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from environment import Environment
from measure import CONNECTIONS, MICROSECONDS, TICKS_PER_SECOND, Outcome, Usage

MIB = 1024 * 1024


@dataclass(frozen=True)
class Round:
    """One server loaded once."""

    requests: int
    requests_per_second: float
    cpu_us_per_request: float  # user and system time of all its processes
    p50_ms: float
    p99_ms: float
    rss_before_mib: float  # before its first load
    rss_after_mib: float
    pss_after_mib: float
    errors: int

    @classmethod
    def from_readings(cls, outcome: Outcome, cold: Usage, before: Usage, after: Usage) -> "Round":
        """`cold`: as started. `before` and `after`: around the load whose `outcome` is given."""
        cpu_seconds = after.cpu_seconds - before.cpu_seconds
        return cls(
            requests=outcome.requests,
            requests_per_second=outcome.requests / outcome.seconds,
            cpu_us_per_request=cpu_seconds * MICROSECONDS / max(1, outcome.requests),
            p50_ms=outcome.p50_ms,
            p99_ms=outcome.p99_ms,
            rss_before_mib=cold.rss_bytes / MIB,
            rss_after_mib=after.rss_bytes / MIB,
            pss_after_mib=after.pss_bytes / MIB,
            errors=outcome.errors,
        )


# The two figures by which servers are compared, and whose spread tells how noisy the machine is.
JUDGED = ("requests_per_second", "cpu_us_per_request")


def medians(rounds: list[Round]) -> dict[str, float]:
    """Return the median of each figure, but the sum of errors: one wrong reply is news."""
    columns = {name: [asdict(each)[name] for each in rounds] for name in asdict(rounds[0])}
    return {name: sum(values) if name == "errors" else statistics.median(values) for name, values in columns.items()}


def spread(rounds: list[Round]) -> float:
    """Return the worse of the judged figures' spreads: the width of the middle half of the rounds, by the median.

    Of the middle half, since from lowest to highest more rounds could only ever make it wider.
    """
    if len(rounds) < 2:
        return 0.0
    return max(_spread([getattr(each, name) for each in rounds]) for name in JUDGED)


def _spread(values: list[float]) -> float:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


def table(rounds: dict[str, list[Round]]) -> str:
    """Return the medians of each server, with their ratios to the first one's, which is ours where it took part."""
    headings = ["server", "requests/s", "ratio", "CPU us/req", "ratio", "least", "p50 ms", "p99 ms"]
    lines = [[*headings, "RSS MiB before", "after", "spread", "errors"]]
    first: dict[str, float] | None = None
    for name, taken in rounds.items():
        if not taken:
            continue
        middle = medians(taken)
        first = first or middle
        rate, cpu = (_ratio(middle, first, judged) for judged in JUDGED)
        figures = [f"{middle['requests_per_second']:.0f}", rate, f"{middle['cpu_us_per_request']:.1f}", cpu]
        # Neighbours only ever add to it: on a noisy machine the best round is the nearest to the truth.
        figures.append(f"{min(each.cpu_us_per_request for each in taken):.1f}")
        times = [f"{middle['p50_ms']:.2f}", f"{middle['p99_ms']:.2f}"]
        sizes = [f"{middle['rss_before_mib']:.1f}", f"{middle['rss_after_mib']:.1f}"]
        lines.append([name, *figures, *times, *sizes, f"{spread(taken):.0%}", f"{middle['errors']:.0f}"])
    return aligned(lines)


def _ratio(middle: dict[str, float], first: dict[str, float], name: str) -> str:
    return f"{middle[name] / first[name]:.2f}" if first[name] else "-"


def aligned(lines: list[list[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def machine_facts() -> dict[str, object]:
    """What a reader needs to compare these figures with others; nothing that names the machine or its user."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    # wrk prints its version with its usage, and exits with 1.
    wrk = subprocess.run([shutil.which("wrk") or "wrk", "-v"], capture_output=True, text=True, timeout=10, check=False)
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[0]) // 1024 if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_compiler": platform.python_compiler(),
        "wrk": (wrk.stdout or wrk.stderr).splitlines()[0].partition(" [")[0],
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "cpu_clock_resolution_ms": 1000 / TICKS_PER_SECOND,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def write(path: Path, content: dict[str, object], environment: Environment, machine: dict[str, object]) -> None:
    """Write `content` with what it was measured on to `path`."""
    about: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": environment.versions,
        "wheel": environment.wheel,
        "missing": environment.missing,
        "connections": CONNECTIONS,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | content, indent=2) + "\n")
    print(f"written: {path}", flush=True)
