"""--process-for: some paths have worker processes, the others interpreters; all that is promised holds for both."""

import os
from signal import SIGHUP, SIGKILL, SIGTERM, SIGTTIN

import pytest
from support.code import Code
from support.control import Control
from support.load import Load
from support.waiting import soon

pytestmark = pytest.mark.isolation("own-gil", reason="the pools are interpreters and processes")

REPORT = ["--process-for", "/report"]

#: `support.code.APP` tells its version and place; this tells its pool as well.
TELL = """
served = app


def app(environ, start_response):
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/report") or "/"

    def start(status, headers):
        pool = os.environ["CHAUSSETTE_POOL"]
        assert environ["CHAUSSETTE_POOL"] == pool
        return start_response(status, [*headers, ("X-Pool", pool), ("X-Pid", str(os.getpid()))])

    if environ["PATH_INFO"] == "/loop":
        while True:
            pass
    if environ["PATH_INFO"] == "/crash":
        os.kill(os.getpid(), 9)
    return served(environ, start)
"""


@pytest.fixture
def code(tmp_path):
    code = Code(tmp_path / "code")
    code.serve("1", TELL)
    return code


@pytest.fixture
def address(tmp_path):
    """Of a control socket."""
    return f"unix:{tmp_path / 'control'}"


def serving(control):
    """How many serve, by pool."""
    pools = [one["pool"] for one in control.status["interpreters"] if one["stage"] == "serving"]
    return {pool: pools.count(pool) for pool in sorted(set(pools))}


def is_of(pool):
    """A judge of answers, for a load."""
    return lambda answer: answer.status == 200 and answer["X-Pool"] == pool


def both_loads(site):
    """Loads on both pools that forgive nothing."""
    return Load(site, ["/", "/pieces"], is_of("interpreters")), Load(
        site, ["/report", "/report/pieces"], is_of("process")
    )


def pids(site, path="/report", count=40):
    return {site.get(path)["X-Pid"] for _ in range(count)}


def test_flask_and_numpy_are_each_where_they_belong(server):
    site = server("apps.pooled:app", *REPORT, "--interpreters", "4")
    assert "Using 4 own-GIL interpreters x 1 thread as a backend\n" in site.log
    assert "Using 4 worker processes x 1 thread as a backend for /report\n" in site.log
    assert "ready: 4 interpreters and 4 processes in " in site.log
    for path in ["/", "/reports", "/report.html", "/x/report", "/Report", "/?/report"]:
        told = site.get(path).json()
        assert (told["pool"], told["pool_at_load"]) == ("interpreters", "interpreters"), path
        assert (told["pid"], told["numpy"]) == (site.pid, False), path
    for path in ["/report", "/report?x", "/report/x", "/%72eport/x", "/report%2Fx"]:
        told = site.get(path).json()
        assert (told["pool"], told["pool_at_load"]) == ("process", "process"), path
        assert told["pid"] != site.pid, path
        assert (told["numpy"], told["sum"], told["multiprocess"]) == (True, 10, True), path


def test_without_pools_there_is_no_such_variable(server):
    site = server("apps.environ:app")
    assert "CHAUSSETTE_POOL" not in site.get("/").text


def test_what_a_proxy_took_off_the_path_is_no_part_of_it(server):
    options = ["--forwarded-allow-ips", "*", "--forwarded-headers", "x-forwarded-prefix"]
    site = server("apps.pooled:app", *REPORT, *options)
    prefix = [("X-Forwarded-Prefix", "/report")]
    assert site.get("/", prefix).json()["pool"] == "interpreters"
    assert site.get("/report", [("X-Forwarded-Prefix", "/shop")]).json()["pool"] == "process"


def test_numpy_where_it_may_not_be_is_status_4_with_the_cure(server):
    site = server("apps.needs_numpy:app", *REPORT, wait=False)
    assert site.expect(4).wait() == 4
    assert "numpy" in site.log
    assert 'import it where os.environ["CHAUSSETTE_POOL"] is not "interpreters"' in site.log


@pytest.mark.timeout(180)
def test_a_reload_under_load_replaces_both_pools_and_loses_no_reply(server, code):
    site = server("changing:app", *REPORT, "--interpreters", "2", *code.options)
    loads = both_loads(site)
    for version in ("2", "3"):
        mark = site.mark()
        code.serve(version, TELL)
        site.signal(SIGHUP)
        site.wait_for_log(r"\] reloaded: 2 interpreters in", mark, 60)
        site.wait_for_log(r"\] reloaded: 2 processes in", mark, 60)
        assert [site.get(path)["X-Version"] for path in ("/", "/report")] == [version, version]
    for load in loads:
        load.end()


def test_a_reload_that_fails_in_one_pool_leaves_its_old_code_serving(server, code):
    site = server("changing:app", *REPORT, *code.options)
    code.serve("2", TELL + '\nif os.environ["CHAUSSETTE_POOL"] == "process":\n    import no_such_module\n')
    mark = site.mark()
    site.signal(SIGHUP)
    site.wait_for_log(r"reload failed in the pool of processes, the old code goes on:", mark, 30)
    site.wait_for_log(r"\] reloaded: 1 interpreter in", mark, 30)
    assert [site.get(path)["X-Version"] for path in ("/", "/report")] == ["2", "1"]


@pytest.mark.timeout(180)
def test_both_pools_are_recycled_under_load_and_lose_no_reply(server, code, address):
    more = ["--max-requests", "50", "--spare", "--interpreters", "2"]
    site = server("changing:app", *REPORT, *more, *code.options, "--control", address)
    control = Control(address, site)
    loads = both_loads(site)

    def recycled():
        return all(pool["replaced"]["max-requests"] >= 4 for pool in control.status["pools"])

    soon(recycled, 60)
    for load in loads:
        load.end()


def test_each_pool_is_scaled_by_its_own_command_and_signals_mean_the_interpreters(server, code, address):
    site = server("changing:app", *REPORT, *code.options, "--control", address)
    control = Control(address, site)
    site.signal(SIGTTIN)
    site.wait_for_log(r"2 interpreters are wanted, 1 before")
    assert control.post("/processes?n=2").status == 202
    soon(lambda: serving(control) == {"interpreters": 2, "process": 2}, 30)
    assert len(pids(site)) == 2
    assert control.post("/processes?n=1").status == 202
    soon(lambda: serving(control) == {"interpreters": 2, "process": 1}, 30)


def test_a_request_that_takes_too_long_is_answered_504_in_both_pools(server, code, address):
    more = ["--timeout", "0.5", "--interpreters", "2"]
    site = server("changing:app", *REPORT, *more, *code.options, "--control", address)
    control = Control(address, site)
    assert [site.get(path).status for path in ("/loop", "/report/loop")] == [504, 504]
    assert [pool["totals"]["timeouts"] for pool in control.status["pools"]] == [1, 1]
    assert is_of("interpreters")(site.get("/"))
    assert is_of("process")(site.get("/report"))


def test_a_process_that_crashes_costs_its_request_alone(server, code, address):
    site = server("changing:app", *REPORT, "--interpreters", "2", *code.options, "--control", address)
    control = Control(address, site)
    with Load(site, ["/", "/pieces"], is_of("interpreters")):
        assert site.get("/report/crash").status == 502
        soon(lambda: serving(control) == {"interpreters": 2, "process": 2}, 30)
        assert is_of("process")(site.get("/report"))


def test_a_stop_answers_what_both_pools_have_in_hand(server, code, gate):
    site = server("changing:app", *REPORT, *code.options)
    gates, waiting = [gate(), gate()], []
    for one, path in zip(gates, ["/gate", "/report/gate"], strict=True):
        connection = site.connect()
        connection.ask("GET", f"{path}?{one.path}")
        one.wait()
        waiting.append(connection)
    site.signal(SIGTERM)
    site.wait_for_log("stopping: requests in flight")
    for one in gates:
        one.open()
    assert [connection.response()["X-Pool"] for connection in waiting] == ["interpreters", "process"]
    assert site.wait() == 0
    assert "stopped: 1 interpreter and 1 process ended" in site.log


def test_status_and_metrics_tell_each_pool(server, code, address):
    site = server(
        "changing:app", *REPORT, "--interpreters", "2", "--processes", "1", *code.options, "--control", address
    )
    control = Control(address, site)
    site.get("/report")
    status = control.status
    assert [(pool["name"], pool["wanted"]) for pool in status["pools"]] == [("interpreters", 2), ("process", 1)]
    assert status["interpreters_wanted"] == 3
    numbers = [one["number"] for one in status["interpreters"]]
    assert sorted(numbers) == sorted(set(numbers))
    processes = [one for one in status["interpreters"] if one["pool"] == "process"]
    assert [one["pid"] for one in processes] != [site.pid]
    metrics = control.metrics()
    assert metrics["chaussette_requests_total", ("process",)] == 1
    assert metrics["chaussette_requests_total", ("interpreters",)] == 0
    assert metrics["chaussette_interpreters", ("process", "serving")] == 1


@pytest.mark.parametrize(
    ("prefix", "cure"),
    [
        ("report", "begin with a slash"),
        ("", "write the beginning of a path"),
        ("/report?x=1", "leave out what begins with ? or #"),
        ("/", "use --isolation process instead"),
        ("/report/*", "/report has all that is under it"),
        ("/100%", "write %25"),
        ("/a/../b", "write it without"),
    ],
)
def test_a_prefix_that_is_none_is_refused_with_a_clear_line(command, prefix, cure):
    ended = command(f"--process-for={prefix}", "apps.hello:app")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"chaussette: error: --process-for {prefix or chr(39) * 2}: ")
    assert cure in line


def test_nothing_is_left_of_either_pool_when_the_server_is_killed(server, code):
    site = server("changing:app", *REPORT, "--interpreters", "2", *code.options)
    processes = {int(pid) for pid in pids(site)}
    assert processes
    assert site.pid not in processes
    os.kill(site.pid, SIGKILL)
    site.expect(-SIGKILL).wait()
    soon(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), 15)
