"""`--isolation process`: an application in worker processes, forked from one that has imported it."""

import os
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2

import pytest
from support.control import Control
from support.load import Load
from support.process import HERE, command_line, session_members
from support.waiting import soon, steady

pytestmark = pytest.mark.isolation("process", reason="it is about worker processes")

#: Seconds for which workers are killed at random; `KILLING_SECONDS=120` for longer.
KILLING = float(os.environ.get("KILLING_SECONDS", "8"))

EXTENSIONS = ["numpy", "lxml", "cryptography", "psycopg2", "orjson"]


@pytest.fixture
def processes(server):
    """A function that starts a server whose application is in worker processes."""

    def start(*options, application="apps.in_a_process:app", **how):
        return server(application, "--isolation", "process", *options, **how)

    return start


def workers(site):
    """The numbers of the worker processes: children of a child."""
    return [pid for zygote in children(site.pid) for pid in children(zygote)]


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            if task.name != str(pid)
            for child in (task / "children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# Where it is


def test_workers_are_forked_from_one_process_that_has_imported_the_application(processes):
    site = processes("--interpreters", "2")
    found = [site.get("/found").json() for _ in range(8)]
    (imported,) = {one["imported in"] for one in found}
    assert {one["parent"] for one in found} == {imported}
    assert children(site.pid) == [imported]
    assert sorted({one["pid"] for one in found}) == sorted(workers(site))
    assert all(one["frozen"] > 1000 for one in found)


def test_an_application_finds_itself_in_an_ordinary_process(processes):
    site = processes("--interpreters", "2", words=["a", "b"])
    found = site.get("/found").json()
    assert found["main thread"]
    assert not found["daemon"]
    assert (found["multiprocess"], found["multithread"]) == (True, False)
    assert found["number"] == found["place"]
    assert found["argv"][1:] == ["a", "b"]
    assert found["stdin"] == ""
    assert processes().get("/found").json()["multiprocess"] is False


def test_a_worker_holds_no_listening_socket_and_no_cord_but_its_own(processes, tmp_path):
    found = processes("--interpreters", "3", "--control", f"unix:{tmp_path / 'control'}").get("/found").json()
    sockets = [name for name in found["files"] if name.startswith("socket:")]
    # A cord, whose two ends have a descriptor each, and a lane.
    assert len(set(sockets)) == 2, found["files"]


def test_threads_of_a_worker_share_its_memory(processes, gate):
    site = processes("--threads", "2")
    gates = [gate(), gate()]
    connections = [site.connect() for _ in gates]
    for one, connection in zip(gates, connections, strict=True):
        connection.ask("GET", f"/waits?{one.query}")
    for one in gates:
        one.wait()
    for one in gates:
        one.open()
    assert len({connection.response("GET").json()["pid"] for connection in connections}) == 1


def test_without_a_zygote_each_worker_imports_the_application(processes):
    site = processes("--interpreters", "2", "--no-zygote")
    found = [site.get("/found").json() for _ in range(8)]
    assert {one["pid"] for one in found} == {one["imported in"] for one in found}
    assert len({one["pid"] for one in found}) == 2


SHOWS = """
import json, os, sys

def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({"parent": os.getppid(), "modules": list(sys.modules)}).encode()]
"""
DJANGO = """
from django.conf import settings
settings.configure(SECRET_KEY="x", ROOT_URLCONF="shows_urls")
import django.core.handlers.wsgi
"""
OPENED = """
from django.db import connection

def opened():
    return connection.connection is not None
"""


def test_what_the_first_request_would_import_is_imported_once(processes, tmp_path):
    (tmp_path / "shows.py").write_text(SHOWS)
    shown = processes("--python-path", tmp_path, application="shows:app").get().json()
    assert "encodings.idna" in shown["modules"]
    notes = tmp_path / "notes"
    (tmp_path / "shows_django.py").write_text(SHOWS + DJANGO)
    (tmp_path / "shows_urls.py").write_text(f"import os\nopen({str(notes)!r}, 'a').write(f'{{os.getpid()}} ')\n")
    shown = processes("--python-path", tmp_path, application="shows_django:app").get().json()
    assert notes.read_text().split() == [str(shown["parent"])]


def test_workers_share_no_connection_that_django_opened_as_its_urls_were_imported(processes, tmp_path):
    at = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "database")}
    configured = DJANGO.replace("ROOT_URLCONF=", f"DATABASES={{'default': {at}}}, ROOT_URLCONF=")
    (tmp_path / "shows.py").write_text(
        SHOWS.replace('"parent": os.getppid()', '"opened": opened()') + configured + OPENED
    )
    (tmp_path / "shows_urls.py").write_text("from django.db import connection\nconnection.ensure_connection()\n")
    shown = processes("--python-path", tmp_path, application="shows:app").get().json()
    assert "shows_urls" in shown["modules"]
    assert (tmp_path / "database").exists()
    assert shown["opened"] is False


def test_urls_that_cannot_be_imported_are_told_of_by_a_request_and_not_by_the_start(processes, tmp_path):
    (tmp_path / "shows.py").write_text(SHOWS + DJANGO)
    assert processes("--python-path", tmp_path, application="shows:app").get().status == 200


def test_random_numbers_of_workers_differ(processes):
    site = processes("--interpreters", "2")
    seen = {}
    while len(seen) < 2:
        one = site.get("/number").json()
        seen.setdefault(one["pid"], one["number"])
    assert len(set(seen.values())) == 2


def test_a_signal_handler_of_the_application_is_called(processes):
    assert processes().get("/waits_for_signals").json() == {"rung": [1]}


def test_programs_and_forks_of_the_application_can_be_terminated(processes):
    assert processes().get("/children").json() == {"program": -SIGTERM, "fork": -SIGTERM}


def test_threads_started_at_import_are_told_of(processes):
    site = processes(application="apps.threads_at_import:app")
    site.wait_for_log(r"\[WARNING\] the application has started threads as it was imported \(early-bird\)")
    assert site.get().json() == {"alive": False}
    site = processes("--no-zygote", application="apps.threads_at_import:app")
    assert site.get().json() == {"alive": True}
    assert "started threads" not in site.log


def test_the_census_tells_processes_and_their_memory(processes, tmp_path, command):
    path = f"unix:{tmp_path / 'control'}"
    site = processes("--interpreters", "2", "--control", path)
    status = Control(path, site).status
    assert sorted(one["pid"] for one in status["interpreters"]) == sorted(workers(site))
    for one in status["interpreters"]:
        assert 1 << 20 < one["pss_bytes"] <= one["rss_bytes"] < 1 << 30
    table = command("--control", path, "--census").stdout
    assert re.search(r"BUSY +PROCESS +PSS", table)
    assert all(f" {pid} " in table for pid in workers(site))


def test_an_end_in_order_is_no_error(processes):
    site = processes("--interpreters", "2", "--threads", "2", application="apps.hello:app")
    assert site.get().status == 200
    assert site.stop() == 0
    assert "stopped: 2 interpreters ended" in site.log
    assert "[ERROR]" not in site.log


def test_a_zygote_that_still_imports_ends_with_the_server(processes, tmp_path):
    module, held = tmp_path / "slow_import.py", tmp_path / "held"
    module.write_text("from chaussette.util import hello_app as app\n")
    site = processes("--python-path", tmp_path, application="slow_import:app")
    module.write_text(f"import pathlib, time\npathlib.Path({str(held)!r}).touch()\ntime.sleep(600)\n")
    site.signal(SIGHUP)
    soon(held.exists, what="the new code is being imported")
    assert site.stop() == 0
    assert session_members(site.pid) == []


# Which it is


@pytest.mark.isolation("own-gil", reason="where there is a GIL, and auto chooses")
def test_auto_serves_by_processes_what_no_interpreter_can_hold(server, gate):
    site = server("apps.many_extensions:app", "--interpreters", "3", "--isolation", "auto")
    line = site.wait_for_log(r"\[WARNING\] extension module (\S+) refuses interpreters .* GIL \((.*)\): (.*)")
    assert line[1].startswith(tuple(EXTENSIONS))
    assert "imported through apps.many_extensions >" in line[2]
    assert "3 worker processes instead" in line[3]
    assert "The better way: " in line[3]
    assert "Using 3 worker processes x 1 thread as a backend" in site.log
    gates = [gate() for _ in range(3)]
    connections = [site.connect() for _ in gates]
    for one, connection in zip(gates, connections, strict=True):
        connection.ask("GET", f"/waits?{one.query}")
    for one in gates:
        one.wait()  # all three are in the application's code at the same time
    for one in gates:
        one.open()
    answers = [connection.response("GET").json() for connection in connections]
    assert len({answer["pid"] for answer in answers}) == 3
    assert all(answer["sum"] == 3.0 for answer in answers)


@pytest.mark.isolation("own-gil", reason="what refuses it has no wheels for a free-threaded build")
def test_own_gil_never_falls_back(command):
    done = command("--bind", "127.0.0.1:0", "--isolation", "own-gil", "apps.many_extensions:app")
    assert done.returncode == 4
    assert "refuses interpreters with their own GIL (imported through apps.many_extensions > " in done.stderr
    assert "use --isolation process" in done.stderr


def test_an_application_that_cannot_be_loaded_is_told_as_ever(command):
    for options in ([], ["--no-zygote"]):
        done = command("--bind", "127.0.0.1:0", "--isolation", "process", *options, "apps.imports_missing:app")
        assert done.returncode == 4
        assert done.stderr.count("ModuleNotFoundError") == 1
        assert "cannot load application apps.imports_missing:app:\nTraceback" in done.stderr


def test_a_crash_at_import_is_told(command):
    for options in ([], ["--no-zygote"]):
        done = command("--bind", "127.0.0.1:0", "--isolation", "process", *options, "apps.crashes_on_import:app")
        assert done.returncode == 4
        assert "was killed by SIGSEGV" in done.stderr


# How it ends


def test_a_crash_costs_its_request_and_its_worker(processes, tmp_path):
    path = f"unix:{tmp_path / 'control'}"
    site = processes("--interpreters", "2", "--control", path)
    site.crashes = True
    assert site.get("/crashes").status == 502
    site.wait_for_log(r"\[ERROR\] interpreter \d+: its process \d+ was killed by SIGSEGV")
    assert site.get("/found").status == 200
    soon(lambda: len(workers(site)) == 2)
    assert Control(path, site).status["replaced"]["crash"] == 1


def test_a_response_that_had_begun_is_aborted(processes):
    site = processes()
    site.crashes = True
    assert b"some of it" in site.raw(b"GET /crashes_in_the_middle HTTP/1.1\r\nHost: x\r\n\r\n")
    assert site.get("/").status == 200


def test_an_exit_of_the_application_is_told(processes):
    site = processes()
    assert site.get("/leaves").status == 502
    site.wait_for_log(r"\[CRITICAL\] interpreter 0: the application called os._exit\(7\) at .*in_a_process.py")
    site.wait_for_log(r"interpreter 0: its process \d+ exited with status 7")
    assert site.get("/").status == 200


def test_what_does_not_come_back_is_killed_and_no_more(processes, tmp_path):
    notes = tmp_path / "notes"
    options = ["--interpreters", "2", "--timeout", "0.3", "--timeout-grace", "0.3", "--max-stuck", "1"]
    site = processes(*options, env={"NOTES": str(notes)})
    before = set(workers(site))
    for _ in range(3):
        assert site.get("/hangs").status == 504
    for _ in range(3):
        site.wait_for_log(r"a request does not come back from the application's code: its process \d+ is killed")
    assert "caught" in notes.read_text()
    soon(lambda: len(set(workers(site)) - before) == 2)
    assert site.get("/").status == 200
    assert site.stop() == 0


def test_siblings_of_a_stuck_thread_finish_before_its_process_is_killed(processes, gate, tmp_path):
    options = ["--threads", "2", "--timeout", "1", "--timeout-grace", "0.3", "--graceful-timeout", "4"]
    site = processes(*options, env={"NOTES": str(tmp_path / "notes")})
    (first,) = workers(site)
    with site.connect() as connection:
        assert site.get("/hangs").status == 504
        one = gate()
        connection.ask("GET", f"/waits?{one.query}")
        one.wait()
        site.wait_for_log("it is replaced, and its process")
        one.open()
        assert connection.response("GET").json()["pid"] == first
    soon(lambda: not is_alive(first))


def test_a_fork_of_a_worker_keeps_nothing_waiting(processes):
    site = processes("--interpreters", "2")
    kept = site.get("/keeps_a_child?seconds=30").json()
    os.kill(kept["pid"], SIGKILL)
    soon(lambda: kept["pid"] not in workers(site) and len(workers(site)) == 2)
    for _ in range(4):
        assert site.get("/").status == 200
    os.kill(kept["child"], SIGKILL)


def test_exit_handlers_run_in_each_worker_once(processes, tmp_path):
    notes = tmp_path / "notes"
    site = processes("--interpreters", "2", env={"NOTES": str(notes)})
    pids = workers(site)
    assert site.stop() == 0
    assert sorted(notes.read_text().splitlines()) == sorted(f"exit handler of {pid}" for pid in pids)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2])
def test_signals_to_all_processes_of_the_tree_lose_no_request(processes, gate, number):
    """Circus and systemd send them to each."""
    site = processes("--interpreters", "2")
    one = gate()
    with site.connect() as connection:
        connection.ask("GET", f"/waits?{one.query}")
        one.wait()
        for pid in [*workers(site), *children(site.pid)]:
            os.kill(pid, number)
        steady(lambda: len(workers(site)) == 2)
        one.open()
        assert connection.response("GET").status == 200
    assert site.get("/").status == 200


def test_no_orphan_outlives_a_server_that_is_killed(processes, gate):
    site = processes("--interpreters", "2")
    one = gate()
    with site.connect() as connection:
        connection.ask("GET", f"/waits?{one.query}")
        one.wait()
        site.expect(-SIGKILL).signal(SIGKILL)
        site.wait()
        soon(lambda: not session_members(site.pid))


def test_workers_of_a_zygote_that_is_killed_are_replaced(processes):
    site = processes("--interpreters", "2")
    (zygote,) = children(site.pid)
    before = workers(site)
    os.kill(zygote, SIGKILL)
    soon(lambda: len(workers(site)) == 2 and not set(before) & set(workers(site)))
    assert site.get("/").status == 200


@pytest.mark.timeout(int(KILLING) + 120)
def test_only_requests_in_the_hands_of_killed_workers_fail(processes):
    site = processes("--interpreters", "4")
    chance, killed, seen = random.Random(4), 0, Counter()

    def fits(answer):
        seen[answer.status] += 1
        return answer.status in (200, 502)

    end = time.monotonic() + KILLING
    with Load(site, ["/", "/number"], fits) as load:
        while time.monotonic() < end:
            os.kill(chance.choice(soon(lambda: workers(site))), SIGKILL)
            killed += 1
            before = load.answered
            soon(lambda before=before: load.answered > before + 20, 30)
            until = min(end, time.monotonic() + 1)
            soon(lambda until=until: time.monotonic() >= until, 30)
    assert seen[502] <= killed, seen
    assert seen[200] > 20 * killed
    assert site.get("/").status == 200


def test_a_process_that_cannot_be_started_is_a_load_that_fails(command):
    program = "import sys; sys.executable = '/no/such/python'; from chaussette.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [command_line(["-c"])[0], "-c", program, "--bind", "127.0.0.1:0", "--isolation", "process", "apps.hello:app"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=HERE,
    )
    assert done.returncode == 4
    assert "cannot be started" in done.stderr
    assert "Traceback" not in done.stderr
