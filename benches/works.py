"""What is done with one server in one round, by a program that loads it: wrk, or oha at a constant rate.

Owns the order of a round: started, idle, warmed up, loaded, read. The other kinds of rounds: skew.py, footprint.py.
"""

import os
from dataclasses import dataclass
from typing import Protocol

import apps
from figures import ERRORS, Figures
from loads import SLOW_PATH, Load, Rate, percentile, run_oha, run_wrk
from measure import CONNECTIONS, MIB, MICROSECONDS, cpu_seconds, usage, wait_until_idle
from servers import Probe, Server, Settings

WARM_UP_SECONDS = 1
# Workers that are still importing when the first one answers.
IDLE_DEADLINE_SECONDS = 10


class Work(Protocol):
    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        """Start the named server, measure it, end it."""


def load_cpus(settings: Settings) -> tuple[int, ...]:
    """Where the load runs: on another CPU than a server that has only one, else beside the server."""
    if len(settings.cpus) > 1:
        return settings.cpus
    usable = sorted(os.sched_getaffinity(0))
    return (next((cpu for cpu in usable if cpu not in settings.cpus), usable[0]),)


@dataclass(frozen=True)
class Closed:
    """wrk: as many requests as the server answers, one at a time on each connection."""

    probe: Probe
    connections: int = CONNECTIONS

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        def load(seconds: int) -> Load:
            return Load(load_cpus(settings), seconds, len(self.probe.body), self.connections)

        with Server(name, settings) as server:
            server.wait_until_right(self.probe)
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            run_wrk(server.port, load(WARM_UP_SECONDS))
            before = cpu_seconds(server.session)
            outcome = run_wrk(server.port, load(seconds))
            after = usage(server.session)
            if outcome.requests == 0:
                raise server.failed("answered nothing under load")
        return {
            "requests_per_second": outcome.requests / outcome.seconds,
            "cpu_us_per_request": (after.cpu_seconds - before) * MICROSECONDS / outcome.requests,
            "p50_ms": outcome.p50_ms,
            "p99_ms": outcome.p99_ms,
            "rss_mib": after.rss_bytes / MIB,
            "pss_mib": after.pss_bytes / MIB,
            ERRORS: outcome.errors,
        }


@dataclass(frozen=True)
class Open:
    """oha: requests at a constant rate; each latency counts from when its request was due."""

    per_second: int
    slow_percent: int = 0

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        def rate(seconds: int) -> Rate:
            return Rate(load_cpus(settings), seconds, self.per_second, slow_percent=self.slow_percent)

        with Server(name, settings) as server:
            server.wait_until_right(Probe(b"", apps.GREETING))
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            run_oha(server.port, rate(WARM_UP_SECONDS))
            before = cpu_seconds(server.session)
            taken = run_oha(server.port, rate(seconds))
            after = cpu_seconds(server.session)
        requests = sum(map(len, taken.values()))
        figures = {"cpu_us_per_request": (after - before) * MICROSECONDS / max(1, requests)}
        if not self.slow_percent:
            return figures | {"p50_ms": percentile(taken["/"], 50), "p99_ms": percentile(taken["/"], 99)}
        return figures | {
            "fast_p50_ms": percentile(taken["/"], 50),
            "fast_p99_ms": percentile(taken["/"], 99),
            "slow_p50_ms": percentile(taken[SLOW_PATH], 50),
        }
