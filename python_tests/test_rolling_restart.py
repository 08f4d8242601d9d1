"""Two hosts with Chaussette behind a real HAProxy or nginx, restarted one after the other, under load, by the shipped
configurations.

A host is an address of its own in 127.0.0.0/8.
"""

import re
import socket
import subprocess

import pytest
from support.examples import example, replaced
from support.load import Load
from support.proxies import Proxies, find
from support.waiting import soon
from support.wire import Connection

#: By the name that the configurations have for it.
HOSTS = {"a": "127.0.0.21", "b": "127.0.0.22"}

#: What a client posts, in bytes: more than a segment, less than a buffer.
POSTED = 20_000

#: Rounds of both hosts.
ROUNDS = 3


class Host:
    """A server at an address, and those that follow it there."""

    def __init__(self, server, address):
        self.server, self.address = server, address
        self.port = self.probes = 0
        self.site = None
        self.start()

    def start(self):
        self.site = self.server(
            "apps.behind:app",
            *("--bind", f"{self.address}:{self.port}", "--probes", f"{self.address}:{self.probes}"),
            *("--forwarded-allow-ips", "127.0.0.1", "--forwarded-headers", "x-forwarded-for,x-forwarded-proto"),
            *("--threads", "4", "--clear-untrusted-proxy-headers"),
            listen=None,
        )
        self.port = int(re.search(rf"Serving on {self.address}:(\d+)$", self.site.log, re.MULTILINE).group(1))
        self.probes = int(re.search(rf"Probes on {self.address}:(\d+)$", self.site.log, re.MULTILINE).group(1))

    def restart(self):
        assert self.site.stop() == 0
        self.start()

    def requests(self):
        with Connection((self.address, self.probes)) as connection:
            text = connection.get("/metrics").text
        return float(re.search(r"^chaussette_requests_total (\S+)$", text, re.MULTILINE).group(1))

    def wait_for_requests(self, more=20):
        before = self.requests()
        soon(lambda: self.requests() > before + more, what=f"{more} requests at {self.address}")


class Posting(Load):
    """What cannot be sent twice."""

    def __init__(self, site):
        super().__init__(site, ["/upload"], lambda answer: (answer.status, answer.json()["size"]) == (200, POSTED))

    def _ask(self, connection, path):
        answer = connection.request("POST", path, body=b"x" * POSTED)
        with self.lock:
            self.answered += 1
            if not self.fits(answer):
                self.wrong.append(f"{path}: {answer.status} {answer.body[:200]!r}")
        return answer["Connection"] == "close"


@pytest.fixture
def hosts(server):
    return {name: Host(server, address) for name, address in HOSTS.items()}


@pytest.fixture
def proxies(tmp_path, hosts):
    """Ended before the hosts behind them."""
    for name in ("nginx", "haproxy"):
        if find(name) is None:
            pytest.skip(f"NOT TESTED: no {name} here; cure: .ci/install-servers")
    made = Proxies(tmp_path)
    try:
        yield made
    finally:
        made.clean_up()


class HAProxy:
    """HAProxy by examples/haproxy/two-hosts.cfg, and its socket for orders."""

    def __init__(self, proxies, hosts):
        text = replaced(
            example("haproxy/two-hosts.cfg"),
            ("stats socket /run/haproxy/admin.sock", "stats socket unix@admin.sock"),
            ("check port 8081 ", "check "),
            *((f"server {name} 10.0.0.{n}:8080", self.line(name, hosts[name])) for n, name in enumerate(hosts, 1)),
        )
        self.proxy = proxies.by_text("haproxy", text, "bind :80")
        self.wait_up(*hosts)

    @staticmethod
    def line(name, host):
        return f"server {name} {host.address}:{host.port} port {host.probes}"

    def order(self, words):
        with socket.socket(socket.AF_UNIX) as asked:
            # Its folder by a short name: paths of unix sockets have 108 bytes at most.
            asked.connect(f"/proc/{self.proxy.process.pid}/cwd/admin.sock")
            asked.sendall(f"{words}\n".encode())
            return b"".join(iter(lambda: asked.recv(65536), b"")).decode()

    def column(self, name, column):
        head, *rows = [line.split(",") for line in self.order("show stat").splitlines() if line]
        (row,) = [row for row in rows if row[:2] == ["chaussette", name]]
        return dict(zip(head, row, strict=True))[column]

    def wait_up(self, *names):
        def up():
            # The socket of orders is there a little after the process.
            try:
                return all(self.column(name, "status") == "UP" for name in names)
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        soon(up, what=lambda: f"{names} up; the log was:\n{self.proxy.log}")


@pytest.fixture
def haproxy(proxies, hosts):
    return HAProxy(proxies, hosts)


def test_a_rolling_restart_behind_haproxy_loses_nothing(haproxy, hosts):
    """As the example's head has it: GETs and POSTs, on kept connections and on new ones."""
    with Load(haproxy.proxy, ["/who"]) as reading, Posting(haproxy.proxy) as posting:
        for _ in range(ROUNDS):
            for name, host in hosts.items():
                host.wait_for_requests()
                assert haproxy.order(f"set server chaussette/{name} state drain").strip() == ""
                soon(lambda name=name: haproxy.column(name, "scur") == "0", what=f"nothing in hand at {name}")
                host.restart()
                assert haproxy.order(f"set server chaussette/{name} state ready").strip() == ""
                haproxy.wait_up(name)
                host.wait_for_requests()
    assert reading.answered > 100
    assert posting.answered > 100


def test_a_host_that_ends_unannounced_costs_nothing_that_may_be_sent_twice(haproxy, hosts):
    with Load(haproxy.proxy, ["/who"]) as reading:
        for host in hosts.values():
            host.wait_for_requests()
            host.restart()
            haproxy.wait_up(*hosts)
            host.wait_for_requests()
    assert reading.answered > 100


def test_a_host_that_is_not_ready_gets_no_requests(haproxy, hosts):
    """Behind it nothing listens: the checks are what tells."""
    assert hosts["a"].site.stop() == 0
    soon(lambda: haproxy.column("a", "status").startswith("DOWN"), what="a down")
    answers = {haproxy.proxy.get("/who").status for _ in range(20)}
    assert answers == {200}
    hosts["a"].start()
    haproxy.wait_up("a")


def test_a_host_that_ends_behind_nginx_costs_nothing_that_may_be_sent_twice(proxies, hosts):
    text = replaced(
        example("nginx/two-hosts.conf"),
        *(
            (f"server 10.0.0.{n}:8080 ", f"server {host.address}:{host.port} ")
            for n, host in enumerate(hosts.values(), 1)
        ),
    )
    proxy = proxies.by_text("nginx", text, "listen 80;")
    with Load(proxy, ["/who"]) as reading:
        for host in hosts.values():
            host.wait_for_requests()
            host.restart()
            host.wait_for_requests()
    assert reading.answered > 100


@pytest.mark.parametrize("name", ["haproxy.cfg", "two-hosts.cfg"])
def test_haproxy_finds_nothing_wrong_in_the_examples(tmp_path, name):
    if find("haproxy") is None:
        pytest.skip("NOT TESTED: no haproxy here; cure: .ci/install-servers")
    text = example(f"haproxy/{name}").replace("/run/haproxy/", f"{tmp_path}/")
    (tmp_path / name).write_text(text)
    done = subprocess.run([find("haproxy"), "-c", "-f", name], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["chaussette.conf", "two-hosts.conf"])
def test_nginx_finds_nothing_wrong_in_the_examples(tmp_path, name):
    if find("nginx") is None:
        pytest.skip("NOT TESTED: no nginx here; cure: .ci/install-servers")
    paths = "".join(f"{key}_temp_path {key};\n" for key in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = f"pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{example(f'nginx/{name}')}}}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    command = [find("nginx"), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
