"""Chaussette beside other WSGI servers, case by case, with the goal of each case and whether it is met.

    python3.13 benches/run.py                                  everything, the wheel built first (or: make bench)
    python3.13 benches/run.py --wheel FILE --cases hello1,flask2 --servers chaussette,granian --rounds 7 --seconds 5

A round starts one server afresh, warms it up, loads it and stops it; the next round begins with another server. Figures
are the medians of the rounds. A round in which others used the machine is repeated, up to a bound; what stayed noisy is
marked. benches/cases.py has the cases; benches/results/CASE.json gets all that was measured.
"""

import argparse
import functools
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import apps
import environment
import report
import servers
import tools
from cases import SPARE, Case, Contestant, cases
from comparison import Bounds, Comparison, Patience
from servers import OURS, Settings

CORES = len(os.sched_getaffinity(0))
CASES = cases(CORES)


def listed(known: Iterable[str]) -> Callable[[str], list[str]]:
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
    parser.add_argument(
        "--free-threaded-wheel", type=Path, metavar="FILE", help="(default: .ci/build-wheel builds it where it can)"
    )
    parser.add_argument(
        "--cases", type=listed(CASES), default=list(CASES), metavar="A,B", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument(
        "--servers", type=listed(servers.COMMANDS), default=list(servers.COMMANDS), metavar="A,B", help="(default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each case (default 3)")
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="of load in a round (default 2)")
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="of a case's noisy rounds, at most (default 3; 0: none)"
    )
    parser.add_argument(
        "--repeat-seconds", type=int, default=100, metavar="S", help="for the repeats of all cases (default 100)"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    for name, least in (("rounds", 1), ("seconds", 1), ("repeats", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: expected {least} or more")
    return options


def prepare(options: argparse.Namespace) -> tuple[environment.Environment, Path | None]:
    """Install what the cases need; return that, and where the free-threaded build's programs are."""
    django = any(CASES[name].app == "django" for name in options.cases)
    parts = [*options.servers, *(["django"] if django else [])]
    installed = environment.prepare(options.wheel, parts)
    tools.need_oha()
    if "static" in options.servers and any("static" in CASES[name].contestants for name in options.cases):
        tools.need_static()
    spare = None
    if OURS in options.servers and any(SPARE in CASES[name].contestants for name in options.cases):
        spare, why = tools.free_threaded_bin(options.free_threaded_wheel)
        if spare is None:
            installed.missing[SPARE] = f"a free-threaded build is NOT MEASURED: {why}"
            environment.say_loudly(installed.missing[SPARE])
    if django:
        servers.migrate(environment.BIN / "python")
    return installed, spare


def settings_of(case: Case, contestant: Contestant, loops_per_ms: int, spare: Path | None) -> Settings:
    return Settings(
        app=case.app,
        workers=contestant.workers,
        cpus=tuple(sorted(os.sched_getaffinity(0))[: contestant.cpus]),
        bin=spare if contestant.free_threaded and spare else environment.BIN,
        loops_per_ms=loops_per_ms,
        threads=contestant.threads,
        log_level=contestant.log_level,
        options=contestant.options,
    )


def taking_part(case: Case, options: argparse.Namespace, missing: Iterable[str]) -> list[str]:
    names = [name for name, contestant in case.contestants.items() if contestant.server in options.servers]
    return [name for name in names if name not in missing]


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    options = options_of(arguments)
    installed, spare = prepare(options)
    machine = report.machine_facts()
    settings = functools.partial(settings_of, loops_per_ms=apps.calibrate(), spare=spare)
    versions = ", ".join(f"{name} {installed.versions.get(name, '-')}" for name in options.servers)
    print(f"{machine['cpu']}, {machine['cpus_usable']} CPUs, Linux {machine['kernel']}, {versions}")
    print(f"CPython {platform.python_version()}; load average before: {machine['load_average_before']}")
    if CORES < 2:
        print("note: only one CPU: the load and the servers share it, and two workers gain nothing")
    bounds = Bounds(options.rounds, options.seconds, Patience(options.repeats, options.repeat_seconds))
    began = time.monotonic()
    failed = False
    judged: list[list[str]] = []
    for key in options.cases:
        print(f"\n{key}: {CASES[key].title}", flush=True)
        comparison = Comparison(CASES[key], taking_part(CASES[key], options, installed.missing), bounds, settings)
        comparison.run()
        content = comparison.content()
        print(report.table(content))
        for note in comparison.notes:
            print(f"note: {note}")
        report.write(options.results / f"{key}.json", content, installed, machine)
        judged += [[key, *cells] for cells in report.verdicts(content)]
        failed = failed or bool(comparison.failures)
    print(f"\ngoals, after {time.monotonic() - began:.0f} s: ratios of medians")
    print(report.aligned([["case", "goal", "measured", ""], *judged]))
    for news in installed.missing.values():
        print(f"\n!!!! {news}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
