"""Few connections, many workers: does a worker idle while a request waits?

The client knows when it sent each request, the application (apps.stamped) when and where it began with it and was done,
by the one clock of the machine. So the times are laid over each other afterwards, with nothing inside the server: a
request waits from when it was sent until an application has it; a worker is busy from then until the application is
done. What is counted is time in which both are true: a request has waited for longer than a hand-over takes, and fewer
workers than there are were busy.

Owns the client's connections.
"""

import selectors
import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from figures import Figures
from measure import wait_until_idle
from servers import Probe, Server, Settings

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
# Waking a thread, on a virtual machine with neighbours: what is longer is a wait for somebody else.
HANDOVER_NS = 1_000_000
REPLY_SECONDS = 30
IDLE_DEADLINE_SECONDS = 10
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Served:
    """One request: nanoseconds of the machine's monotonic clock."""

    worker: str
    sent: int
    entered: int
    left: int


def idle_beside_waiting(requests: Sequence[Served], workers: int, handover: int = HANDOVER_NS) -> float:
    """Return the share of the time, from first to last, in which a request waited and a worker was idle."""
    # At equal times a worker is done before another request begins or waits.
    changes: list[tuple[int, int, int]] = []
    for one in requests:
        changes += [(one.entered, 0, 1), (one.left, 0, -1)]
        due = one.sent + handover
        if one.entered > due:
            changes += [(due, 1, 0), (one.entered, -1, 0)]
    changes.sort()
    waiting = busy = both = 0
    before = changes[0][0]
    for when, waits, works in changes:
        if waiting and busy < workers:
            both += when - before
        waiting += waits
        busy += works
        before = when
    return both / (changes[-1][0] - changes[0][0])


@dataclass(frozen=True)
class Skewed:
    """So many keep-alive connections, each with one request at a time, as fast as they are answered."""

    connections: int

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        with Server(name, settings) as server:
            server.wait_until_right(Probe(b"", None))
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            requests = ask(server, self.connections, seconds)
        waits = [one.entered - one.sent for one in requests]
        return {
            "idle_beside_waiting": idle_beside_waiting(requests, settings.workers),
            "handover_us": statistics.median(waits) / 1000,
            "longest_wait_ms": max(waits) / 1_000_000,
            "requests_per_second": len(requests) / seconds,
        }


def ask(server: Server, connections: int, seconds: int) -> list[Served]:
    """Keep one request under way on each connection; return those that were answered in time."""
    requests: list[Served] = []
    sent: dict[socket.socket, int] = {}
    selector = selectors.DefaultSelector()

    def send(connection: socket.socket) -> None:
        sent[connection] = time.monotonic_ns()
        connection.sendall(REQUEST)

    try:
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", server.port), REPLY_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            send(connection)
        deadline = time.monotonic_ns() + seconds * NANOSECONDS
        while time.monotonic_ns() < deadline:
            ready = selector.select(REPLY_SECONDS)
            if not ready:
                raise server.failed(f"answered none of {connections} requests within {REPLY_SECONDS} s")
            for key, _ in ready:
                body = _received(server, key)
                if body is None:
                    continue
                worker, entered, left = body.decode().split()
                requests.append(Served(worker, sent[key.fileobj], int(entered), int(left)))  # type: ignore[index]
                send(key.fileobj)  # type: ignore[arg-type]
    finally:
        for connection in sent:
            connection.close()
        selector.close()
    if not requests:
        raise server.failed(f"answered nothing in {seconds} s")
    return requests


def _received(server: Server, key: selectors.SelectorKey) -> bytes | None:
    """Return the reply's body once it is whole."""
    buffer: bytearray = key.data
    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
    if not data:
        raise server.failed("closed a connection")
    buffer += data
    head, end, body = bytes(buffer).partition(b"\r\n\r\n")
    length = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if not end or not length or len(body) < int(length[0]):
        return None
    if not head.startswith(b"HTTP/1.1 200 "):
        raise server.failed(f"answered {head[:200]!r}")
    buffer.clear()
    return body
