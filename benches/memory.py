"""Does memory grow with requests? Resident bytes before and after at least 100,000 of them.

    python3.13 benches/memory.py [--wheel FILE] [--interpreters 1,2] [--requests 100000]

For hello and for Flask, and for each number of interpreters: warms the server up, sends the requests in four parts over
64 keep-alive connections, and prints the resident size (RSS) after each part and its growth per request. wrk loads for
seconds, not for a number of requests: each part is as many seconds as it takes to have its quarter answered.

A leak grows alike in each part; a cache that fills, or an allocator that settles, grows ever less.

Owns one server at a time, and benches/results/memory.json.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import apps
import environment
import report
from loads import Load, LoadError, run_wrk
from measure import MIB, usage, wait_until_idle
from servers import OURS, Probe, Server, ServerError, Settings

APPS = {"hello": "hello", "flask": "flask_hello"}
PARTS = 4
# Past the first growth of each allocator arena, of the thread pools and of CPython's specialised code.
WARM_UP_REQUESTS = 20_000
# A bound. Flask on one busy CPU answers a quarter of the requests in 10 s.
PART_SECONDS = 120
IDLE_DEADLINE_SECONDS = 10


@dataclass(frozen=True)
class Part:
    requests: int  # answered in it
    rss_bytes: int  # when the server was idle after it


def send(server: Server, requests: int, cpus: tuple[int, ...]) -> Part:
    """Have at least `requests` answered, wait for idleness and read the resident size."""
    answered = 0
    for _ in range(PART_SECONDS):
        outcome = run_wrk(server.port, Load(cpus, seconds=1))
        if outcome.errors:
            raise server.failed(f"{outcome.errors} requests refused, broken or late")
        answered += outcome.requests
        if answered >= requests:
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            return Part(answered, usage(server.session).rss_bytes)
    raise server.failed(f"{answered} of {requests} requests answered in {PART_SECONDS} s")


def run_parts(settings: Settings, requests: int) -> list[Part]:
    """Return the warm-up and the parts after it."""
    with Server(OURS, settings) as server:
        server.wait_until_right(Probe(b"", apps.GREETING))
        wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
        warm_up = send(server, WARM_UP_REQUESTS, settings.cpus)
        return [warm_up, *(send(server, requests // PARTS, settings.cpus) for _ in range(PARTS))]


def counts(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected numbers of 1 or more")
    return numbers


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--apps", default=",".join(APPS), metavar="A,B", help=f"of {', '.join(APPS)} (default: all)")
    parser.add_argument("--interpreters", type=counts, default=[1, 2], metavar="N,M", help="(default: 1,2)")
    parser.add_argument("--requests", type=int, default=100_000, metavar="N", help="at least so many (default: 100000)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    options.apps = options.apps.split(",")
    unknown = [name for name in options.apps if name not in APPS]
    if unknown:
        parser.error(f"--apps {','.join(unknown)}: there are {', '.join(APPS)}")
    if options.requests < PARTS:
        parser.error(f"--requests {options.requests}: expected {PARTS} or more")
    return options


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    options = options_of(arguments)
    installed = environment.prepare(options.wheel, [OURS])
    machine = report.machine_facts()
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    headings = ["RSS MiB after warm-up", *(f"part {number + 1}" for number in range(PARTS))]
    lines = [["application", "interpreters", *headings, "requests", "bytes/request"]]
    taken = []
    failed = False
    for name in options.apps:
        for interpreters in options.interpreters:
            settings = Settings(APPS[name], interpreters, cpus, environment.BIN, loops_per_ms=1)
            print(f"  {name}, {interpreters} interpreters", file=sys.stderr, flush=True)
            try:
                warm_up, *parts = run_parts(settings, options.requests)
            except (ServerError, LoadError) as error:
                print(f"FAILED: {name}, {interpreters} interpreters: {error}", flush=True)
                failed = True
                continue
            requests = sum(part.requests for part in parts)
            growth = (parts[-1].rss_bytes - warm_up.rss_bytes) / requests
            cells = [f"{part.rss_bytes / MIB:.2f}" for part in (warm_up, *parts)]
            lines.append([name, str(interpreters), *cells, str(requests), f"{growth:.2f}"])
            readings = {"warm_up": vars(warm_up), "parts": [vars(part) for part in parts]}
            taken.append({"app": name, "interpreters": interpreters, **readings, "bytes_per_request": growth})
    print("growth of the resident size with requests, after warming up")
    print(report.aligned(lines))
    content: dict[str, object] = {"case": "memory", "runs": taken}
    report.write(options.results / "memory.json", content, installed, machine)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
