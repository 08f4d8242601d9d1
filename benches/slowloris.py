"""What do 2,000 clients that drip their requests byte by byte (Slowloris) cost a normal one?

    python3.13 benches/slowloris.py [--wheel FILE] [--drippers 2000] [--rounds N]

A normal client sends a request every 2 ms over one keep-alive connection, alternately with nobody else there and beside
the drippers: each holds a connection open and sends one byte of a head a second; one that the server has answered 408
comes back at once. Prints the latencies (each counted from when its request was due, so a late one counts in full),
their ratio, and the resident size per dripping connection.

Owns one server, one dripping process, and benches/results/slowloris.json.
"""

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import apps
import environment
import report
from measure import usage
from servers import OURS, Probe, Server, Settings

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
DRIPPED = b"GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: " + b"s" * 1000
# Between two requests of the normal client: slow enough that the machine is idle most of the time.
EVERY_SECONDS = 0.002
PHASE_SECONDS = 5
# Connecting 2,000 clients takes a fraction of this.
GATHER_SECONDS = 30
REPLY_SECONDS = 30


def normal(port: int, seconds: float) -> list[float]:
    """Send requests on schedule; return the seconds from when each was due to its last byte."""
    taken = []
    with socket.create_connection(("127.0.0.1", port), REPLY_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = began = time.perf_counter()
        while due - began < seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.sendall(REQUEST)
            reply = connection.recv(65536)
            if not reply.startswith(b"HTTP/1.1 200 ") or not reply.endswith(apps.GREETING):
                raise SystemExit(f"error: the normal client was answered {reply[:200]!r}")
            taken.append(time.perf_counter() - due)
            due += EVERY_SECONDS
    return taken


def drip(port: int, count: int) -> None:
    """Hold `count` connections, each sending a byte a second, until standard input closes."""
    selector = selectors.DefaultSelector()
    dripping: dict[socket.socket, int] = {}

    def connect() -> None:
        connection = socket.create_connection(("127.0.0.1", port), GATHER_SECONDS)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        dripping[connection] = 0

    def replace(connection: socket.socket) -> None:
        selector.unregister(connection)
        del dripping[connection]
        connection.close()
        connect()

    for _ in range(count):
        connect()
    os.set_blocking(0, False)
    print("dripping", flush=True)
    while True:
        turn = time.monotonic()
        for number, connection in enumerate(list(dripping)):
            sent = dripping[connection]
            try:
                connection.send(DRIPPED[sent : sent + 1])
                dripping[connection] = sent + 1
            except OSError:
                replace(connection)
            # Spread over the second: a burst of 2,000 would be another attack.
            if number % 50 == 0:
                behind = turn + number / count - time.monotonic()
                for key, _ in selector.select(max(0.0, behind)):
                    replace(key.fileobj)  # type: ignore[arg-type]
        try:
            if os.read(0, 1) == b"":
                return
        except BlockingIOError:
            pass


class Drippers:
    """The dripping process: `with Drippers(port, count):`."""

    def __init__(self, port: int, count: int) -> None:
        command = [sys.executable, __file__, "--drip", str(port), "--drippers", str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"dripping\n":
            raise SystemExit(f"error: the drippers could not connect: status {self._process.wait(GATHER_SECONDS)}")

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(GATHER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--drippers", type=int, default=2000, metavar="N")
    parser.add_argument("--drip", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    if options.drip:
        drip(options.drip, options.drippers)
        return 0
    if min(options.rounds, options.drippers) < 1:
        parser.error("--rounds and --drippers: expected 1 or more")
    installed = environment.prepare(options.wheel, [OURS])
    machine = report.machine_facts()
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    figures: dict[str, list[float]] = {name: [] for name in ("p50", "p99", "p50 beside", "p99 beside")}
    per_connection = []
    with Server(OURS, Settings("hello", 1, cpus, environment.BIN, loops_per_ms=1)) as server:
        server.wait_until_right(Probe(b"", apps.GREETING))
        normal(server.port, 1)
        for number in range(options.rounds):
            alone = normal(server.port, PHASE_SECONDS)
            before = usage(server.session).rss_bytes
            with Drippers(server.port, options.drippers):
                beside = normal(server.port, PHASE_SECONDS)
                per_connection.append((usage(server.session).rss_bytes - before) / options.drippers)
            for name, taken in (("", alone), (" beside", beside)):
                for percent in (50, 99):
                    figures[f"p{percent}{name}"].append(percentile(taken, percent) * 1000)
            last = ", ".join(f"{name} {values[-1]:.3f} ms" for name, values in figures.items())
            print(f"  round {number + 1}: {last}", file=sys.stderr, flush=True)
    middles = {name: statistics.median(values) for name, values in figures.items()}
    ratio = middles["p99 beside"] / middles["p99"]
    print(f"a normal client, alone and beside {options.drippers} dripping ones; medians of {options.rounds} rounds")
    lines = [["", "p50 ms", "p99 ms"]]
    lines += [
        [name, f"{middles['p50' + key]:.3f}", f"{middles['p99' + key]:.3f}"]
        for name, key in (("alone", ""), ("beside", " beside"))
    ]
    print(report.aligned(lines))
    size = max(per_connection)
    print(f"p99 beside by p99 alone: {ratio:.2f}; {size / 1024:.1f} KiB of RSS a dripping connection (most of a round)")
    content: dict[str, object] = {
        "case": "slowloris",
        "milliseconds": figures,
        "medians": middles,
        "ratio": ratio,
        "bytes_per_connection": per_connection,
    }
    report.write(options.results / "slowloris.json", content, installed, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
