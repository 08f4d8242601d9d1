"""Two CPU-bound requests at once, on two interpreters and on one: how long until both are answered?

    python3.13 benches/parallel.py [--wheel FILE] [--rounds N]

Prints the wall times and their ratios. On two idle CPUs, two requests on two interpreters take the time of one request
alone (ratio 1); on one interpreter they take twice as long (ratio 2), since each holds the GIL all its time.

Owns the two servers while it runs, and benches/results/parallel.json. Knows of the application only that its reply
names the interpreter.
"""

import argparse
import http.client
import os
import statistics
import sys
import threading
import time
from pathlib import Path

import apps
import environment
import report
from measure import QUIET_CPUS, wait_until_idle, wait_until_quiet
from servers import OURS, Probe, Server, Settings

# Two CPUs are needed for each round: it waits so long for others to leave them.
QUIET_DEADLINE_SECONDS = 15
# 0.3 s of Python alone; the rest is for a machine with other work.
REPLY_SECONDS = 30


def at_once(port: int, count: int) -> tuple[float, list[str]]:
    """Send `count` requests at once; return the seconds until all are answered, and the interpreters that did."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=REPLY_SECONDS) for _ in range(count)]
    barrier = threading.Barrier(count + 1, timeout=REPLY_SECONDS)
    interpreters: list[str] = []
    errors: list[Exception] = []

    def ask(connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
            barrier.wait()
            connection.request("GET", "/")
            interpreters.append(connection.getresponse().read().decode())
        except (OSError, http.client.HTTPException, threading.BrokenBarrierError) as error:
            errors.append(error)

    askers = [threading.Thread(target=ask, args=(connection,), daemon=True) for connection in connections]
    try:
        for asker in askers:
            asker.start()
        barrier.wait()
        began = time.perf_counter()
        for asker in askers:
            asker.join(2 * REPLY_SECONDS)
        seconds = time.perf_counter() - began
    finally:
        for connection in connections:
            connection.close()
    if errors or len(interpreters) != count:
        raise SystemExit(f"error: {count} requests at once: {errors or 'no reply in time'}")
    return seconds, sorted(interpreters)


def measured(settings: Settings, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round: one request alone, two on two interpreters, two on one."""
    one = Settings(settings.app, 1, settings.cpus, settings.bin, settings.loops_per_ms)
    taken: dict[str, list[float]] = {"alone": [], "two on two": [], "two on one": []}
    with Server(OURS, settings) as wide, Server(OURS, one) as narrow:
        for server in (wide, narrow):
            # Any reply: which of the two interpreters answers is open.
            server.wait_until_right(Probe(b"", None))
            wait_until_idle(server.session, REPLY_SECONDS)
        for number in range(rounds):
            others = wait_until_quiet(QUIET_DEADLINE_SECONDS)
            if others > QUIET_CPUS:
                print(f"note: round {number + 1} began while others kept {others:.1f} CPUs busy", flush=True)
            alone, _ = at_once(wide.port, 1)
            both, where = at_once(wide.port, 2)
            serial, _ = at_once(narrow.port, 2)
            for name, seconds in zip(taken, (alone, both, serial), strict=True):
                taken[name].append(seconds)
            times = f"alone {alone:.3f} s, two on two {both:.3f} s, two on one {serial:.3f} s"
            print(f"  round {number + 1}: {times}; in interpreters {', '.join(where)}", file=sys.stderr, flush=True)
            if len(set(where)) != 2:
                raise SystemExit(f"error: both requests ran in interpreter {where[0]} while the other was idle")
    return taken


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: expected 1 or more")
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    if len(cpus) < 2:
        print("note: only one CPU: nothing can run in parallel here")
    installed = environment.prepare(options.wheel, [OURS])
    machine = report.machine_facts()
    settings = Settings("cpu300ms", 2, cpus, environment.BIN, apps.calibrate())
    taken = measured(settings, options.rounds)
    middles = {name: statistics.median(seconds) for name, seconds in taken.items()}
    # Neighbours only ever add to a wall time: on a noisy machine the least is the nearest to the truth.
    least = {name: min(seconds) for name, seconds in taken.items()}
    print(f"two CPU-bound requests at once; wall time of {options.rounds} rounds")
    lines = [["", "median s", "by one alone", "least s", "by one alone"]]
    for name in taken:
        cells = [f"{figure[name]:.3f} {figure[name] / figure['alone']:.2f}".split() for figure in (middles, least)]
        lines.append([name, *cells[0], *cells[1]])
    print(report.aligned(lines))
    ratio, best = (figure["two on two"] / figure["two on one"] for figure in (middles, least))
    print(
        f"two interpreters against one: ratio {ratio:.2f}, of the least {best:.2f} (0.50: parallel, 1.00: nothing is)"
    )
    content: dict[str, object] = {
        "case": "parallel",
        "seconds": taken,
        "medians": middles,
        "least": least,
        "ratio": ratio,
    }
    report.write(options.results / "parallel.json", content, installed, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
