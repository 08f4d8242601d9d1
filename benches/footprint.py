"""What a server takes while little or nothing happens: memory after many requests, time to start, idle connections."""

import socket
import time
from dataclasses import dataclass

import apps
from figures import Figures
from gunicorn_booted import BOOTED
from loads import send
from measure import MIB, usage, voluntary_switches, wait_until_idle
from servers import OURS, Probe, Server, Settings
from works import IDLE_DEADLINE_SECONDS, load_cpus

KIB = 1024
REPLY_SECONDS = 30
# Longer than the second after which an idle connection gives its buffers back.
DOZE_SECONDS = 1.5
WATCHED_SECONDS = 5
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
# Each server's line for a worker that serves, and whether there is one for each or one for all.
READY = {OURS: ("ready: ", False), "gunicorn": (BOOTED, True)}


@dataclass(frozen=True)
class Memory:
    """Proportional set size (PSS: shared pages count once in all) of all processes after so many requests."""

    requests: int

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        with Server(name, settings) as server:
            server.wait_until_right(Probe(b"", None))
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            send(server.port, self.requests, load_cpus(settings))
            wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
            taken = usage(server.session)
        return {"pss_mib": taken.pss_bytes / MIB, "rss_mib": taken.rss_bytes / MIB}


@dataclass(frozen=True)
class Start:
    """From the start of the process until its own log says that all workers serve."""

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        text, each = READY[name]
        began = time.monotonic()
        with Server(name, settings) as server:
            server.wait_for_lines(text, settings.workers if each else 1)
            return {"start_seconds": time.monotonic() - began}


@dataclass(frozen=True)
class Idle:
    """Keep-alive connections that have been answered once: resident memory for each, and wake-ups of all together."""

    connections: int

    def round(self, name: str, settings: Settings, seconds: int) -> Figures:
        with Server(name, settings) as server:
            server.wait_until_right(Probe(b"", apps.GREETING))
            sizes, wakeups = [], 0.0
            # The allocator keeps what the first turn had, so the larger of the two is what connections take.
            for _ in range(2):
                wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
                before = usage(server.session).rss_bytes
                connections: list[socket.socket] = []
                try:
                    for _ in range(self.connections):
                        connections.append(answered(server))
                    time.sleep(DOZE_SECONDS)
                    wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
                    sizes.append(usage(server.session).rss_bytes - before)
                    switches = voluntary_switches(server.session)
                    time.sleep(WATCHED_SECONDS)
                    wakeups = (voluntary_switches(server.session) - switches) / WATCHED_SECONDS
                finally:
                    for connection in connections:
                        connection.close()
        return {"connection_kib": max(sizes) / self.connections / KIB, "wakeups_per_second": wakeups}


def answered(server: Server) -> socket.socket:
    """Return a connection on which one request was answered."""
    connection = socket.create_connection(("127.0.0.1", server.port), REPLY_SECONDS)
    connection.sendall(REQUEST)
    reply = b""
    while not reply.endswith(apps.GREETING):
        data = connection.recv(65536)
        if not data:
            connection.close()
            raise server.failed(f"closed a connection after {reply[:200]!r}")
        reply += data
    return connection
