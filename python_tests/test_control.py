"""The control socket: what it tells of a real server, when it answers, and what it obeys."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from support.control import Control
from support.isolation import REPLACEABLE, SEVERAL
from support.sockets import listening
from support.waiting import soon
from support.wire import Connection

#: What is promised of the socket: the section of that name, up to the next one.
PROMISES = re.search(
    r"^## The control socket$(.*?)^## ",
    (Path(__file__).resolve().parent.parent / "docs" / "operations.md").read_text(),
    re.MULTILINE | re.DOTALL,
).group(1)


@pytest.fixture(params=["unix", "127.0.0.1:0", "[::1]:0"])
def place(request, tmp_path):
    return f"unix:{tmp_path}/control" if request.param == "unix" else request.param


@pytest.fixture
def unix(tmp_path):
    return f"unix:{tmp_path}/control"


def serving(control):
    return soon(
        lambda: control.status["ready"] and control.status,
        what=lambda: f"a ready server, not {control.status}",
    )


def test_it_tells_what_the_server_is_and_has_done(server, place):
    site = server("apps.waiting:app", "--threads", "2", "--queue", "7", "--control", place)
    control = Control(place, site)
    for _ in range(5):
        assert site.get("/mark").status == 200
    soon(lambda: control.status["totals"]["requests"] == 5, what="five requests, counted")
    # The first one makes the interpreter ready.
    soon(lambda: control.status["interpreters"][0]["threads"] == 2, what="both threads")
    status = control.status
    assert status["pid"] == site.pid
    assert status["ready"]
    assert not status["stopping"]
    assert status["queue"] == {"waiting": 0, "capacity": 7, "oldest_seconds": 0.0}
    assert 0 < status["totals"]["python_seconds"] < status["uptime_seconds"]
    # Sampled at another moment, but of the same process.
    assert status["rss_bytes"] == pytest.approx(site.status_kib("VmRSS") * 1024, rel=0.3)
    (interpreter,) = status["interpreters"]
    assert (interpreter["stage"], interpreter["slot"], interpreter["threads"]) == ("serving", 0, 2)
    assert (interpreter["requests"], interpreter["current"]) == (5, [])
    assert 0 < interpreter["load_seconds"] < interpreter["age_seconds"]


def test_it_tells_which_request_is_in_python_and_which_waits(server, gate, unix):
    here = gate()
    site = server("apps.waiting:app", "--control", unix)
    control = Control(unix, site)
    with site.connect() as held, site.connect() as behind:
        held.ask("GET", f"/wait/here?{here.query}")
        here.wait()
        behind.ask("GET", "/mark")
        soon(lambda: control.status["queue"]["waiting"] == 1, what="a request in the queue")
        first, second = control.status, control.status
        (request,) = control.current
        assert (request["method"], request["target"]) == ("GET", f"/wait/here?{here.query}")
        assert (request["client"], request["timed_out"]) == ("127.0.0.1", False)
        assert 0 < first["queue"]["oldest_seconds"] < second["queue"]["oldest_seconds"]
        metrics = control.metrics()
        assert metrics["chaussette_requests_in_python", ()] == 1
        assert metrics["chaussette_queue_requests", ()] == 1
        assert metrics["chaussette_longest_request_seconds", ()] > 0
        here.open()
        assert (held.response().status, behind.response().status) == (200, 200)
    soon(lambda: control.current == [], what="no request in Python")
    assert control.status["totals"]["queue_seconds"] > 0


@REPLACEABLE
def test_it_answers_while_every_interpreter_holds_its_gil(server, tmp_path, place):
    arrived, go = tmp_path / "arrived", tmp_path / "go"
    os.mkfifo(arrived)
    os.mkfifo(go)
    ends = [os.open(arrived, os.O_RDWR), os.open(go, os.O_RDWR)]
    site = server("apps.holding_the_gil:app", "--interpreters", "2", "--control", place)
    control = Control(place, site)
    clients = [site.connect(), site.connect()]
    try:
        for client in clients:
            client.ask("GET", f"/?arrived={arrived}&go={go}")
        seen = b""
        while len(seen) < 2:
            seen += os.read(ends[0], 2)
        assert [len(interpreter["current"]) for interpreter in control.status["interpreters"]] == [1, 1]
        assert control.metrics()["chaussette_requests_in_python", ()] == 2
        assert control.get("/healthz").status == 200
        assert control.get("/readyz").status == 200
    finally:
        os.write(ends[1], b"xx")
    assert [client.response().status for client in clients] == [200, 200]
    for end in ends:
        os.close(end)


@pytest.mark.isolation("own-gil", reason="it is the GIL of an interpreter of this process that is meant")
def test_it_tells_how_long_threads_have_waited_for_their_gil(server, tmp_path, unix):
    """One thread keeps the GIL in C while the other one has a request and needs it."""
    arrived, go = tmp_path / "arrived", tmp_path / "go"
    os.mkfifo(arrived)
    os.mkfifo(go)
    ends = [os.open(arrived, os.O_RDWR), os.open(go, os.O_RDWR)]
    site = server("apps.holding_the_gil:app", "--threads", "2", "--control", unix)
    control = Control(unix, site)
    assert serving(control)["interpreters"][0]["gil_wait_seconds"] < 0.5
    clients = [site.connect(), site.connect()]
    try:
        clients[0].ask("GET", f"/?arrived={arrived}&go={go}")
        assert os.read(ends[0], 1) == b"x"
        clients[1].ask("GET", f"/?arrived={arrived}&go={go}")
        # One holds it, and for so long the other one has had a request in hand.
        soon(lambda: sum(request["elapsed_seconds"] > 0.7 for request in control.current) == 2)
    finally:
        os.write(ends[1], b"xx")
    assert [client.response().status for client in clients] == [200, 200]
    for end in ends:
        os.close(end)
    soon(lambda: control.status["interpreters"][0]["gil_wait_seconds"] > 0.5, what=lambda: control.status)


def test_it_answers_while_the_application_is_loaded(server, gate, unix, command):
    here = gate()
    site = server("apps.waits_on_import:app", "--control", unix, env={"GATE": here.path}, wait=False)
    control = Control(unix, site)
    here.wait()
    assert [interpreter["stage"] for interpreter in control.status["interpreters"]] == ["loading"]
    assert control.get("/healthz").status == 200
    assert (control.get("/readyz").status, control.get("/readyz").text) == (503, "no interpreter serves\n")
    asked = command("--control", unix, "--census")
    assert (asked.returncode, asked.stderr) == (1, "")
    assert ": not ready, up " in asked.stdout
    here.open()
    site.wait_ready()
    assert serving(control)


def test_it_answers_while_a_hook_holds_the_reactor(server, gate, unix):
    here = gate()
    options = ["--pre-hook", "apps.hooks.waiting", "--control", unix]
    site = server("apps.hello:app", *options, env={"GATE": here.path}, wait=False)
    control = Control(unix, site)
    here.wait()
    assert [interpreter["stage"] for interpreter in control.status["interpreters"]] == ["serving"]
    alive = control.get("/healthz")
    assert (alive.status, alive.text) == (503, "the reactor does not turn\n")
    assert control.get("/readyz").status == 503
    here.open()
    site.wait_ready()
    assert control.get("/healthz").status == 200


def test_it_answers_while_the_server_drains(server, gate, place):
    here = gate()
    site = server("apps.waiting:app", "--control", place)
    control = Control(place, site)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(signal.SIGTERM)
        site.wait_for_log("stopping: ")
        soon(lambda: control.status["stopping"], what="a status that says that it stops")
        assert (control.get("/readyz").status, control.get("/readyz").text) == (503, "stopping\n")
        assert control.get("/healthz").status == 200
        assert len(control.current) == 1
        assert control.post("/reload").json() == {"outcome": "refused", "message": "the server is stopping"}
        here.open()
        assert held.response().status == 200
    assert site.wait() == 0


def test_a_stop_is_graceful_and_removes_the_socket(server, gate, tmp_path, unix):
    here = gate()
    site = server("apps.waiting:app", "--control", unix)
    control = Control(unix, site)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        answer = control.post("/stop")
        assert (answer.status, answer.json()["outcome"]) == (202, "accepted")
        site.wait_for_log("stopping: ")
        assert site.running
        here.open()
        assert held.response().status == 200
    assert site.wait() == 0
    assert not (tmp_path / "control").exists()
    assert "control socket: Stop: accepted" in site.log


@REPLACEABLE
def test_a_reload_is_begun_and_told_to_its_end(server, unix):
    site = server("apps.hello:app", "--interpreters", "2", "--control", unix)
    control = Control(unix, site)
    answer = control.post("/reload")
    assert (answer.status, answer.json()["outcome"]) == (202, "accepted")
    soon(lambda: control.status["reload"]["state"] == "done", 30, what=lambda: f"a reload, not {control.status}")
    soon(lambda: len(control.status["interpreters"]) == 2, what="the old ones to be gone")
    status = control.status
    assert [one["generation"] for one in status["interpreters"]] == [1, 1]
    assert (status["generation"], status["replaced"]["reload"]) == (1, 2)
    assert control.metrics()["chaussette_reloads_total", ()] == 1


@REPLACEABLE
def test_interpreters_are_added_and_ended_within_the_limits(server, unix):
    site = server("apps.hello:app", "--min-interpreters", "1", "--max-interpreters", "3", "--control", unix)
    control = Control(unix, site)

    def serving_ones():
        return [one["stage"] for one in control.status["interpreters"]].count("serving")

    assert control.post("/interpreters?n=3").status == 202
    soon(lambda: serving_ones() == 3, 30, what=lambda: f"three interpreters, not {control.status}")
    assert control.status["interpreters_wanted"] == 3
    assert control.post("/interpreters?n=3").status == 200
    assert control.post("/interpreters?n=1").status == 202
    soon(lambda: len(control.status["interpreters"]) == 1, 30, what=lambda: f"one, not {control.status}")
    assert site.get().status == 200


def test_a_quick_stop_removes_the_socket_too(server, tmp_path, unix):
    site = server("apps.hello:app", "--control", unix)
    assert (tmp_path / "control").exists()
    assert site.stop(signal.SIGQUIT) == 0
    assert not (tmp_path / "control").exists()


@pytest.mark.isolation("own-gil", "free-threaded", "main", reason="a worker process is never stuck")
def test_a_stop_with_a_stuck_thread_removes_the_socket_too(server, gate, tmp_path, unix):
    here = gate()
    site = server("apps.waiting:app", "--graceful-timeout", "1", "--control", unix).expect(70)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        assert site.stop() == 70
    assert not (tmp_path / "control").exists()


def test_an_application_that_cannot_be_loaded_leaves_no_socket(server, tmp_path, unix):
    site = server("apps.broken_import:app", "--control", unix, wait=False).expect(4)
    assert site.wait() == 4
    assert not (tmp_path / "control").exists()


def test_a_unix_socket_is_its_owners_whatever_the_umask(server, tmp_path, unix):
    server("apps.hello:app", "--control", unix, umask=0)
    assert stat.S_IMODE((tmp_path / "control").stat().st_mode) == 0o600


def test_a_dead_socket_is_replaced(server, tmp_path, unix):
    listening("unix", tmp_path / "control").close()
    site = server("apps.hello:app", "--control", unix)
    assert serving(Control(unix, site))


def test_a_live_socket_and_other_files_stay(server, tmp_path, unix):
    with listening("unix", tmp_path / "control") as other:
        site = server("apps.hello:app", "--control", unix, wait=False).expect(5)
        assert site.wait() == 5
        assert f"--control: cannot bind {unix}: another process listens there" in site.log
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(other.getsockname())
    (tmp_path / "control").unlink()
    (tmp_path / "control").write_text("precious")
    site = server("apps.hello:app", "--control", unix, wait=False).expect(5)
    assert site.wait() == 5
    assert (tmp_path / "control").read_text() == "precious"


def test_the_applications_socket_and_the_control_socket_are_two_things(server, place):
    site = server("apps.hello:app", "--control", place)
    control = Control(place, site)
    assert site.get("/status").body == site.get("/").body
    assert site.request("POST", "/stop").body == site.get("/").body
    assert control.get("/application").status == 404
    assert site.running


def test_a_web_page_on_a_rebound_name_is_refused(server):
    site = server("apps.hello:app", "--control", "127.0.0.1:0")
    control = Control("127.0.0.1:0", site)
    for headers in [
        [("Host", "rebound.example")],
        [("Host", "localhost"), ("Origin", "http://rebound.example")],
        [("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")],
    ]:
        with Connection(control.address) as connection:
            assert connection.request("POST", "/stop", headers).status == 403
    assert serving(control)


def test_clients_that_keep_the_control_socket_busy_cost_the_application_nothing(server, unix):
    site = server("apps.hello:app", "--control", unix)
    control = Control(unix, site)
    silent = [Connection(control.address) for _ in range(64)]
    try:
        assert site.get().status == 200
        assert serving(control)
    finally:
        for one in silent:
            one.close()


def keys(value):
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from keys(one)


def test_each_field_and_each_metric_is_documented_and_nothing_else(server, gate, unix):
    here = gate()
    site = server("apps.waiting:app", "--control", unix)
    control = Control(unix, site)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        status, page = control.status, control.get("/metrics").text
        here.open()
        assert held.response().status == 200
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PROMISES, flags=re.MULTILINE | re.DOTALL))
    known = {word for code in inline for word in re.findall(r"[a-z][a-z_-]*", code)}
    assert set(keys(status)) <= known, "fields that docs/operations.md lacks"
    given = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    table = set(re.findall(r"`((?:chaussette|process)_[a-z_]+)`", PROMISES))
    assert given == table


@pytest.mark.parametrize("stage", ["fresh", "busy"])
def test_promtool_finds_no_fault_with_the_metrics(server, unix, stage):
    promtool = shutil.which("promtool") or pytest.skip("NOT TESTED: no promtool here; cure: apt-get install prometheus")
    site = server("apps.hello:app", "--interpreters", "2", "--control", unix)
    if stage == "busy":
        assert site.get().status == 200
    page = Control(unix, site).get("/metrics").body
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=30)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


@SEVERAL
def test_the_metrics_are_read_by_prometheus_own_client_and_counters_only_grow(server, unix):
    site = server("apps.hello:app", "--interpreters", "2", "--control", unix)
    control = Control(unix, site)
    before = control.metrics()
    for _ in range(20):
        assert site.get().status == 200
    soon(lambda: control.status["totals"]["requests"] == 20, what="twenty requests, counted")
    after = control.metrics()
    assert before.keys() == after.keys()
    counters = {key for key in before if key[0].endswith("_total")}
    assert len(counters) > 10
    assert all(after[key] >= before[key] for key in counters)
    assert after["chaussette_requests_total", ()] - before["chaussette_requests_total", ()] == 20
    assert after["chaussette_interpreters", ("serving",)] == 2


def test_curl_asks_and_commands(server, tool, unix):
    curl = tool("curl")
    site = server("apps.hello:app", "--control", unix)
    path = unix.removeprefix("unix:")

    def run(*words):
        words = [curl, "--silent", "--show-error", "--fail", "--max-time", "15", "--unix-socket", path, *words]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout

    assert json.loads(run("http://chaussette/status"))["pid"] == site.pid
    assert "chaussette_ready 1\n" in run("http://chaussette/metrics")
    assert run("--head", "http://chaussette/readyz").startswith("HTTP/1.1 200 OK\n")
    assert json.loads(run("-X", "POST", "http://chaussette/stop"))["outcome"] == "accepted"
    assert site.wait() == 0


def test_the_census_is_printed_for_a_person_and_for_a_program(server, gate, place, command):
    here = gate()
    site = server("apps.waiting:app", "--control", place)
    control = Control(place, site)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        table = command("--control", control.given, "--census")
        raw = command("--control", control.given, "--census", "--json")
        here.open()
        assert held.response().status == 200
    assert (table.returncode, table.stderr) == (0, "")
    assert table.stdout.splitlines()[0].startswith("chaussette ")
    assert f"process {site.pid}: ready, up " in table.stdout
    assert f"GET /wait?{here.query}"[:70] in table.stdout
    assert (raw.returncode, raw.stderr) == (0, "")
    assert json.loads(raw.stdout)["pid"] == site.pid


def test_a_census_where_nobody_listens_says_so(command, unix, tmp_path):
    asked = command("--control", unix, "--census")
    assert (asked.returncode, asked.stdout) == (5, "")
    assert asked.stderr.startswith(f"chaussette: error: nobody listens on {unix}: No such file")
    listening("unix", tmp_path / "control").close()
    assert command("--control", unix, "--census").stderr.startswith(f"chaussette: error: nobody listens on {unix}: ")


def test_a_census_of_something_else_says_so(server, command):
    site = server("apps.hello:app")
    asked = command("--control", "127.0.0.1:{1}".format(*site.address), "--census")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "does not answer as a control socket of this release does: " in asked.stderr
