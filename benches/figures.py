"""Arithmetic on rounds: medians, spread, quiet rounds. And what each figure is called.

A round of one contestant is a dict of named figures. Pure functions and names, nothing else.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from measure import QUIET_CPUS

Figures = dict[str, float]
OTHERS = "others_cpus"  # what others took of all CPUs during the round
ERRORS = "errors"
# A round during which others took more is repeated: twice what tells an idle machine, for a round is less exact.
NOISY_CPUS = 2 * QUIET_CPUS


@dataclass(frozen=True)
class Word:
    heading: str
    format: str


WORDS = {
    "requests_per_second": Word("requests/s", "{:,.0f}"),
    "cpu_us_per_request": Word("CPU µs/request", "{:.1f}"),
    "p50_ms": Word("p50 ms", "{:.3f}"),
    "p99_ms": Word("p99 ms", "{:.2f}"),
    "fast_p50_ms": Word("p50 of the fast, ms", "{:.2f}"),
    "fast_p99_ms": Word("p99 of the fast, ms", "{:.2f}"),
    "slow_p50_ms": Word("p50 of the slow, ms", "{:.0f}"),
    "idle_beside_waiting": Word("share of time", "{:.4f}"),
    "handover_us": Word("median wait, µs", "{:.0f}"),
    "longest_wait_ms": Word("longest wait, ms", "{:.1f}"),
    "pss_mib": Word("PSS MiB", "{:.0f}"),
    "rss_mib": Word("RSS MiB", "{:.0f}"),
    "start_seconds": Word("seconds", "{:.2f}"),
    "connection_kib": Word("KiB a connection", "{:.1f}"),
    "wakeups_per_second": Word("wake-ups/s", "{:.1f}"),
    ERRORS: Word("errors", "{:.0f}"),
}


def quietest(rounds: Sequence[Figures], count: int) -> list[Figures]:
    """Return all rounds that were quiet; where these are fewer than `count`, the `count` that were most so."""
    quiet = [taken for taken in rounds if not noisy(taken)]
    return quiet if len(quiet) >= count else sorted(rounds, key=lambda taken: taken[OTHERS])[:count]


def noisy(taken: Figures) -> bool:
    return taken[OTHERS] > NOISY_CPUS


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure, but the sum of errors: one wrong reply is news."""
    columns = {name: [taken[name] for taken in rounds] for name in rounds[0]}
    return {name: sum(values) if name == ERRORS else statistics.median(values) for name, values in columns.items()}


def spread(rounds: Sequence[Figures], name: str) -> float:
    """Return the width of the middle half of the rounds, by the median.

    Of the middle half, since from lowest to highest more rounds could only ever make it wider.
    """
    if len(rounds) < 2:
        return 0.0
    low, middle, high = statistics.quantiles([taken[name] for taken in rounds], n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


def shown(name: str, value: float) -> str:
    return WORDS[name].format.format(value)
