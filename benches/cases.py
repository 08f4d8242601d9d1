"""The cases: which servers do what, beside each other, and which goals that is judged by.

Data, made for the CPUs that there are. Judged by CPU per request of the whole process tree where nothing else is said,
since it suffers least from neighbours.
"""

from dataclasses import dataclass, replace

import apps
from footprint import Idle, Memory, Start
from goals import Goal
from servers import OURS, Probe
from skew import Skewed
from works import Closed, Open, Work

HELLO = Probe(b"", apps.GREETING)
TEN_KB = b"x" * 10_000
PEERS = ("granian", "gunicorn", "bjoern")
SPARE = "free-threaded"
# Ours in worker processes.
PROCESS = "chaussette process"
IN_PROCESSES = ("--isolation", "process")
CPU, RATE, P50, PSS = "cpu_us_per_request", "requests_per_second", "p50_ms", "pss_mib"
# What a share of time has in it though nobody was kept waiting: a thread that the machine itself put off.
NOISE_SHARE = 0.01


@dataclass(frozen=True)
class Contestant:
    server: str
    workers: int
    cpus: int  # where it may run; with 1 the load runs on another
    threads: int = 0  # of each worker; 0: its best known number
    options: tuple[str, ...] = ()
    log_level: str = "warning"
    free_threaded: bool = False  # in the environment of a free-threaded CPython

    def with_threads(self, threads: int) -> "Contestant":
        return replace(self, threads=threads)


@dataclass(frozen=True)
class Case:
    title: str
    app: str
    work: Work
    contestants: dict[str, Contestant]
    figures: tuple[str, ...]  # the columns of its table
    goals: tuple[Goal, ...] = ()
    rounds: int = 0  # 0: as many as are asked for
    steady: str = ""  # the figure whose rounds are alike on a quiet machine; "": the first
    minds_others: bool = True  # False: what others do with the CPUs does not change its figures


def servers(names: tuple[str, ...], workers: int, cpus: int, threads: int = 0) -> dict[str, Contestant]:
    return {name: Contestant(name, workers, cpus, threads) for name in names}


def each(figure: str, bound: float, *against: str) -> tuple[Goal, ...]:
    return tuple(Goal(figure, bound, (name,)) for name in against)


LOADED = (CPU, RATE, "p50_ms", "p99_ms")


def small(cores: int) -> dict[str, Case]:
    """Cases of small requests, by wrk."""
    two = min(2, cores)
    return {
        "hello1": Case(
            "hello, 1 worker on one CPU, wrk on another",
            "hello",
            Closed(HELLO),
            servers((OURS, "static", *PEERS), 1, 1),
            LOADED,
            (
                *each(CPU, 1.15, "static"),
                *each(CPU, 1.0, "bjoern"),
                *each(CPU, 0.55, "granian"),
                Goal(RATE, 1.9, ("granian",), at_least=True),
            ),
        ),
        "hello2": Case(
            "hello, 2 workers on 2 CPUs, wrk beside them",
            "hello",
            Closed(HELLO),
            servers((OURS,), 2, two)
            | {"chaussette x1": Contestant(OURS, 1, 1), PROCESS: Contestant(OURS, 2, two, options=IN_PROCESSES)}
            | servers(PEERS, 2, two),
            LOADED,
            (
                *each(CPU, 1.15, "chaussette x1"),
                *each(CPU, 0.5, "granian"),
                Goal(CPU, 2.0, (OURS,), ours=PROCESS),
                Goal(CPU, 1.0, ("granian",), ours=PROCESS),
            ),
        ),
        "hello1c": Case(
            "hello, 1 connection, 1 worker on 2 CPUs, wrk beside it",
            "hello",
            Closed(HELLO, connections=1),
            servers((OURS, "static", *PEERS), 1, two),
            (P50, "p99_ms", CPU, RATE),
            # bjoern calls the application where it reads the request: inline.
            each(P50, 1.0, "granian", "gunicorn") + each(P50, 1.3, "bjoern"),
        ),
        "flask2": Case(
            "Flask hello, 2 workers on 2 CPUs, wrk beside them",
            "flask_hello",
            Closed(HELLO),
            servers((OURS, *PEERS), 2, two),
            (*LOADED, PSS),
            each(CPU, 0.5, "granian") + each(CPU, 0.35, "gunicorn"),
        ),
    }


def large(cores: int) -> dict[str, Case]:
    """Cases of large bodies and of long requests, by wrk."""

    def body(title: str, app: str, probe: Probe) -> Case:
        contestants = servers((OURS, *PEERS), 1, 1)
        return Case(title, app, Closed(probe), contestants, LOADED, (Goal(CPU, 1.0, PEERS),))

    many = f"chaussette x{cores}"
    return {
        "echo": body("POST of 10 KB, echoed, 1 worker on one CPU", "echo", Probe(TEN_KB, TEN_KB)),
        "mb": body("reply of 1 MB, 1 worker on one CPU", "mb", Probe(b"", apps.MEGABYTE)),
        "chunks": body("100 KB in 100 chunks, 1 worker on one CPU", "chunks", Probe(b"", apps.KILOBYTE * 100)),
        "cpu1ms": Case(
            f"1 ms of Python, {cores} workers on {cores} CPUs, wrk beside them",
            "cpu1ms",
            Closed(HELLO),
            {many: Contestant(OURS, cores, cores), "chaussette x1": Contestant(OURS, 1, cores)}
            | servers(PEERS, cores, cores),
            (RATE, CPU, P50, "p99_ms"),
            (
                Goal(RATE, 0.97 * cores, ("chaussette x1",), at_least=True, ours=many),
                Goal(RATE, 1.0, PEERS, at_least=True, ours=many),
            ),
        ),
    }


def waiting(cores: int) -> dict[str, Case]:
    """Cases about who waits for whom."""
    two = min(2, cores)
    fast = "fast_p99_ms"
    return {
        "rate": Case(
            "Flask hello at 1,500 requests a second, 2 workers on 2 CPUs, latency without coordinated omission",
            "flask_hello",
            Open(1500),
            servers((OURS, *PEERS), 2, two),
            ("p99_ms", "p50_ms", CPU),
        ),
        "mixed": Case(
            "hello at 1,000 requests a second, 1 in 100 takes 200 ms, 64 connections, 2 workers on 2 CPUs",
            "mixed",
            Open(1000, slow_percent=1),
            servers((OURS, *PEERS), 2, two),
            (fast, "fast_p50_ms", "slow_p50_ms", CPU),
            each(fast, 0.5, *PEERS),
        ),
        "skewed": Case(
            "5 ms of waiting, 4 connections, 4 workers: time in which a worker idles while a request waits over 1 ms",
            "stamped",
            Skewed(connections=4),
            servers((OURS, *PEERS), 4, two, threads=1),
            ("idle_beside_waiting", "handover_us", "longest_wait_ms", RATE),
            (Goal("idle_beside_waiting", NOISE_SHARE),),
            # Not the share: it is near nothing, or a matter of which process has which connections.
            steady=RATE,
        ),
    }


def footprints(cores: int) -> dict[str, Case]:
    """Cases about what is taken while little happens."""
    two = min(2, cores)

    def memory(title: str, app: str) -> Case:
        ours, *others = (Contestant(name, 8, two, 1) for name in (OURS, "gunicorn", "granian"))
        contestants = {
            OURS: ours,
            SPARE: replace(ours, options=("--isolation", "free-threaded"), free_threaded=True),
            PROCESS: replace(ours, options=IN_PROCESSES),
            "gunicorn": others[0],
            "gunicorn --preload": replace(others[0], options=("--preload",)),
            "granian": others[1],
        }
        goals = each(PSS, 0.85, "gunicorn") + each(PSS, 0.75, "granian")
        goals += tuple(Goal(PSS, 0.3, (name,), ours=SPARE) for name in ("gunicorn", "granian"))
        goals += (
            Goal(PSS, 0.45, ("gunicorn",), ours=PROCESS),
            Goal(PSS, 1.0, ("gunicorn --preload",), ours=PROCESS),
        )
        return Case(title, app, Memory(10_000), contestants, (PSS, "rss_mib"), goals, rounds=1, minds_others=False)

    starters = {
        name: replace(contestant, log_level="info")
        for name, contestant in servers((OURS, "gunicorn"), 8, cores, threads=1).items()
    }
    return {
        "memory-flask": memory("8 workers with Flask after 10,000 requests", "flask_hello"),
        "memory-django": memory("8 workers with a Django project after 10,000 requests", "django"),
        "start": Case(
            "8 workers with a Django project: until all of them serve",
            "django",
            Start(),
            starters,
            ("start_seconds",),
            each("start_seconds", 1.1, "gunicorn"),
        ),
        "idle": Case(
            "1,000 idle keep-alive connections, 2 workers",
            "hello",
            Idle(1000),
            servers((OURS, "granian"), 2, two),
            ("connection_kib", "wakeups_per_second"),
            (Goal("connection_kib", 12), Goal("wakeups_per_second", 0)),
            rounds=1,
            minds_others=False,
        ),
    }


def cases(cores: int) -> dict[str, Case]:
    return small(cores) | large(cores) | waiting(cores) | footprints(cores)
