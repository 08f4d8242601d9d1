"""Figures pushed to a statsd: a socket of the test, and the real server of that name (npm's `statsd`)."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from support.process import HERE
from support.waiting import soon
from support.wire import Connection

FOLDER = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "statsd" / "node_modules" / "statsd"

#: What frames of Ethernet hold whole.
DATAGRAM = 1432


class Received:
    """Datagrams that have come to a socket."""

    def __init__(self, made):
        self.socket, self.datagrams = made, []
        made.setblocking(False)

    def lines(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.datagrams.append(self.socket.recv(65536).decode())
        return "\n".join(self.datagrams).split("\n")

    def sum(self, name):
        """What a counter has come to."""
        return sum(
            int(found[1]) for line in self.lines() if (found := re.fullmatch(rf"{re.escape(name)}:(\d+)\|c", line))
        )

    def values(self, name, kind):
        found = [re.fullmatch(rf"{re.escape(name)}:([\d.]+)\|{kind}", line) for line in self.lines()]
        return [float(match[1]) for match in found if match]


@pytest.fixture(params=["udp", "udp6", "unix"])
def statsd(request, tmp_path):
    """A socket that statsd's datagrams come to, and what --statsd is to be for it."""
    family, name = {
        "udp": (socket.AF_INET, "127.0.0.1"),
        "udp6": (socket.AF_INET6, "::1"),
        "unix": (socket.AF_UNIX, str(tmp_path / "statsd.sock")),
    }[request.param]
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.bind(name if request.param == "unix" else (name, 0))
        port = made.getsockname()[1]
        address = {"udp": f"127.0.0.1:{port}", "udp6": f"[::1]:{port}", "unix": f"unix:{name}"}[request.param]
        yield address, Received(made)


def test_each_request_is_told_by_gunicorns_names(server, statsd):
    address, received = statsd
    site = server("apps.anywhere:app", "--statsd", address, "--statsd-prefix", "gunicorn")
    for _ in range(5):
        assert site.get("/hello").status == 200
    site.raw(b"nonsense\r\n\r\n")
    soon(lambda: received.sum("gunicorn.requests") == 6, what=received.lines)
    assert received.sum("gunicorn.request.status.200") == 5
    assert received.sum("gunicorn.request.status.400") == 1
    assert len(received.values("gunicorn.request.duration", "ms")) == 6
    waited = received.values("gunicorn.request.queue", "ms")
    assert len(waited) == 5
    assert all(value < 15_000 for value in waited)
    assert all(len(datagram) <= DATAGRAM for datagram in received.datagrams)


def test_lines_of_the_log_and_gauges_are_told_though_no_request_comes(server, statsd):
    address, received = statsd
    site = server("apps.anywhere:app", "--statsd", address, "--spawn", "3")
    assert "[WARNING] --spawn has no effect" in site.log
    soon(lambda: received.sum("chaussette.log.warning") == 1, what=received.lines)
    soon(lambda: 1.0 in received.values("chaussette.workers", "g"), what=received.lines)
    soon(lambda: 0.0 in received.values("chaussette.queue", "g"), what=received.lines)
    assert received.sum("chaussette.requests") == 0


def test_a_thousand_requests_fill_datagrams_and_none_is_missing(server, statsd):
    address, received = statsd
    site = server("apps.anywhere:hello", "--statsd", address)
    with site.connect() as connection:
        # A unix socket holds 10 datagrams (net.unix.max_dgram_qlen), and nobody waits for a receiver that is behind.
        for told in range(100, 1001, 100):
            for _ in range(100):
                assert connection.get("/").status == 200
            soon(
                lambda n=told: received.sum("chaussette.requests") == n,
                what=lambda: received.sum("chaussette.requests"),
            )
    assert len(received.values("chaussette.request.duration", "ms")) == 1000
    assert max(map(len, received.datagrams)) <= DATAGRAM


def test_the_last_request_is_told_at_the_end(server, statsd):
    address, received = statsd
    site = server("apps.anywhere:hello", "--statsd", address)
    assert site.get().status == 200
    assert site.stop() == 0
    assert received.sum("chaussette.requests") == 1


def test_a_statsd_that_is_gone_is_told_once_and_found_when_it_is_back(server, tmp_path):
    path = tmp_path / "statsd.sock"
    site = server("apps.anywhere:hello", "--statsd", f"unix:{path}")
    assert site.get().status == 200
    site.wait_for_log(rf"\[WARNING\] statsd unix:{path}: \d+ datagrams were lost: No such file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        received = Received(made)
        assert site.get().status == 200
        soon(lambda: received.sum("chaussette.requests") >= 1, what=received.lines)
    assert site.log.count("datagrams were lost") == 1


def test_beside_an_access_log_both_are_told(server, statsd, tmp_path):
    address, received = statsd
    site = server("apps.anywhere:hello", "--statsd", address, "--access-log", tmp_path / "access")
    assert site.get().status == 200
    soon(lambda: received.sum("chaussette.requests") == 1, what=received.lines)
    soon(lambda: len((tmp_path / "access").read_text().splitlines()) == 1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("statsd:x", "--statsd statsd:x: "),
        ("nosuch.invalid", "--statsd nosuch.invalid:8125: cannot be sent to: "),
        ("fd://3", "an inherited socket is for serving: write HOST:8125 or unix:/path"),
    ],
)
def test_what_cannot_be_told_anything_is_status_2(command, value, said):
    done = command("--port", "0", "--statsd", value)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_backends_tell_nothing_and_say_so(server):
    assert (
        "--statsd has no effect with --backend wsgiref"
        in server("apps.anywhere:hello", "--backend", "wsgiref", "--statsd", "127.0.0.1").log
    )


# The real one


def free_port(kind):
    """A port that nobody has: this server wants to be told before it starts."""
    with socket.socket(socket.AF_INET, kind) as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@pytest.fixture
def real_statsd(tmp_path):
    """Its UDP port, and a function that asks it for its counters and timers."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None or not (FOLDER / "stats.js").exists():
        pytest.skip(f"NOT TESTED: no statsd at {FOLDER}; cure: .ci/install-statsd")
    port, management = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    config = tmp_path / "config.js"
    config.write_text(
        f"{{port: {port}, address: '127.0.0.1', mgmt_port: {management}, mgmt_address: '127.0.0.1',"
        " flushInterval: 3600000, backends: []}"
    )
    process = subprocess.Popen([node, FOLDER / "stats.js", config], stdout=subprocess.DEVNULL, cwd=tmp_path)

    def ask(what):
        with socket.create_connection(("127.0.0.1", management), 5) as connection:
            connection.sendall(f"{what}\n".encode())
            answer = b""
            while not answer.endswith(b"END\n\n" if what != "health" else b"\n"):
                answer += connection.recv(65536) or pytest.fail(f"{what}: {answer}")
            return answer.decode()

    def is_up():
        with contextlib.suppress(OSError):
            return ask("health") == "health: up\n"

    try:
        soon(is_up, 30, what="statsd")
        yield port, ask
    finally:
        process.terminate()
        process.wait(10)


def test_the_real_statsd_understands_every_line(server, real_statsd):
    port, ask = real_statsd
    site = server("apps.anywhere:app", "--statsd", f"127.0.0.1:{port}", "--statsd-prefix", "web.gunicorn")
    with Connection(site.address) as connection:
        for _ in range(100):
            assert connection.get("/hello").status == 200
    soon(lambda: "'web.gunicorn.requests': 100" in ask("counters"), what=lambda: ask("counters"))
    counters = ask("counters")
    assert "'web.gunicorn.request.status.200': 100" in counters
    assert "'statsd.bad_lines_seen': 0" in counters
    timers = re.search(r"'web\.gunicorn\.request\.duration': \[(.*?)\]", ask("timers"), re.DOTALL)
    assert "web.gunicorn.request.queue" in ask("timers")
    assert timers
    soon(lambda: "'web.gunicorn.workers': 1" in ask("gauges"), what=lambda: ask("gauges"))
