"""Chaussette beside other WSGI servers: requests per second, CPU time per request, latency, memory.

    python3.13 benches/run.py                                  everything, the wheel built first (or: make bench)
    python3.13 benches/run.py --wheel FILE --cases hello1,flask2 --servers chaussette,granian --rounds 7 --seconds 5

A round starts each server afresh, one after another, warms it up, loads it with wrk over 64 keep-alive connections, and
stops it; the next round begins with another server. The figures are the medians of the rounds. CPU per request is the
judge, since it suffers least from neighbours: user and system time of all the server's processes, from /proc. When the
rounds of a server differ much, more are run, up to a bound, and the output says so.

Owns the cases and the order of events. The servers are servers.py's, the readings measure.py's, the words report.py's.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apps
import environment
import report
import servers
from measure import QUIET_CPUS, Load, LoadError, neighbours_cpus, run_wrk, usage, wait_until_idle
from report import Round
from servers import Probe, Server, ServerError, Settings

NOISY_SPREAD = 0.25
WARM_UP_SECONDS = 1
# Workers that are still importing when the first one answers.
IDLE_DEADLINE_SECONDS = 10
TEN_KB = b"x" * 10_000


@dataclass(frozen=True)
class Case:
    title: str
    app: str
    workers: int
    probe: Probe
    # True: the server on one CPU, wrk on another. False: both on the same two CPUs, as many as there are workers.
    pinned: bool


CASES = {
    "hello1": Case("hello, 1 worker on one CPU, wrk on another", "hello", 1, Probe(b"", apps.GREETING), True),
    "hello2": Case("hello, 2 workers on 2 CPUs, wrk beside them", "hello", 2, Probe(b"", apps.GREETING), False),
    "flask2": Case(
        "Flask hello, 2 workers on 2 CPUs, wrk beside them", "flask_hello", 2, Probe(b"", apps.GREETING), False
    ),
    "cpu1ms2": Case("1 ms of Python, 2 workers on 2 CPUs, wrk beside", "cpu1ms", 2, Probe(b"", apps.GREETING), False),
    "echo10k1": Case("POST 10 KB echo, 1 worker on one CPU, wrk on another", "echo", 1, Probe(TEN_KB, TEN_KB), True),
}


def listed(known: dict[str, object]) -> Callable[[str], list[str]]:
    """An option's type: names out of `known`, comma-separated."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return parse


def options_of(arguments: list[str]) -> argparse.Namespace:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    environment.add_options(parser)
    parser.add_argument("--cases", type=listed(dict(CASES)), default=list(CASES), metavar="A,B")
    parser.add_argument("--servers", type=listed(dict(servers.COMMANDS)), default=list(servers.COMMANDS), metavar="A,B")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each case (default 5)")
    parser.add_argument(
        "--max-rounds", type=int, metavar="N", help="bound of rounds when the machine is noisy (default: --rounds x 2)"
    )
    parser.add_argument("--seconds", type=int, default=3, metavar="S", help="of load in a round (default 3)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    for name in ("rounds", "seconds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: expected 1 or more")
    options.max_rounds = max(options.rounds, options.max_rounds or options.rounds * 2)
    return options


def cpus_for(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the CPUs of the server and those of wrk."""
    usable = sorted(os.sched_getaffinity(0))
    if not case.pinned:
        return tuple(usable[:2]), tuple(usable[:2])
    return (usable[0],), (usable[-1] if len(usable) == 1 else usable[1],)


def one_round(name: str, case: Case, settings: Settings, seconds: int) -> Round:
    _, wrk_cpus = cpus_for(case)
    post_bytes = len(case.probe.body)
    with Server(name, settings) as server:
        server.wait_until_right(case.probe)
        wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
        cold = usage(server.session)
        run_wrk(server.port, Load(wrk_cpus, WARM_UP_SECONDS, post_bytes))
        before = usage(server.session)
        outcome = run_wrk(server.port, Load(wrk_cpus, seconds, post_bytes))
        after = usage(server.session)
        if outcome.requests == 0:
            raise server.failed("answered nothing under load")
        return Round.from_readings(outcome, cold, before, after)


class Comparison:
    """One case, round by round, over the servers that keep working."""

    def __init__(self, case: Case, names: list[str], settings: Settings, options: argparse.Namespace) -> None:
        self.case = case
        self.settings = settings
        self.options = options
        self.rounds: dict[str, list[Round]] = {name: [] for name in names}
        self.failures: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        neighbours = [neighbours_cpus()]
        done = 0
        while done < self.options.rounds:
            self._round(done)
            done += 1
        while done < self.options.max_rounds and self._noisy():
            if done == self.options.rounds:
                self._note(f"noisy: {self._noisy()}; adding rounds, up to {self.options.max_rounds}")
            self._round(done)
            done += 1
        if self._noisy():
            self._note(f"still noisy after {done} rounds: {self._noisy()}; read these figures with care")
        neighbours.append(neighbours_cpus())
        if max(neighbours) > QUIET_CPUS:
            self._note(f"others kept {neighbours[0]:.1f} CPUs busy before this case, {neighbours[1]:.1f} after it")
        for name, taken in self.rounds.items():
            wrong = sum(each.errors for each in taken)
            if wrong:
                self._note(f"{name} had {wrong} errors: refused, broken or late replies")

    def _round(self, number: int) -> None:
        names = [name for name in self.rounds if name not in self.failures]
        # Another one begins each time: none is always the first after a pause.
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            try:
                taken = one_round(name, self.case, self.settings, self.options.seconds)
            except (ServerError, LoadError) as error:
                self.failures[name] = str(error)
                self._note(f"FAILED in round {number + 1}: {error}")
                continue
            self.rounds[name].append(taken)
            rates = f"{taken.requests_per_second:.0f} requests/s, {taken.cpu_us_per_request:.1f} us CPU a request"
            print(f"  round {number + 1}: {name}: {rates}", file=sys.stderr, flush=True)

    def _noisy(self) -> str:
        """The servers whose rounds differ too much, for a reader; empty when there is none."""
        spreads = {name: report.spread(taken) for name, taken in self.rounds.items() if name not in self.failures}
        return ", ".join(f"{name} {value:.0%}" for name, value in spreads.items() if value > NOISY_SPREAD)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(f"  {text}", file=sys.stderr, flush=True)

    def content(self) -> dict[str, object]:
        measured = {name: taken for name, taken in self.rounds.items() if taken}
        middles = {name: report.medians(taken) for name, taken in measured.items()}
        return {
            "case": self.case.title,
            "seconds": self.options.seconds,
            "cpus": dict(zip(("server", "wrk"), cpus_for(self.case), strict=True)),
            "loops_per_ms": self.settings.loops_per_ms,
            # Without the directories of this machine.
            "commands": {
                name: " ".join(servers.command_of(name, self.settings)).replace(f"{servers.HERE}", "benches")
                for name in measured
            },
            "medians": middles,
            "ratios_to_first": {
                name: {judged: middle[judged] / next(iter(middles.values()))[judged] for judged in report.JUDGED}
                for name, middle in middles.items()
            },
            "spread": {name: report.spread(taken) for name, taken in measured.items()},
            "rounds": {name: [vars(each) for each in taken] for name, taken in measured.items()},
            "notes": self.notes,
        }


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    options = options_of(arguments)
    installed = environment.prepare(options.wheel, options.servers)
    machine = report.machine_facts()
    loops_per_ms = apps.calibrate()
    versions = ", ".join(f"{name} {installed.versions.get(name, '(missing)')}" for name in options.servers)
    print(f"{machine['cpu']}, {machine['cpus_usable']} CPUs, Linux {machine['kernel']}, {versions}")
    print(f"CPython {platform.python_version()}; load average before: {machine['load_average_before'][0]}")
    if len(os.sched_getaffinity(0)) < 2:
        print("note: only one CPU: wrk and the servers share it, and two workers gain nothing")
    # Ours first: the ratios are to the first.
    names = [name for name in servers.COMMANDS if name in options.servers and name not in installed.missing]
    failed = False
    for key in options.cases:
        case = CASES[key]
        print(f"\n{key}: {case.title}", flush=True)
        settings = Settings(case.app, case.workers, cpus_for(case)[0], environment.BIN, loops_per_ms)
        comparison = Comparison(case, names, settings, options)
        comparison.run()
        taken = max(map(len, comparison.rounds.values()))
        print(f"medians of {taken} rounds of {options.seconds} s; ratios to the first line; least: of all rounds")
        print(report.table(comparison.rounds))
        for note in comparison.notes:
            print(f"note: {note}")
        report.write(options.results / f"{key}.json", comparison.content(), installed, machine)
        failed = failed or bool(comparison.failures)
    for news in installed.missing.values():
        print(f"\n!!!! {news}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
