"""What does a connection cost in each of its states? Resident bytes of the server for each of 1,000 of them.

    python3.13 benches/connections.py [--wheel FILE] [--connections 1000]

Each state on a server of its own, measured after a first round that has warmed it up. Prints KiB of RSS a connection
and the bound that the server keeps in that state.

Owns one server at a time, and benches/results/connections.json.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apps
import environment
import report
from measure import usage, wait_until_idle
from servers import OURS, Probe, Server, Settings

HEAD = b"GET / HTTP/1.1\r\nHost: bench\r\n"
# Longer than the second after which an idle connection gives its buffers back.
DOZE_SECONDS = 1.5
IDLE_DEADLINE_SECONDS = 20
REPLY_SECONDS = 30


def accepted(_: socket.socket) -> None:
    """Nothing was sent."""


def answered(connection: socket.socket) -> None:
    """One request was answered."""
    connection.sendall(HEAD + b"\r\n")
    reply = connection.recv(65536)
    if not reply.endswith(apps.GREETING):
        raise SystemExit(f"error: answered {reply[:200]!r}")


def in_head(size: int) -> Callable[[socket.socket], None]:
    def part(connection: socket.socket) -> None:
        connection.sendall((HEAD + b"X: " + b"x" * size)[:size])

    return part


def in_body(size: int) -> Callable[[socket.socket], None]:
    def part(connection: socket.socket) -> None:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 65000\r\n\r\n" + b"x" * size)

    return part


def not_reading(connection: socket.socket) -> None:
    """1 MB is on its way, and the client takes nothing of it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(HEAD + b"\r\n")


#: State, application, what each client does, seconds until it is measured, the bound in words.
STATES = [
    ("accepted, nothing sent", "hello", accepted, 0.0, "--header-timeout"),
    ("answered, for the first second", "hello", answered, 0.0, "1 s"),
    ("answered, idle", "hello", answered, DOZE_SECONDS, "--keep-alive"),
    ("100 bytes into a head", "hello", in_head(100), 0.0, "--header-timeout"),
    ("30,000 bytes into a head", "hello", in_head(30_000), 0.0, "--max-header-size"),
    ("60,000 bytes into a body", "hello", in_body(60_000), 0.0, "64 KiB, and one read"),
    ("reading nothing of 1 MB", "mb", not_reading, 0.5, "256 KiB, and one write"),
]


def measured(settings: Settings, act: Callable[[socket.socket], None], wait: float, count: int) -> float:
    """Return the bytes of RSS for each of `count` connections in the state that `act` leads to."""
    with Server(OURS, settings) as server:
        server.wait_until_right(Probe(b"", None))
        sizes = []
        for _ in range(2):
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            before = usage(server.session).rss_bytes
            connections = []
            try:
                for _ in range(count):
                    connections.append(socket.create_connection(("127.0.0.1", server.port), REPLY_SECONDS))
                    act(connections[-1])
                time.sleep(wait)
                wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
                sizes.append(usage(server.session).rss_bytes - before)
            finally:
                for connection in connections:
                    connection.close()
        # The allocator keeps what the first round had: growth beyond it would be a leak.
        return max(sizes) / count


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--connections", type=int, default=1000, metavar="N")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    if options.connections < 1:
        parser.error(f"--connections {options.connections}: expected 1 or more")
    installed = environment.prepare(options.wheel, [OURS])
    machine = report.machine_facts()
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    lines = [["a connection that is", "KiB", "bound"]]
    taken = []
    for state, app, act, wait, bound in STATES:
        size = measured(Settings(app, 1, cpus, environment.BIN, loops_per_ms=1), act, wait, options.connections)
        lines.append([state, f"{size / 1024:.1f}", bound])
        taken.append({"state": state, "bytes": size, "bound": bound})
    print(f"resident size for each of {options.connections} connections")
    print(report.aligned(lines))
    report.write(options.results / "connections.json", {"case": "connections", "states": taken}, installed, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
