"""Does memory grow with requests? Resident bytes before and after 100,000 of them.

    python3.13 benches/memory.py [--wheel FILE] [--interpreters 1,2] [--requests 100000]

For hello and for Flask, and for each number of interpreters: warms the server up, sends the requests in four equal
parts over 64 keep-alive connections, and prints the resident size (RSS) after each part and its growth per request. A
leak grows alike in each part; a cache that fills, or an allocator that settles, grows ever less.

Owns one server at a time, and benches/results/memory.json.
"""

import argparse
import os
import sys
from pathlib import Path

import apps
import environment
import report
from measure import Load, LoadError, run_wrk, usage, wait_until_idle
from servers import OURS, Probe, Server, ServerError, Settings

APPS = {"hello": "hello", "flask": "flask_hello"}
PARTS = 4
# Past the first growth of each allocator arena, of the thread pools and of CPython's specialised code.
WARM_UP_REQUESTS = 20_000
# For one part. Flask on one busy CPU answers 25,000 requests in 10 s.
PART_SECONDS = 120
IDLE_DEADLINE_SECONDS = 10


def send(server: Server, requests: int, cpus: tuple[int, ...]) -> int:
    """Have `requests` answered, wait for idleness and return the resident bytes."""
    outcome = run_wrk(server.port, Load(cpus, PART_SECONDS, stop_after=requests))
    if outcome.requests < requests or outcome.errors:
        raise server.failed(f"{outcome.requests} of {requests} requests answered, {outcome.errors} errors")
    wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
    return usage(server.session).rss_bytes


def resident_sizes(settings: Settings, requests: int) -> list[int]:
    """Return the resident bytes after the warm-up and after each part."""
    with Server(OURS, settings) as server:
        server.wait_until_right(Probe(b"", apps.GREETING))
        wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
        sizes = [send(server, WARM_UP_REQUESTS, settings.cpus)]
        for _ in range(PARTS):
            sizes.append(send(server, requests // PARTS, settings.cpus))
        return sizes


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
    parser.add_argument("--requests", type=int, default=100_000, metavar="N", help="after warming up (default: 100000)")
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
    requests = options.requests // PARTS * PARTS
    warm = f"RSS MiB after {WARM_UP_REQUESTS}"
    lines = [["application", "interpreters", warm, *(f"+{requests // PARTS}" for _ in range(PARTS)), "bytes/request"]]
    taken = []
    failed = False
    for name in options.apps:
        for interpreters in options.interpreters:
            settings = Settings(APPS[name], interpreters, cpus, environment.BIN, loops_per_ms=1)
            print(f"  {name}, {interpreters} interpreters", file=sys.stderr, flush=True)
            try:
                sizes = resident_sizes(settings, requests)
            except (ServerError, LoadError) as error:
                print(f"FAILED: {name}, {interpreters} interpreters: {error}", flush=True)
                failed = True
                continue
            growth = (sizes[-1] - sizes[0]) / requests
            cells = [f"{size / report.MIB:.2f}" for size in sizes]
            lines.append([name, str(interpreters), *cells, f"{growth:.2f}"])
            taken.append({"app": name, "interpreters": interpreters, "rss_bytes": sizes, "bytes_per_request": growth})
    print(f"growth of the resident size over {requests} requests")
    print(report.aligned(lines))
    content: dict[str, object] = {"case": "memory", "warm_up": WARM_UP_REQUESTS, "requests": requests, "runs": taken}
    report.write(options.results / "memory.json", content, installed, machine)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
