"""Circus's own plugins beside us: who is killed, who is spared, and what brakes a process that cannot live.

Each plugin is Circus's, in the process that circusd gives it. Beside a watcher that a plugin acts on there is one that
it spares, so that no test waits for something not to happen.
"""

import contextlib
import re
import socket

import pytest
from support.circus import BIN, circusd, free_port, socket_section, watcher
from support.code import Code
from support.gates import Gate
from support.waiting import soon
from support.wire import Connection

pytestmark = [
    pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment"),
    pytest.mark.timeout(150),
]

#: A plugin's own words are lost unless Circus has a log file.
LOGGED = "logoutput = $(folder)/circus.log"


def plugin(name, use, **settings):
    lines = {"use": f"circus.plugins.{use}", **settings}
    return "\n".join([f"[plugin:{name}]", *(f"{key} = {value}" for key, value in lines.items())])


def site(name, *options, application="apps.hello:app", **settings):
    words = ["--fd", f"$(circus.sockets.{name})", "--interpreters", "2", *options]
    section = watcher(name, words, application, **settings)
    return "\n".join([socket_section(name, host="127.0.0.1", port=0), section])


def replaced(daemon, name, pid, deadline=40):
    """Wait for another process in the place of `pid`, and until it serves."""
    soon(lambda: (now := daemon.pids(name)) and pid not in now, deadline, lambda: daemon.log)
    daemon.wait_ready(name)


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_the_watchdog_replaces_a_process_whose_every_interpreter_is_stuck_and_no_other(tmp_path):
    port = free_port(socket.SOCK_DGRAM)
    beats = ["--heartbeat", f"udp://127.0.0.1:{port}", "--heartbeat-interval", "0.2", "--graceful-timeout", "1"]
    configuration = [
        LOGGED,
        site("stuck", *beats, application="apps.waiting:app"),
        site("half", *beats, application="apps.waiting:app"),
        # By its default all watchers would have to send, and the plugin itself is one.
        plugin("watchdog", "watchdog.WatchDog", port=port, loop_rate=0.5, max_count=3, watchers_regex="^(stuck|half)$"),
    ]
    gates = {name: Gate(tmp_path / name) for name in ("one", "two", "three")}
    with circusd("\n".join(configuration)) as daemon, contextlib.ExitStack() as stack:
        daemon.wait_ready("stuck", "half")
        (stuck,), (half,) = daemon.pids("stuck"), daemon.pids("half")
        for name, gate in [("half", "one"), ("stuck", "two"), ("stuck", "three")]:
            stack.callback(gates[gate].release)
            connection = stack.enter_context(Connection(daemon.address(name), timeout=30))
            connection.ask("GET", f"/wait?{gates[gate].query}")
            gates[gate].wait()
        replaced(daemon, "stuck", stuck)
        assert daemon.pids("half") == [half]
        assert daemon.said(rf"\[{stuck}\] \[CRITICAL\] stopped: 2 interpreters still in the application's code")
        told = (daemon.folder / "circus.log").read_text()
        assert f"watcher:stuck, pid:{stuck} is not responding. Kill it !" in told
        assert f"pid:{half} is not responding" not in told


def test_a_watchdog_that_does_not_listen_costs_a_line(server):
    port = free_port(socket.SOCK_DGRAM)
    running = server("apps.hello:app", "--heartbeat", f"udp://127.0.0.1:{port}", "--heartbeat-interval", "0.05")
    running.wait_for_log(r"\[WARNING\] --heartbeat: Circus's watchdog was not reached, and is tried again: ")
    with socket.socket(type=socket.SOCK_DGRAM) as watchdog:
        watchdog.bind(("127.0.0.1", port))
        watchdog.settimeout(15)
        # The plugin's msg_regex, and what it looks up.
        beat = re.match("^(?P<pid>.*);(?P<timestamp>.*)$", watchdog.recv(1024).decode())
        assert beat["pid"] == str(running.pid)
    assert running.get().status == 200


def resources(name, **settings):
    lines = {"watcher": name, "loop_rate": 0.3, "max_count": 1, **settings}
    return plugin(f"resources-{name}", "resource_watcher.ResourceWatcher", **lines)


def test_resource_watcher_restarts_a_busy_process_unless_it_looks_at_memory_alone():
    """Both compute without a pause. 20 % stand for the plugin's 90, which a loaded machine may not give."""
    configuration = [
        site("judged", application="apps.busy:app"),
        site("spared", application="apps.busy:app"),
        site("large"),
        resources("judged", max_cpu=20),
        resources("spared", max_cpu=0, health_threshold=0, max_mem="8G"),
        resources("large", max_cpu=0, health_threshold=0, max_mem="1M"),
    ]
    with circusd("\n".join(configuration)) as daemon:
        daemon.wait_ready("judged", "spared", "large")
        (spared,) = daemon.pids("spared")
        # That many looks have been taken at each of them.
        for name in ("judged", "judged", "large"):
            (pid,) = soon(lambda name=name: daemon.pids(name))
            soon(lambda name=name, pid=pid: pid not in daemon.pids(name), 40, lambda: daemon.log)
            soon(lambda name=name: len(daemon.pids(name)) == 1)
        assert daemon.pids("spared") == [spared]


ENDS = """
echo >> "$0.count"
case $(($(wc -l < "$0.count") % 3)) in
    1) exit 3 ;;
    2) exit 70 ;;
    0) exit 75 ;;
esac
"""


def test_flapping_notices_what_ends_again_and_again_whatever_its_status(tmp_path):
    """And asks circusd to stop it, which 0.19 refuses whenever it is just starting the next one: mostly.

    Without it Circus starts for ever what ends: its max_retry counts what could not be started at all.
    """
    (tmp_path / "ends.sh").write_text(ENDS)
    ends = f"[watcher:ends]\ncmd = /bin/sh {tmp_path}/ends.sh\nmax_retry = 1\ncopy_env = True"
    brake = plugin("flapping", "flapping.Flapping", attempts=2, window=10, retry_in=0.5, max_retry=1)
    with circusd("\n".join([LOGGED, ends, brake])) as daemon:
        log = daemon.folder / "circus.log"
        soon(lambda: "ends: flapping detected: reached max retry limit" in log.read_text(), 60, log.read_text)
        assert "ends: flapping detected: retry in" in log.read_text()
        assert len((tmp_path / "ends.sh.count").read_text()) >= 3
        # circusd loses a TERM that comes just then, too.
        for name in ("plugin:flapping", "ends"):
            soon(
                lambda name=name: (
                    daemon.control("stop", name, "--waiting", check=False) and daemon.statuses()[name] == "stopped"
                )
            )


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_a_process_that_has_grown_too_much_ends_with_75_and_circus_starts_another(tmp_path):
    code = Code(tmp_path / "code")
    options = ["--max-growth", "20", *code.options]
    with circusd(site("web", *options, application="changing:app", send_hup=True)) as daemon:
        daemon.wait_ready("web")
        (before,) = daemon.pids("web")
        code.serve("2", "KEPT = bytearray(b'x') * 50_000_000\n")
        daemon.control("reload", "web")
        replaced(daemon, "web", before)
        with Connection(daemon.address("web"), timeout=30) as connection:
            assert connection.get("/")["X-Version"] == "2"
        assert daemon.said(rf"\[{before}\] .*--max-growth"), daemon.log
