"""Under a real circusd 0.19: served through its sockets, and no request lost to a client that retries."""

import os
import signal

import pytest
from apps.hello import LINE
from support.circus import BIN, Visitors, circusd, free_port, socket_section, watcher
from support.process import HERE
from support.waiting import soon
from support.wire import Connection

pytestmark = [
    pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment"),
    pytest.mark.timeout(150),
]

LONG = LINE * 400
FD = ["--fd", "$(circus.sockets.%s)", "--interpreters", "2"]


def fd_of(name):
    return [word % name if "%s" in word else word for word in FD]


CONFIGURATION = "\n".join(
    [
        socket_section("tcp", host="127.0.0.1", port=0),
        socket_section("tcp6", host="::1", port=0, family="AF_INET6"),
        socket_section("path", path="$(folder)/served.sock"),
        socket_section("blocks", host="127.0.0.1", port=0, blocking=True),
        socket_section("stdin", host="127.0.0.1", port=0),
        watcher("tcp", fd_of("tcp")),
        watcher("tcp6", fd_of("tcp6"), "apps.settings:app"),
        watcher("path", fd_of("path")),
        watcher("blocks", fd_of("blocks")),
        watcher("stdin", ["--fd", "0", "--interpreters", "1"], use_sockets=False, stdin_socket="stdin"),
    ]
)


@pytest.fixture(scope="module")
def circus():
    with circusd(CONFIGURATION) as daemon:
        yield daemon.wait_ready("tcp", "tcp6", "path", "blocks", "stdin")


def get(address, path="/"):
    with Connection(address) as connection:
        return connection.get(path)


@pytest.mark.parametrize("name", ["tcp", "path", "blocks", "stdin"])
def test_the_socket_of_circus_is_served(circus, name):
    for _ in range(5):
        assert get(circus.address(name)).text.startswith("hello from ")


def test_the_child_has_an_empty_environment_and_runs_all_the_same(circus):
    seen = get(circus.address("tcp6")).json()
    assert seen["environment"] == ""
    assert set(seen["own_environ"]) <= {"LC_CTYPE"}
    assert seen["settings"]["cwd"] == str(HERE)


CHANGES = [
    ("restart", "tcp", False),
    ("restart", "tcp", True),
    ("reload", "tcp", False),
    ("reload", "tcp", True),
    ("restart", "path", True),
    ("reload", "path", False),
    ("restart", "stdin", False),
    ("reload", "blocks", True),
]


@pytest.mark.parametrize(("command", "name", "keep_alive"), CHANGES)
def test_no_request_is_lost_by_a_restart_or_reload(circus, command, name, keep_alive):
    before = circus.pids(name)
    with Visitors(circus.address(name), "/long", LONG, keep_alive=keep_alive) as visitors:
        circus.control(command, name, "--waiting")
        soon(lambda: (now := circus.pids(name)) and not set(now) & set(before), what="new processes")
        circus.wait_ready(name)
        visitors.wait_served(50)
    assert (visitors.lost, visitors.cut) == ([], 0)
    soon(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), what="the old processes to be gone")


def test_a_second_process_shares_the_socket_and_may_leave_again(circus):
    name = "tcp"
    with Visitors(circus.address(name), "/long", LONG, keep_alive=True) as visitors:
        circus.control("incr", name, "--waiting")
        soon(lambda: len(circus.pids(name)) == 2)
        circus.wait_ready(name)
        visitors.wait_served(100)
        circus.control("decr", name, "--waiting")
        soon(lambda: len(circus.pids(name)) == 1)
        visitors.wait_served(50)
    assert (visitors.lost, visitors.cut) == ([], 0)


def test_a_killed_process_is_respawned_and_clients_that_retry_are_served(circus):
    """kill -9 may cut what is being sent; whoever had no byte of an answer yet is served by the next process."""
    name = "tcp"
    (before,) = circus.pids(name)
    with Visitors(circus.address(name), "/long", LONG) as visitors:
        os.kill(before, signal.SIGKILL)
        soon(lambda: (now := circus.pids(name)) and before not in now, 20, "a new process")
        circus.wait_ready(name)
        visitors.wait_served(50)
    assert visitors.lost == []


def test_stop_and_start_leave_the_socket_and_what_waits_in_it(circus):
    name = "blocks"
    (before,) = circus.pids(name)
    circus.control("stop", name, "--waiting")
    soon(lambda: not os.path.exists(f"/proc/{before}"), what="the process to be gone")
    with Connection(circus.address(name), timeout=30) as waiting:
        waiting.ask("GET", "/")
        circus.control("start", name, "--waiting")
        assert waiting.response().status == 200
    assert f"[{before}] [INFO] stopped" in circus.log


@pytest.mark.parametrize("keep_alive", [False, True])
def test_with_send_hup_a_reload_keeps_the_process_and_nobody_asks_twice(keep_alive):
    section = watcher("web", fd_of("web"), send_hup=True)
    configuration = "\n".join([socket_section("web", host="127.0.0.1", port=0), section])
    with circusd(configuration) as daemon:
        daemon.wait_ready("web")
        (before,) = daemon.pids("web")
        with Visitors(daemon.address("web"), "/long", LONG, keep_alive=keep_alive) as visitors:
            for number in range(1, 6):
                daemon.control("reload", "web", "--waiting")
                soon(lambda number=number: daemon.log.count("] reloaded: 2 interpreters") == number, 30, "a reload")
                visitors.wait_served(50)
        # Not even a connection is lost: nobody had to ask again.
        assert (visitors.lost, visitors.cut, visitors.retried) == ([], 0, 0)
        assert daemon.pids("web") == [before]


def test_the_end_of_circusd_ends_the_server_in_order():
    configuration = "\n".join([socket_section("web", host="127.0.0.1", port=0), watcher("web", fd_of("web"))])
    with circusd(configuration) as daemon:
        daemon.wait_ready("web")
        (pid,) = daemon.pids("web")
        assert get(daemon.address("web")).status == 200
        daemon.control("quit", "--waiting", check=False)
        soon(lambda: not os.path.exists(f"/proc/{pid}"), what="the process to be gone")
        assert f"[{pid}] [INFO] stopped" in daemon.log


def test_a_unix_path_of_circus_is_not_unlinked_by_the_server():
    configuration = "\n".join([socket_section("web", path="$(folder)/web.sock"), watcher("web", fd_of("web"))])
    with circusd(configuration) as daemon:
        daemon.wait_ready("web")
        path = daemon.address("web")
        daemon.control("stop", "web", "--waiting")
        assert os.path.exists(path)


def test_so_reuseport_works_when_the_placeholder_is_in_cmd():
    # With port 0 each process would get a port of its own, which circusd does not tell.
    configuration = "\n".join(
        [socket_section("web", host="127.0.0.1", port=free_port(), so_reuseport=True), watcher("web", fd_of("web"))]
    )
    with circusd(configuration) as daemon:
        daemon.wait_ready("web")
        assert get(daemon.address("web")).status == 200


def test_so_reuseport_with_the_placeholder_in_args_is_told_with_its_cure():
    section = watcher("web", [], args="--fd $(circus.sockets.web) apps.hello:app $(folder)/web")
    section = section.replace(" apps.hello:app $(folder)/web\n", "\n", 1)
    configuration = "\n".join([socket_section("web", host="127.0.0.1", port=0, so_reuseport=True), section])
    with circusd(configuration) as daemon:
        line = soon(
            lambda: [line for line in daemon.log.splitlines() if "so_reuseport" in line], what=lambda: daemon.log
        )
        assert "cmd" in line[0]
        daemon.control("stop", "web")


def test_output_through_the_pipes_of_circus_arrives():
    configuration = "\n".join(
        [
            socket_section("web", host="127.0.0.1", port=0),
            watcher(
                "web",
                fd_of("web"),
                "apps.printing:app",
                **{"stderr_stream.class": "FileStream", "stderr_stream.filename": "$(folder)/err"},
                **{"stdout_stream.class": "FileStream", "stdout_stream.filename": "$(folder)/out"},
            ),
        ]
    )
    with circusd(configuration) as daemon:
        soon(lambda: "ready: " in (daemon.folder / "err").read_text(), what=lambda: daemon.log)
        assert get(daemon.address("web"), "/?word=piped").status == 200
        soon(lambda: "err: piped\n" in (daemon.folder / "err").read_text())
        daemon.control("stop", "web", "--waiting")
        soon(lambda: "out: piped\n" in (daemon.folder / "out").read_text())
