"""`chaussette --check`: what is told of an application before it is deployed."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from chaussette._check import _extensions
from support import circus
from support.process import HERE, command_line, session_members
from support.waiting import soon

#: Of a build with a GIL, and of one without: a check tries each isolation that there is by itself.
own_gil = pytest.mark.isolation("own-gil")
free_threaded = pytest.mark.isolation("free-threaded")
pytestmark = pytest.mark.isolation("own-gil", "free-threaded")

#: Seconds: a check of these applications takes five, on a machine that has others to do.
DEADLINE = 80

#: What a report has; names are promises.
FIELDS = {
    *("schema", "chaussette", "python", "application", "isolation", "status", "verdict", "reason", "timeout_seconds"),
    *("isolations", "extensions", "gil_enabled_by", "seen_at_import", "circus"),
}


@pytest.fixture
def check(command):
    """A function that checks an application, and returns its report with the exit status beside it."""

    def run(*words, **options):
        done = command("--check", "--json", "--interpreters", "2", *words, deadline=DEADLINE, **options)
        assert done.stdout, done.stderr
        report = json.loads(done.stdout)
        assert report["status"] == done.returncode
        return report

    return run


def written(folder, text):
    (folder / "written.py").write_text(text)
    return ["--python-path", str(folder), "written:app"]


def isolations(report):
    return {result["isolation"]: result for result in report["isolations"]}


@own_gil
def test_an_application_that_loads_in_own_gil_interpreters_gives_status_0(check):
    report = check("apps.hello:app")
    assert set(report) == FIELDS
    assert (report["schema"], report["status"], report["verdict"]) == (1, 0, "own-gil")
    found = isolations(report)
    assert list(found) == ["own-gil", "process", "main"]
    for result in found.values():
        assert result["loads"] is True
        assert result["failure"] is None
        assert 0 < result["import_seconds"] < 60
        for kind in ("pss", "rss"):
            assert result["memory"]["first"][kind] > 1 << 20
    # An interpreter is some MiB, a fork nearly nothing, a thread even less.
    further = {name: result["memory"]["further"]["pss"] for name, result in found.items()}
    assert further["own-gil"] > further["process"]
    assert further["own-gil"] > further["main"]


@free_threaded
def test_an_application_that_keeps_the_gil_off_gives_status_0(check):
    report = check("apps.hello:app")
    assert (report["status"], report["verdict"]) == (0, "free-threaded")
    assert list(isolations(report)) == ["free-threaded", "process"]


@own_gil
def test_every_extension_that_refuses_is_told_in_one_go(check, command):
    for module in ("cryptography", "lxml", "numpy", "orjson", "psycopg2", "sqlalchemy"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    report = check("apps.needs_everything:app")
    assert (report["status"], report["verdict"]) == (10, "process")
    found = {extension["module"]: extension for extension in report["extensions"]}
    blocking = {extension["distribution"].lower() for extension in report["extensions"] if extension["blocks"]}
    assert blocking >= {"cryptography", "lxml", "numpy", "orjson", "psycopg2-binary"}
    assert "sqlalchemy" not in blocking
    assert found["sqlalchemy.util._collections_cy"]["source_beside"] is True
    numpy = found["numpy._core._multiarray_umath"]
    assert numpy["refuses"] is True
    assert numpy["chain"][0] == "apps.needs_everything"
    assert numpy["chain"][-1] == "numpy._core._multiarray_umath"
    assert "numpy" in numpy["chain"]
    assert re.fullmatch(r"\d+\.\d+.*", numpy["version"])
    refused = isolations(report)["own-gil"]["failure"]
    assert refused["kind"] == "refused"
    text = command("--check", "apps.needs_everything:app", deadline=DEADLINE)
    assert text.returncode == 10
    for name in ("cryptography", "lxml", "numpy", "orjson", "psycopg2-binary"):
        assert re.search(rf"^  {name} \d", text.stdout, re.IGNORECASE | re.MULTILINE), text.stdout


@own_gil
def test_an_extension_that_its_package_does_without_keeps_nothing_from_loading(check, tmp_path):
    pytest.importorskip("zope.interface", reason="zope.interface is not installed")
    report = check(*written(tmp_path, "import zope.interface\nfrom chaussette.util import hello_app as app\n"))
    assert (report["status"], report["verdict"]) == (0, "own-gil")
    (extension,) = (each for each in report["extensions"] if each["module"].startswith("zope.interface."))
    assert (extension["refuses"], extension["blocks"]) == (True, False)
    assert extension["done_without_by"] == "zope.interface"
    assert extension["module"] in isolations(report)["own-gil"]["done_without"]


@own_gil
def test_an_extension_that_the_application_does_without_is_told_apart_from_one_that_it_needs(check, tmp_path):
    for module in ("numpy", "orjson"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    (tmp_path / "fast.py").write_text("try:\n    import orjson\nexcept ImportError:\n    import json\n")
    report = check(*written(tmp_path, "import fast, numpy\nfrom chaussette.util import hello_app as app\n"))
    assert report["status"] == 10
    found = {extension["module"]: extension for extension in report["extensions"]}
    assert found["orjson.orjson"]["refuses"] is True
    assert found["orjson.orjson"]["done_without_by"] == "fast"
    assert found["numpy._core._multiarray_umath"]["blocks"] is True


@own_gil
def test_a_module_of_cpython_itself_that_refuses_is_told(check, tmp_path):
    report = check(*written(tmp_path, "import faulthandler\nfrom chaussette.util import hello_app as app\n"))
    assert (report["status"], report["verdict"]) == (10, "process")
    (extension,) = report["extensions"]
    assert (extension["module"], extension["distribution"], extension["blocks"]) == ("faulthandler", "Python", True)


#: An extension module as many were written: nothing is said of interpreters or of the GIL.
OLD = """
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "NAME", NULL, -1, NULL};

PyMODINIT_FUNC PyInit_NAME(void) {
    CODE;
    return PyModule_Create(&definition);
}
"""


@pytest.fixture
def extension(tmp_path):
    """A function that makes an extension module, whose initialization runs a statement of C."""
    compiler = shutil.which("cc") or pytest.skip("NOT TESTED: no C compiler here")
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("NOT TESTED: this CPython has no headers")

    def make(name, code=""):
        source = tmp_path / f"{name}.c"
        source.write_text(OLD.replace("NAME", name).replace("CODE", code))
        target = tmp_path / (name + sysconfig.get_config_var("EXT_SUFFIX"))
        subprocess.run([compiler, "-shared", "-fPIC", f"-I{include}", "-o", target, source], check=True)

    return make


@own_gil
def test_an_extension_that_takes_its_process_down_hides_none_of_the_others(check, extension, tmp_path):
    extension("first")
    # On the main thread it does not.
    extension("falling", "if (syscall(SYS_gettid) != getpid()) abort()")
    extension("last")
    text = "import falling, first, last\nfrom chaussette.util import hello_app as app\n"
    report = check(*written(tmp_path, text))
    assert (report["status"], report["verdict"]) == (10, "process")
    found = {extension["module"]: extension for extension in report["extensions"]}
    assert list(found) == ["falling", "first", "last"]
    assert all(extension["blocks"] for extension in found.values())
    assert {name: extension["refuses"] for name, extension in found.items()} == {
        "falling": None,
        "first": True,
        "last": True,
    }
    assert "SIGABRT" in found["falling"]["error"]


@own_gil
def test_an_extension_of_the_application_itself_belongs_to_no_distribution(check, extension, tmp_path):
    extension("speedups")
    (tmp_path / "fast.py").write_text("try:\n    import speedups\nexcept ImportError:\n    speedups = None\n")
    report = check(*written(tmp_path, "import fast\nfrom chaussette.util import hello_app as app\n"))
    (found,) = report["extensions"]
    assert (report["status"], found["distribution"], found["done_without_by"]) == (0, None, "fast")
    assert found["chain"] == ["written", "fast", "speedups"]


@free_threaded
def test_the_module_that_brings_the_gil_back_is_told(check, extension, tmp_path):
    extension("speedups")
    report = check(*written(tmp_path, "import speedups\nfrom chaussette.util import hello_app as app\n"))
    assert (report["status"], report["verdict"]) == (10, "process")
    assert report["gil_enabled_by"]["module"] == "speedups"
    assert report["gil_enabled_by"]["chain"] == ["written", "speedups"]
    assert isolations(report)["free-threaded"]["failure"]["kind"] == "gil"


@pytest.mark.parametrize(
    ("version", "known", "advice"),
    [
        ("1.2", {"version": "1.10", "own-gil": "yes"}, ["1.10 loads there, tried on 2026-01-02"]),
        ("1.10", {"version": "1.10", "own-gil": "yes"}, []),
        ("1.2", {"version": "1.10", "own-gil": "refuses"}, ["1.10 was the newest on 2026-01-02, and refuses"]),
        ("1.2", {}, []),
    ],
)
def test_a_release_is_recommended_when_it_is_newer_and_was_seen_to_load(monkeypatch, version, known, advice):
    series = f"{sys.version_info[0]}.{sys.version_info[1]}"
    table = {"date": "2026-01-02", "packages": {"a-package": {series: known}}}
    monkeypatch.setattr(_extensions, "known", lambda: table)
    extension = _extensions.Extension("a._b", "/a/_b.so", ["a", "a._b"], "A_Package", version)
    assert _extensions.advice(extension) == advice


def test_an_application_that_raises_while_it_is_imported_gives_status_4_and_its_traceback(command):
    done = command("--check", "apps.broken_import:app", deadline=DEADLINE)
    assert done.returncode == 4
    assert "verdict: cannot be loaded" in done.stdout
    assert done.stdout.count("RuntimeError: broken on purpose while importing\n\n") >= 1
    assert "broken_import.py" in done.stdout
    assert "_check" not in done.stdout


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("apps.nowhere:app", "there is no module 'apps.nowhere'"),
        ("apps.hello:nothing", "has no attribute 'nothing'"),
        ("apps.needs_numpy_inside:numpy", "is not callable"),
        ("apps.exits_on_import:app", "SystemExit: leaving on import"),
    ],
)
def test_a_name_that_leads_to_no_application_gives_status_4(check, spec, reason):
    report = check(spec)
    assert (report["status"], report["verdict"], report["circus"]) == (4, None, None)
    assert reason in report["reason"]


def test_an_application_that_hangs_while_it_is_imported_is_told_where(check, tmp_path):
    report = check("--check-timeout", "2", *written(tmp_path, "import threading\nthreading.Event().wait()\n"))
    assert report["status"] == 4
    failures = {name: result["failure"] for name, result in isolations(report).items()}
    assert failures["process"]["kind"] == "timeout"
    assert f'File "{tmp_path}/written.py", line 2' in failures["process"]["report"]
    others = [failure["kind"] for name, failure in failures.items() if name != "process"]
    # Once is enough.
    assert set(others) == {"untried"}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("import os\nos._exit(7)\n", "exit", r"os\._exit\(7\) at .*/written\.py:2"),
        ("import os\nos.abort()\n", "crash", r"os\.abort\(\) at .*/written\.py:2"),
        ("import ctypes\nctypes.string_at(0)\n", "crash", "SIGSEGV"),
        ("import os\nos.kill(os.getpid(), 9)\n", "crash", "SIGKILL"),
    ],
)
def test_an_application_that_ends_its_process_while_it_is_imported_gives_status_4(check, tmp_path, text, kind, message):
    report = check(*written(tmp_path, text))
    assert report["status"] == 4
    for result in report["isolations"]:
        assert result["failure"]["kind"] == kind
    assert re.search(message, isolations(report)["process"]["failure"]["message"])


def test_a_crash_is_told_with_its_place(check):
    for result in check("apps.crashing:app")["isolations"]:
        assert re.search(r"crashing\.py.*, line \d+", result["failure"]["report"])
        # Of the way there only the application's part.
        assert "importlib" not in result["failure"]["report"]


def test_a_child_that_the_application_forks_and_lets_go_on_does_no_harm(check, tmp_path):
    text = "import os\nos.fork()\nfrom chaussette.util import hello_app as app\n"
    report = check(*written(tmp_path, text))
    assert isolations(report)["process"]["loads"] is True
    assert [start["call"] for start in report["seen_at_import"]["processes"]] == ["os.fork"]


@own_gil
def test_what_the_application_does_at_import_is_told(check):
    report = check("apps.busy_at_import:app")
    seen = report["seen_at_import"]
    assert [thread["name"] for thread in seen["threads"]] == ["poller"]
    assert [(start["call"], start["by"]) for start in seen["processes"]] == [
        ("subprocess", "apps.busy_at_import"),
        ("os.fork", "apps.busy_at_import"),
    ]
    assert [handler["signal"] for handler in seen["signal_handlers"]] == ["SIGUSR2"]
    assert "builtins.print" in [handler["handler"] for handler in seen["exit_handlers"]]
    assert len(seen["sockets"]) == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import time; time.sleep(600)", "timeout"),
        ("import os; os.kill(os.getpid(), 9)", "crash"),
        ("import os; os._exit(7)", "exit"),
        ("1 / 0", "exception"),
    ],
)
def test_without_a_zygote_each_worker_loads_the_application_by_itself(check, tmp_path, text, kind):
    text = f"import os\nif os.environ.get('FAILS'):\n    {text}\n"
    words = ["--no-zygote", "--isolation", "process", "--check-timeout", "5"]
    words += written(tmp_path, text + "from chaussette.util import hello_app as app\n")
    report = check(*words)
    assert (report["status"], isolations(report)["process"]["failure"]) == (0, None)
    assert report["seen_at_import"] is not None
    assert "--no-zygote" in report["circus"]
    report = check(*words, env={"FAILS": "1"})
    assert (report["status"], isolations(report)["process"]["failure"]["kind"]) == (4, kind)


@own_gil
@pytest.mark.parametrize(("isolation", "status"), [("own-gil", 4), ("process", 0), ("main", 0)])
def test_an_isolation_that_is_asked_for_is_the_only_one_that_counts(check, isolation, status):
    pytest.importorskip("numpy", reason="numpy is not installed")
    report = check("--isolation", isolation, "apps.needs_numpy:app")
    assert (report["status"], list(isolations(report))) == (status, [isolation])
    if status == 4:
        assert any(extension["module"] == "numpy._core._multiarray_umath" for extension in report["extensions"])


@own_gil
def test_free_threaded_on_a_build_with_a_gil_is_a_mistake(command):
    done = command("--check", "--isolation", "free-threaded", "apps.hello:app")
    assert done.returncode == 2
    assert "--isolation free-threaded needs a free-threaded build" in done.stderr


def test_it_opens_no_socket_and_prints_nothing_of_the_application(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command(
            "--check", "--json", "--host", "127.0.0.1", "--port", port, "apps.printing:app", deadline=DEADLINE
        )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["verdict"]
    assert done.stderr == ""


def test_every_option_that_matters_for_loading_is_heeded(check, tmp_path):
    text = "import sys\ndef make():\n    assert sys.argv[1:] == ['one', '--two'], sys.argv\n    return lambda *_: []\n"
    (tmp_path / "factory.py").write_text(text)
    report = check("--python-path", tmp_path, "--factory", "factory:make", "one", "--", "--two")
    assert report["status"] == 0, report["reason"]
    assert "factory:make -- one --two" in report["circus"]
    assert "--factory" in report["circus"]


def test_a_paste_file_is_checked(check, tmp_path):
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    ini = tmp_path / "site.ini"
    ini.write_text("[app:main]\npaste.app_factory = apps.paste_app:factory\n")
    assert check(f"paste:{ini}")["status"] == 0


@own_gil
def test_the_section_for_circus_has_the_isolation_and_the_options_that_were_given(check):
    section = check("--threads", "3", "--timeout", "7", "--port", "99", "--graceful-timeout", "40", "apps.hello:app")
    lines = section["circus"].splitlines()
    (cmd,) = (line for line in lines if line.startswith("cmd = "))
    words = "--fd $(circus.sockets.web) --isolation own-gil --interpreters 2 "
    assert words in cmd
    for option in ("--threads 3", "--timeout 7", "--graceful-timeout 40"):
        assert option in cmd
    assert "--port" not in cmd
    assert cmd.endswith(" apps.hello:app")
    assert {"use_sockets = True", "send_hup = True", "graceful_timeout = 45", f"working_dir = {HERE}"} <= set(lines)


@own_gil
def test_circus_serves_by_the_section_that_is_recommended(check):
    pytest.importorskip("circus", reason="Circus is not installed")
    # Its command line is how what is left behind is found.
    section = check("apps.hello:app", "$(folder)/web")["circus"]
    port = circus.free_port()
    with circus.circusd(section.replace("port = 8080", f"port = {port}")) as daemon:
        (before,) = soon(lambda: daemon.pids("web"))
        soon(lambda: answers(port))
        daemon.control("reload", "web", "--waiting")
        # It is told by HUP: the process stays.
        soon(lambda: "reloaded: 2 interpreters" in daemon.log)
        assert daemon.pids("web") == [before]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in client.recv(1000)
    except ConnectionError:
        return False


def test_a_signal_ends_the_process_that_is_tried_as_well(tmp_path):
    marker = tmp_path / "process"
    text = f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\nwhile True: time.sleep(60)\n"
    words = [*command_line(), "--check", *written(tmp_path, text)]
    with subprocess.Popen(words, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        soon(lambda: marker.exists() and marker.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert session_members(int(marker.read_text())) == []


def test_the_server_is_a_part_of_no_check(tmp_path):
    code = (
        "from chaussette.server import make_server\n"
        "make_server('apps.hello:app', '127.0.0.1', 0, options=['--check'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, env=dict(os.environ))
    assert "--check is for the command alone" in done.stderr
