"""N interpreters in one process: truly parallel, apart from each other, and set up as the main one."""

import contextlib
import os
import threading

import pytest
from support.process import session_members
from support.waiting import soon

pytestmark = pytest.mark.isolation("own-gil", reason="it is sub-interpreters that are meant")


def seen_settings(site, count):
    """The answer of apps.settings of each of `count` interpreters."""
    answers = {}

    def all_seen():
        answer = site.get().json()
        answers[answer["interpreter"]] = answer
        return len(answers) == count

    soon(all_seen, what=lambda: f"answers of {count} interpreters, seen {sorted(answers)}")
    assert sorted(answers) == list(range(count))
    return answers


@pytest.fixture
def fifos(tmp_path):
    """A function that makes a pair of FIFOs and opens both; closing them releases whoever waits."""
    opened = []

    def make(name):
        paths = {end: str(tmp_path / f"{name}-{end}") for end in ("arrived", "go")}
        for path in paths.values():
            os.mkfifo(path)
        fds = {end: os.open(path, os.O_RDWR | os.O_NONBLOCK) for end, path in paths.items()}
        opened.extend(fds.values())
        return paths, fds

    yield make
    for fd in opened:
        with contextlib.suppress(OSError):
            os.write(fd, b"go")
        os.close(fd)


def test_two_interpreters_run_at_once_while_each_holds_its_gil(server, fifos):
    """Both must be inside one C call that keeps the GIL before either may go on: one GIL could never get there."""
    pairs = [fifos(name) for name in ("one", "two")]
    site = server("apps.holding_the_gil:app", "--interpreters", "2")
    connections = [site.connect() for _ in pairs]
    try:
        for connection, (paths, _) in zip(connections, pairs, strict=True):
            connection.ask("GET", f"/?arrived={paths['arrived']}&go={paths['go']}")
        for _, fds in pairs:
            soon(lambda fd=fds["arrived"]: readable(fd), what="both interpreters to hold their GILs at once")
        for _, fds in pairs:
            os.write(fds["go"], b"x")
        answers = [connection.response().json() for connection in connections]
    finally:
        for _, fds in pairs:
            os.write(fds["go"], b"x")
        for connection in connections:
            connection.close()
    assert sorted(answer["interpreter"] for answer in answers) == [0, 1]
    assert {answer["pid"] for answer in answers} == {site.pid}


def readable(fd):
    try:
        return os.read(fd, 1)
    except BlockingIOError:
        return b""


def test_a_request_never_waits_for_a_busy_interpreter_beside_a_free_one(server, gate):
    here = gate()
    site = server("apps.waiting:app", "--interpreters", "2")
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        for _ in range(50):
            assert site.get("/list_seen").status == 200
        here.open()
        assert connection.response().status == 200


def test_free_interpreters_take_turns(server):
    site = server("apps.state:app", "--interpreters", "3")
    with site.connect() as connection:
        seen = [connection.get("/").json()["interpreter"] for _ in range(60)]
    assert set(seen) == {0, 1, 2}
    assert min(seen.count(number) for number in range(3)) >= 5, seen


def test_the_state_of_modules_is_apart(server):
    site = server("apps.state:app", "--interpreters", "2")
    counts = {0: [], 1: []}
    with site.connect() as connection:
        for _ in range(40):
            answer = connection.get("/").json()
            counts[answer["interpreter"]].append(answer["count"])
    for seen in counts.values():
        assert seen == list(range(1, len(seen) + 1))


def test_all_interpreters_are_in_one_process(server):
    site = server("apps.settings:app", "--interpreters", "4")
    seen_settings(site, 4)
    assert session_members(site.pid) == [site.pid]


SETTINGS = [
    [],
    ["-X", "dev"],
    ["-X", "utf8=0"],
    ["-X", "int_max_str_digits=5000", "-X", "frozen_modules=off", "-X", "own_option=some value"],
    ["-W", "error::ResourceWarning", "-W", "ignore::DeprecationWarning"],
    ["-B", "-O"],
    ["-s", "-P"],
    ["-I"],
    ["-b", "-q"],
]


@pytest.mark.parametrize("options", SETTINGS, ids=lambda options: " ".join(options) or "none")
def test_an_interpreter_is_set_up_as_the_main_one(server, options):
    def start(isolation):
        return server("apps.settings:app", "--isolation", isolation, words=["an argument"], python=options)

    assert_same_settings(start)


ENVIRONMENTS = [
    {"PYTHONWARNINGS": "error::ResourceWarning,default::DeprecationWarning"},
    {"PYTHONPATH": "/some/where:/else/where"},
    {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "1"},
    {"PYTHONUTF8": "1"},
    {"PYTHONIOENCODING": "latin-1:replace"},
    {"PYTHONPYCACHEPREFIX": "/tmp/some-prefix", "PYTHONINTMAXSTRDIGITS": "6000"},
    {"PYTHONDEVMODE": "1", "LC_ALL": "C"},
    {"PYTHONUNBUFFERED": "1"},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: next(iter(environment)))
def test_the_settings_of_the_environment_reach_each_interpreter(server, environment):
    def start(isolation):
        return server("apps.settings:app", "--isolation", isolation, env=environment)

    assert_same_settings(start)


def assert_same_settings(start):
    """Compare the settings under both isolations; only what names the isolation, or the descriptor, may differ."""
    settings = {}
    for isolation in ("main", "own-gil"):
        site = start(isolation)
        seen = site.get().json()["settings"]
        seen.pop("orig_argv")
        drop = {isolation, str(site.fd)}
        seen["argv"] = [argument for argument in seen["argv"] if argument not in drop]
        settings[isolation] = seen
    for key, value in settings["main"].items():
        assert settings["own-gil"][key] == value, key


def test_the_interpreters_are_set_up_alike(server):
    site = server("apps.settings:app", "--interpreters", "2", python=["-X", "dev"])
    first, second = seen_settings(site, 2).values()
    assert first["settings"] == second["settings"]


def test_the_working_directory_is_on_the_path_and_current(server, tmp_path):
    (tmp_path / "app_of_the_folder.py").write_text(
        "import os\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [os.getcwd().encode()]\n"
    )
    site = server("app_of_the_folder:app", cwd=tmp_path)
    assert site.get().text == str(tmp_path)


def test_python_path_is_added_to_sys_path(server, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two" / "app_of_the_path.py").write_text("from apps.settings import app")
    paths = f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}"
    for isolation in ("own-gil", "main"):
        site = server("app_of_the_path:app", "--python-path", paths, "--isolation", isolation)
        path = site.get().json()["settings"]["path"]
        assert [str(tmp_path / "one"), str(tmp_path / "two")] == [entry for entry in path if str(tmp_path) in entry]


@pytest.mark.parametrize("isolation", ["own-gil", "main"])
def test_the_arguments_after_the_application_are_in_sys_argv(server, isolation):
    site = server("apps.settings:app", "--isolation", isolation, words=["first", "second word"])
    program, *words = site.get().json()["settings"]["argv"]
    assert words == ["first", "second word"]
    assert program.rpartition("/")[2] in ("chaussette", "__main__.py")


def test_an_empty_environment_is_enough(server):
    site = server("apps.settings:app", "--interpreters", "2")
    for answer in seen_settings(site, 2).values():
        assert answer["environment"] == ""
        assert set(answer["own_environ"]) <= {"LC_CTYPE"}  # CPython's own coercion of the C locale


def test_a_thread_that_a_request_starts_is_not_daemonic(server):
    """CPython 3.13 lets the child of a foreign thread inherit daemon=True, which the server sets right."""
    for isolation in ("own-gil", "main"):
        assert server("apps.settings:app", "--isolation", isolation).get().json()["new_thread_is_daemon"] is False


def test_print_reaches_the_output_of_the_process(server):
    site = server("apps.printing:app", "--interpreters", "2")
    mark, seen = site.mark(), set()
    with site.connect() as connection:
        while len(seen) < 2:
            seen.add(connection.get("/?word=both").json()["interpreter"])
    site.wait_for_log("^err: both$", mark)
    site.wait_for_log("^errors: both \u20ac$", mark)
    assert site.stop() == 0
    assert site.out.count("printed on import\n") >= 2
    assert site.out.count("out: both\n") >= 2


def test_lines_printed_by_several_interpreters_at_once_stay_whole(server):
    site = server("apps.printing:app", "--interpreters", "3")
    words = ["w" * 50 + str(n) for n in range(3)]

    def ask(word):
        with site.connect() as connection:
            for _ in range(100):
                connection.get(f"/?word={word}")

    threads = [threading.Thread(target=ask, args=[word]) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for line in site.log.splitlines() if line.startswith("errors: ")]
    assert len(lines) == 300
    assert set(lines) == {f"errors: {word} \u20ac" for word in words}


def test_two_threads_serve_two_requests_in_one_interpreter_at_once(server, gate):
    gates = [gate(), gate()]
    site = server("apps.waiting:app", "--interpreters", "1", "--threads", "2")
    connections = [site.connect() for _ in gates]
    for connection, here in zip(connections, gates, strict=True):
        connection.ask("GET", f"/wait?{here.query}")
    for here in gates:
        here.wait()
    for here in gates:
        here.open()
    answers = [connection.response().json() for connection in connections]
    assert [answer["interpreter"] for answer in answers] == [0, 0]
    assert len({answer["thread"] for answer in answers}) == 2


def test_one_thread_serves_one_request_at_a_time(server, gate):
    here = gate()
    site = server("apps.waiting:app", "--interpreters", "1", "--threads", "1")
    with site.connect() as first, site.connect() as second:
        first.ask("GET", f"/wait?{here.query}")
        here.wait()
        second.ask("GET", "/list_seen")
        here.open()
        assert first.response().status == 200
        assert second.response().json() == ["/wait"]


def test_auto_makes_as_many_interpreters_as_the_process_may_use_cpus(server):
    site = server("apps.settings:app", "--interpreters", "auto")
    count = len(os.sched_getaffinity(0))
    match = site.wait_for_log(r"ready: (\d+) interpreters?\b")
    assert 1 <= int(match.group(1)) <= count


def test_auto_heeds_the_cpu_affinity(server):
    all_of_them = os.sched_getaffinity(0)
    # Inherited by the child.
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        site = server("apps.settings:app", "--interpreters", "auto")
    finally:
        os.sched_setaffinity(0, all_of_them)
    assert site.wait_for_log(r"ready: (\d+) interpreters?\b").group(1) == "1"


def test_many_interpreters_live_beside_each_other(server):
    site = server("apps.state:app", "--interpreters", "16")
    with site.connect() as connection:
        seen = {connection.get("/").json()["interpreter"] for _ in range(200)}
    assert seen <= set(range(16))
    assert len(seen) >= 8


def test_isolation_main_runs_the_application_in_the_main_interpreter_on_threads(server, gate):
    gates = [gate(), gate()]
    site = server("apps.waiting:app", "--isolation", "main", "--interpreters", "3", "--threads", "2")
    connections = [site.connect() for _ in gates]
    for connection, here in zip(connections, gates, strict=True):
        connection.ask("GET", f"/wait?{here.query}")
    for here in gates:
        here.wait()
    for here in gates:
        here.open()
    answers = [connection.response().json() for connection in connections]
    assert [answer["interpreter"] for answer in answers] == [0, 0]


def test_an_interpreter_has_not_imported_what_only_faults_need(server):
    modules = server("apps.modules:app").get().text.split()
    assert "threading" in modules
    assert not {"traceback", "re", "enum"} & set(modules)
