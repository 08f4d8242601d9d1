"""systemd's side: what is told to NOTIFY_SOCKET, as Type=notify-reload needs it."""

import socket
from signal import SIGHUP

import pytest
from support.code import Code, reload
from support.isolation import REPLACEABLE
from support.waiting import soon


@pytest.fixture
def manager(tmp_path):
    """A datagram socket that hears, and what it has heard, line by line."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.setblocking(False)
    lines = []

    def hear():
        while True:
            try:
                lines.extend(listening.recv(4096).decode().splitlines())
            except BlockingIOError:
                return lines

    hear.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with listening:
        yield hear


def test_ready_and_stopping_are_told(server, manager):
    site = server("apps.hello:app", env=manager.environment)
    soon(lambda: "READY=1" in manager())
    assert site.stop() == 0
    assert "STOPPING=1" in manager()


@REPLACEABLE
def test_a_reload_is_told_with_its_time_and_ends_ready(server, manager, tmp_path):
    code = Code(tmp_path / "code")
    site = server("changing:app", *code.options, env=manager.environment)
    assert reload(site, SIGHUP).startswith("reloaded: ")
    code.write("broken(\n")
    assert reload(site, SIGHUP).startswith("reload failed")
    told = soon(lambda: [line for line in manager() if not line.startswith(("STATUS", "MONOTONIC"))][4:] and manager())
    words = [line.partition("=")[0] for line in told if not line.startswith("STATUS")]
    assert words == ["READY", "RELOADING", "MONOTONIC_USEC", "READY", "RELOADING", "MONOTONIC_USEC", "READY"]
    assert any("the last reload failed, the old code serves" in line for line in told)


def test_signs_of_life_end_while_every_interpreter_is_stuck(server, manager, gate):
    here = gate()
    site = server("apps.waiting:app", env={**manager.environment, "WATCHDOG_USEC": "400000"})
    soon(lambda: manager().count("WATCHDOG=1") >= 3)
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()

        def silent():
            manager().clear()
            return not any("WATCHDOG" in line for line in (pause(1.0), manager())[1])

        def pause(seconds):
            # One wait of a known length: what is looked for is that nothing comes.
            connection.socket.settimeout(seconds)
            with pytest.raises(TimeoutError):
                connection.socket.recv(1)

        soon(silent)
        here.open()
        connection.socket.settimeout(15)
        assert connection.response().status == 200
    soon(lambda: "WATCHDOG=1" in manager())


def test_what_the_application_starts_does_not_hear_of_the_manager(server, manager):
    site = server("apps.environ:app", env={**manager.environment, "WATCHDOG_USEC": "400000"})
    soon(lambda: "READY=1" in manager())
    assert site.get().status == 200
    import re

    assert not re.search("NOTIFY_SOCKET|WATCHDOG", site.get().text)
