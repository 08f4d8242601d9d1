"""Sockets that the server makes itself: --host and --port, --bind, and paths of unix sockets."""

import os
import re
import socket
import stat

import pytest
from support.sockets import listening
from support.wire import Connection


def serving_on(site):
    return site.wait_for_log(r"\[INFO\] Serving on (\S+)$").group(1)


@pytest.mark.parametrize(
    ("options", "address"),
    [
        (["--port", "0"], r"localhost:\d+"),
        (["--host", "127.0.0.1", "--port", "0"], r"127\.0\.0\.1:\d+"),
        (["--host", "0.0.0.0", "--port", "0"], r"0\.0\.0\.0:\d+"),
        (["--host", "::1", "--port", "0", "--address-family", "AF_INET6"], r"\[?::1\]?:\d+"),
        (["--bind", "127.0.0.1:0"], r"127\.0\.0\.1:\d+"),
        (["--bind", "[::1]:0"], r"\[?::1\]?:\d+"),
        (["--bind", "localhost:0"], r"localhost:\d+"),
    ],
)
def test_a_tcp_address_is_bound_and_the_real_port_is_said(server, options, address):
    site = server("apps.hello:app", *options, listen=None)
    said = serving_on(site)
    assert re.fullmatch(address, said)
    host, _, port = said.rpartition(":")
    assert port != "0"
    site.address = {"0.0.0.0": "127.0.0.1"}.get(host, host.strip("[]")), int(port)
    assert site.get().status == 200


@pytest.mark.parametrize("given", ["--bind=unix:{path}", "--host=unix:{path}"])
def test_a_unix_path_is_bound_and_unlinked_at_the_end(server, tmp_path, given):
    path = tmp_path / "own.sock"
    site = server("apps.hello:app", given.format(path=path), listen=None)
    assert serving_on(site) == f"unix:{path}"
    site.address = str(path)
    assert site.get().status == 200
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert site.stop() == 0
    assert not path.exists()


def test_a_stale_unix_path_is_replaced(server, tmp_path):
    path = tmp_path / "stale.sock"
    listening("unix", path).close()
    assert path.exists()
    site = server("apps.hello:app", "--bind", f"unix:{path}", listen=None)
    site.address = str(path)
    assert site.get().status == 200


def test_the_path_of_a_killed_server_is_replaced(server, tmp_path):
    path = tmp_path / "killed.sock"
    first = server("apps.hello:app", "--bind", f"unix:{path}", listen=None).expect(-9)
    assert first.stop(9) == -9
    assert path.exists()
    site = server("apps.hello:app", "--bind", f"unix:{path}", listen=None)
    site.address = str(path)
    assert site.get().status == 200


def test_a_live_unix_path_is_refused_and_left_alone(command, tmp_path):
    path = tmp_path / "live.sock"
    with listening("unix", path):
        done = command("--bind", f"unix:{path}")
        assert done.returncode == 5
        assert str(path) in done.stderr
        with Connection(str(path)):
            pass


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_path_that_is_no_socket_is_refused_and_left_alone(command, tmp_path, what):
    path = tmp_path / "precious"
    path.write_text("precious") if what == "file" else path.mkdir()
    done = command("--bind", f"unix:{path}")
    assert done.returncode == 5
    assert str(path) in done.stderr
    assert path.exists()
    assert what == "folder" or path.read_text() == "precious"


def test_a_path_that_somebody_else_has_taken_over_is_not_unlinked(server, tmp_path):
    """Only what we made is ours to remove."""
    path = tmp_path / "taken.sock"
    site = server("apps.hello:app", "--bind", f"unix:{path}", listen=None)
    path.unlink()
    with listening("unix", path):
        assert site.stop() == 0
        assert path.exists()


def test_a_path_in_a_folder_that_is_not_there_is_refused(command, tmp_path):
    done = command("--bind", f"unix:{tmp_path}/not/there.sock")
    assert done.returncode == 5
    assert f"{tmp_path}/not/there.sock" in done.stderr


def test_a_path_too_long_for_a_unix_socket_is_refused(command, tmp_path):
    done = command("--bind", "unix:" + str(tmp_path / ("x" * 120)))
    assert done.returncode in (2, 5)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_no_path_is_left_when_the_application_cannot_be_loaded(command, tmp_path):
    path = tmp_path / "own.sock"
    assert command("--bind", f"unix:{path}", "apps.broken_import:app").returncode == 4
    assert not path.exists()


@pytest.mark.parametrize("form", ["--port", "--bind"])
def test_a_port_in_use_is_refused_with_status_5(command, form):
    with listening("tcp") as made:
        port = made.getsockname()[1]
        options = ["--host", "127.0.0.1", "--port", port] if form == "--port" else ["--bind", f"127.0.0.1:{port}"]
        done = command(*options)
    assert done.returncode == 5, done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_does_not_resolve_is_refused_with_status_5(command):
    done = command("--host", "no-such-host.invalid", "--port", "0")
    assert done.returncode == 5
    assert "no-such-host.invalid" in done.stderr


def test_an_address_that_is_not_ours_is_refused_with_status_5(command):
    done = command("--bind", "192.0.2.1:0")
    assert done.returncode == 5
    assert "192.0.2.1" in done.stderr


def test_a_bound_port_can_be_bound_again_at_once(server):
    """SO_REUSEADDR: connections of the last server may still be in TIME_WAIT."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        site = server("apps.hello:app", "--bind", f"127.0.0.1:{port}", listen=None)
        site.address = ("127.0.0.1", port)
        with site.connect() as connection:
            connection.get("/")
            assert site.stop() == 0


# Descriptors that cannot be adopted: status 5, one line, the number and the cure in it


@pytest.fixture
def descriptor(tmp_path):
    """A function that opens something that is no listening stream socket."""
    opened = []

    def make(kind):
        if kind == "file":
            made = open(tmp_path / "file", "wb")  # noqa: SIM115 (closed below)
        elif kind == "pipe":
            reading, writing = os.pipe()
            opened.append(os.fdopen(writing, "wb"))
            made = os.fdopen(reading, "rb")
        elif kind == "datagram":
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("127.0.0.1", 0))
        elif kind == "not listening":
            made = socket.socket()
            made.bind(("127.0.0.1", 0))
        elif kind == "reuseport in args":  # what Circus leaves: neither bound nor listening
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif kind == "connected":
            made, other = socket.socketpair()
            opened.append(other)
        opened.append(made)
        return made.fileno()

    yield make
    for one in opened:
        one.close()


CURES = {
    "file": "socket",
    "pipe": "socket",
    "datagram": "SOCK_STREAM|stream",
    "not listening": "listen",
    "reuseport in args": "so_reuseport",
    "connected": "listen",
}


@pytest.mark.parametrize("kind", CURES)
@pytest.mark.parametrize("option", ["--fd={}", "--bind=fd://{}"])
def test_a_descriptor_that_cannot_be_served_is_refused_with_its_cure(command, descriptor, kind, option):
    fd = descriptor(kind)
    done = command(option.format(fd), pass_fds=[fd])
    assert done.returncode == 5, done.stderr
    assert re.search(rf"\b{fd}\b", done.stderr)
    assert re.search(CURES[kind], done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("fd", [99, 12345])
def test_a_descriptor_that_is_not_open_is_refused_with_its_cure(command, fd):
    done = command("--fd", fd)
    assert done.returncode == 5, done.stderr
    assert re.search(rf"\b{fd}\b", done.stderr)
    assert "use_sockets" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_standard_input_that_is_no_socket_is_refused(command):
    done = command("--fd", "0")
    assert done.returncode == 5
    assert re.search(r"\b0\b", done.stderr)
