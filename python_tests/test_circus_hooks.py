"""chaussette.circus in a real circusd: who is waited for, what becomes of who is not ready, and what can be asked."""

import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support.circus import BIN, circusd, socket_section, watcher
from support.code import Code
from support.load import Load
from support.process import HERE
from support.waiting import soon
from support.wire import Closed, Connection, Truncated

pytestmark = [
    pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment"),
    pytest.mark.timeout(150),
]

WAITS = {"hooks.after_spawn": "chaussette.circus.wait_ready"}
DRAINS = {"hooks.before_signal": "chaussette.circus.drain", "hooks.before_stop": "chaussette.circus.drain"}
TELLS = {"hooks.extended_stats": "chaussette.circus.extended_stats"}
CONTROL = "unix:$(folder)/%s.control.$(circus.wid)"

#: Three times as much as a pipe holds.
LOUD = "import sys; sys.stderr.write('a line of what it says while it is imported\\n' * 5000); sys.stderr.flush()\n"


def site(name, *options, application="apps.hello:app", control=CONTROL, **settings):
    """A socket and a watcher of that name: two interpreters, unless the options say otherwise."""
    words = ["--fd", f"$(circus.sockets.{name})", "--interpreters", "2", *options]
    if control:
        words += ["--control", control.replace("%s", name)]
    section = watcher(name, words, application, **settings)
    return "\n".join([socket_section(name, host="127.0.0.1", port=0), section])


def get(daemon, name, path="/"):
    with Connection(daemon.address(name), timeout=30) as connection:
        return connection.get(path)


def load(daemon, name, **named):
    return Load(SimpleNamespace(address=daemon.address(name)), **named)


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path / "code")


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_circusd_goes_on_when_each_process_is_warm_and_serves():
    with circusd(site("web", "--warmup", "/", numprocesses=2, **WAITS)) as daemon:
        # It obeys commands between the two starts, and none during one.
        soon(lambda: len(daemon.said(r"wait_ready: web: process \d+ is ready after \d+\.\d s")) == 2)
        pids = daemon.pids("web")
        assert len(pids) == 2
        assert all(daemon.readies(pid) for pid in pids)


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_code_that_does_not_load_leaves_the_old_process_serving(code):
    with circusd(site("web", *code.options, application="changing:app", **WAITS)) as daemon:
        before = daemon.pids("web")
        # It keeps what is open now for a moment, so a kept connection has its last answer.
        with load(daemon, "web") as clients:
            code.write("broken(\n")
            daemon.control("reload", "web", "--waiting")
            (line,) = daemon.said(r"wait_ready: web: process \d+ is not ready")
            assert line.endswith("it has ended with status 4; it is ended, and the one before it goes on")
            soon(lambda: daemon.pids("web") == before, what="the new process to be gone")
            answered = clients.answered
            soon(lambda: clients.answered > answered + 20)
        code.serve("2")
        daemon.control("reload", "web", "--waiting")
        assert get(daemon, "web")["X-Version"] == "2"
        assert not set(daemon.pids("web")) & set(before)


def test_a_process_that_is_not_ready_in_time_is_ended_while_the_old_one_serves(code):
    settings = {"chaussette.ready_timeout": 1.5, **WAITS}
    with circusd(site("web", *code.options, application="changing:app", **settings)) as daemon:
        before = daemon.pids("web")
        code.serve("2", "import time\ntime.sleep(3600)\n")
        daemon.control("reload", "web", "--waiting")
        (line,) = daemon.said("is not ready")
        assert "not within chaussette.ready_timeout = 1.5 s: 0 of 2 interpreters serve; it is ended" in line
        assert get(daemon, "web")["X-Version"] == "1"
        soon(lambda: daemon.pids("web") == before, what="the new process to be gone")


def test_at_a_start_circus_tries_again_until_the_application_loads(code):
    code.write("broken(\n")
    with circusd(site("web", *code.options, application="changing:app", **WAITS)) as daemon:
        soon(lambda: len(daemon.said(r"status 4; Circus keeps it, and starts another one should it end")) >= 2)
        assert daemon.statuses()["web"] == "active"
        code.serve("1")
        soon(lambda: daemon.said("process .* is ready after"), 30, lambda: daemon.log)
        assert get(daemon, "web").status == 200


def test_more_failed_starts_in_a_row_than_max_retry_stop_the_watcher(code):
    """What Circus's flapping plugin is for; but that asks circusd just when it is starting the next one."""
    code.write("broken(\n")
    settings = {"chaussette.max_retry": 1, **WAITS}
    with circusd(site("web", *code.options, application="changing:app", **settings)) as daemon:
        soon(lambda: daemon.statuses()["web"] == "stopped", 30)
        assert len(daemon.said("status 4; Circus keeps it, and starts another one should it end")) == 1
        assert daemon.said(r"status 4; chaussette\.max_retry = 1: web is stopped")
        code.serve("1")
        daemon.control("start", "web", "--waiting")
        assert get(daemon, "web").status == 200


def test_a_killed_process_of_two_does_not_stop_its_sibling():
    with circusd(site("web", "--drain-idle", "10", numprocesses=2, **WAITS)) as daemon:
        killed, sibling = daemon.pids("web")
        os.kill(killed, signal.SIGKILL)
        soon(lambda: len(set(daemon.pids("web")) - {killed}) == 2, 20)
        # A command is answered after the hook.
        assert daemon.statuses()["web"] == "active"
        assert sibling in daemon.pids("web")
        assert len(daemon.said("is ready after")) == 3


def test_what_a_process_writes_to_the_pipes_of_circus_does_not_hold_it_up(code):
    code.serve("1", LOUD)
    streams = {"stderr_stream.class": "FileStream", "stderr_stream.filename": "$(folder)/err"}
    with circusd(site("web", *code.options, application="changing:app", **WAITS, **streams)) as daemon:
        assert daemon.said("is ready after"), daemon.log
        text = (daemon.folder / "err").read_text()
        assert text.count("a line of what it says while it is imported\n") >= 10_000
        assert "] ready: " in text


@pytest.mark.parametrize(
    ("control", "line"),
    [
        (None, r"no --control: add --control unix:/run/web/control\.\$\(circus\.wid\), or name the address as"),
        ("127.0.0.1:0", r"--control 127\.0\.0\.1:0 has no port that can be known: use unix:"),
        ("unix:$(folder)/control", r"it has ended with status 5"),
    ],
    ids=["none", "port 0", "shared"],
)
def test_a_process_that_cannot_be_asked_takes_nobody_s_place(control, line):
    with circusd(site("web", control=control, **WAITS)) as daemon:
        daemon.wait_ready("web")
        before = daemon.pids("web")
        daemon.control("reload", "web", "--waiting")
        assert daemon.said(rf"is not ready: .*{line}.*; it is ended"), daemon.log
        soon(lambda: daemon.pids("web") == before, what="the new process to be gone")
        assert get(daemon, "web").status == 200


def test_the_address_may_be_named_where_a_shell_may_hide_it():
    settings = {"chaussette.control": CONTROL.replace("%s", "web"), "shell": True, **WAITS}
    # Without `exec` Circus would know, and end, the shell alone.
    with circusd(site("web", **settings).replace("cmd = ", "cmd = exec ")) as daemon:
        assert daemon.said("is ready after"), daemon.log


def asking(daemon, *words):
    """circusctl at work: a hook may hold its answer up."""
    command = [str(BIN / "circusctl"), "--endpoint", daemon.endpoint, "--timeout", "40", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def in_flight(daemon, name, gate):
    """A connection whose request is in the application."""
    connection = Connection(daemon.address(name), timeout=30)
    connection.ask("GET", f"/wait?{gate.query}")
    gate.wait()
    return connection


@pytest.fixture
def gate(tmp_path):
    from support.gates import Gate

    made = Gate(tmp_path / "gate")
    yield made
    made.release()


@pytest.mark.parametrize("hooks", [DRAINS, {}], ids=["drained", "without the hook"])
def test_a_request_outlives_an_abrupt_stop_signal(gate, hooks):
    settings = {"stop_signal": "QUIT", **hooks}
    with circusd(site("web", application="apps.waiting:app", **settings)) as daemon:
        daemon.wait_ready("web")
        with in_flight(daemon, "web", gate) as connection:
            stopping = asking(daemon, "stop", "web")
            if hooks:
                soon(lambda: daemon.said("control socket: Stop: accepted"))
                gate.open()
                assert connection.response().status == 200
            else:
                with pytest.raises((Closed, Truncated, ConnectionError)):
                    connection.response()
            assert stopping.wait(40) == 0
        soon(lambda: daemon.statuses()["web"] == "stopped", 30)


@pytest.mark.parametrize("words", [["kill", "--signum", "KILL"], ["signal"]], ids=["kill", "signal"])
def test_a_request_outlives_a_kill_by_a_person(gate, words):
    with circusd(site("web", application="apps.waiting:app", **DRAINS)) as daemon:
        daemon.wait_ready("web")
        (pid,) = daemon.pids("web")
        with in_flight(daemon, "web", gate) as connection:
            command = [words[0], "web", str(pid), *words[1:]] + (["9"] if words == ["signal"] else [])
            killing = asking(daemon, *command)
            soon(lambda: daemon.said("control socket: Stop: accepted"))
            gate.open()
            assert connection.response().status == 200
            assert killing.wait(40) == 0
        assert daemon.said(rf"\[{pid}\] \[INFO\] stopped")


def test_a_request_that_does_not_end_is_not_waited_for_longer_than_its_time(gate):
    settings = {"stop_signal": "KILL", "chaussette.drain_timeout": 0.5, **DRAINS}
    with circusd(site("web", application="apps.waiting:app", **settings)) as daemon:
        daemon.wait_ready("web")
        with in_flight(daemon, "web", gate):
            daemon.control("stop", "web", "--waiting")
            assert daemon.said("has not ended within chaussette.drain_timeout = 0.5 s: it gets signal 9")
            assert daemon.statuses()["web"] == "stopped"


def test_a_term_is_not_held_up(gate):
    """Circus waits for its end without blocking, so other watchers are looked after meanwhile."""
    configuration = site("web", application="apps.waiting:app", **DRAINS) + "\n" + site("other")
    with circusd(configuration) as daemon:
        daemon.wait_ready("web", "other")
        with in_flight(daemon, "web", gate) as connection:
            daemon.control("stop", "web")
            assert daemon.statuses()["other"] == "active"
            assert daemon.statuses()["web"] == "stopping"
            gate.open()
            assert connection.response().status == 200
        # A TERM while it obeys a command is lost on circusd.
        soon(lambda: daemon.statuses()["web"] == "stopped")


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_circusctl_stats_extended_has_each_interpreter(gate):
    with circusd(site("web", application="apps.waiting:app", **TELLS)) as daemon:
        daemon.wait_ready("web")
        (pid,) = daemon.pids("web")
        with in_flight(daemon, "web", gate) as connection:
            (told,) = daemon.control("stats", "web", "--extended")["info"].values()
            gate.open()
            connection.response()
        assert told["pid"] == pid
        assert [one["stage"] for one in told["interpreters"]] == ["serving", "serving"]
        assert sorted(one["busy"] for one in told["interpreters"]) == [0, 1]
        assert max(one["longest_request_seconds"] for one in told["interpreters"]) > 0
        assert told["chaussette"]["ready"] is True
        assert told["chaussette"]["interpreters_wanted"] == 2
        # Whoever may ask Circus must not see what clients ask for.
        assert gate.query not in str(told)
        (told,) = daemon.control("stats", "web")["info"].values()
        assert "interpreters" not in told


def test_stats_of_a_process_that_cannot_be_asked_say_why():
    with circusd(site("web", control=None, **TELLS)) as daemon:
        daemon.wait_ready("web")
        (told,) = daemon.control("stats", "web", "--extended")["info"].values()
        assert "add --control" in told["chaussette"]["error"]
        assert told["interpreters"] == []


def test_the_hooks_need_neither_the_server_s_python_nor_its_extension_module():
    text = (HERE.parent / "src" / "python" / "chaussette" / "circus.py").read_text()
    compile(text, "circus.py", "exec", dont_inherit=True)
    import ast

    ast.parse(text, feature_version=(3, 8))
    done = subprocess.run(
        [sys.executable, "-c", "import chaussette.circus, sys; print('chaussette._native' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "False\n", done.stderr
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names) | {"psutil"}
