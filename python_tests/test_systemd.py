"""The shipped units under a real systemd: started, asked, reloaded, watched and ended as an operator does."""

import subprocess
import sys
import sysconfig

import pytest
from support.examples import example, replaced
from support.systemd import CannotBoot, Systemd, version, why_not
from support.waiting import soon

#: Seconds without a sign of life, for the tests.
WATCHDOG = 2

APPLICATION = """
import os
import time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/loop":
        # No system call, no return: a thread that nobody can stop.
        while True:
            pass
    if path == "/status":
        return [open("/proc/self/status", "rb").read()]
    if path == "/write":
        said = []
        for folder in ("/srv/web", "/etc", "/var/lib/web", "/tmp", "/home"):
            try:
                open(folder + "/x", "w").close()
                said.append(folder)
            except OSError:
                pass
        return [" ".join(said).encode()]
    return [VERSION.encode()]

VERSION = "one"
"""

ASK = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8080" + sys.argv[1], timeout=30).read().decode())
"""

#: Asks until it is told to end, on new connections; prints how many were answered, or fails.
LOAD = """
import os, sys, urllib.request
count = 0
while not os.path.exists("/run/enough"):
    assert urllib.request.urlopen("http://127.0.0.1:8080/", timeout=30).status == 200
    count += 1
    open("/run/count", "w").write(str(count))
print(count)
"""

STUCK = """
import socket
with socket.create_connection(("127.0.0.1", 8080), timeout=60) as client:
    client.sendall(b"GET /loop HTTP/1.0\\r\\n\\r\\n")
    try:
        client.recv(1)
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if reason := why_not():
        pytest.skip(f"NOT TESTED under a real systemd: {reason}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("nothing in the units depends on the GIL")
    folder = tmp_path_factory.mktemp("machine")
    units = folder / "units"
    (units / "chaussette.service.d").mkdir(parents=True)
    (units / "site" / "mysite").mkdir(parents=True)
    (units / "site" / "mysite" / "__init__.py").touch()
    (units / "site" / "mysite" / "wsgi.py").write_text(APPLICATION)
    (units / "chaussette.socket").write_text(example("systemd/chaussette.socket"))
    service = replaced(
        example("systemd/chaussette.service"),
        # A thread that nobody can stop must not be replaced before the watchdog has seen it; one is enough.
        ("--interpreters auto", "--interpreters 1"),
        ("--timeout 30 ", ""),
        ("WatchdogSec=120", f"WatchdogSec={WATCHDOG}"),
    )
    (units / "chaussette.service").write_text(service)
    # Where this CPython lies there, and a short file of its own for it: the installed one names another place.
    (units / "chaussette.service.d" / "python.conf").write_text(
        "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/python/lib\n"
    )
    if version() < 253:
        (units / "chaussette.service.d" / "before-253.conf").write_text(example("systemd/before-253.conf"))
    try:
        booted = Systemd(folder, units)
    except CannotBoot as error:
        pytest.skip(f"NOT TESTED under a real systemd: this machine does not let one boot: {error}")
    try:
        yield booted
    finally:
        booted.clean_up()


@pytest.fixture
def service(machine):
    """The machine with its service started, by a socket that listens."""
    machine.run("systemctl", "reset-failed", check=False)
    machine.run("systemctl", "start", "chaussette.socket")
    machine.run("systemctl", "start", "chaussette.service")
    assert machine.show("ActiveState") == "active"
    return machine


def python(machine, code, *words):
    inside = ["env", "LD_LIBRARY_PATH=/opt/python/lib", "/opt/python/bin/python3", "-c", code, *words]
    return machine.run(*inside).stdout.strip()


def ask(machine, path="/"):
    return python(machine, ASK, path)


def status_line(machine):
    return machine.show("StatusText")


def test_the_socket_starts_the_service(machine):
    machine.run("systemctl", "stop", "chaussette.service", "chaussette.socket")
    machine.run("systemctl", "start", "chaussette.socket")
    assert machine.show("ActiveState") == "inactive"
    assert ask(machine) == "one"
    assert machine.show("ActiveState") == "active"
    assert "Serving on fd://3" in machine.journal()


def test_a_start_returns_when_it_serves(service):
    assert "] ready: 1 interpreter" in service.journal()
    assert status_line(service) == "1 of 1 interpreter: serving"


def test_it_may_do_what_the_unit_says_and_no_more(service):
    status = dict(line.split(":\t", 1) for line in ask(service, "/status").splitlines() if ":\t" in line)
    assert int(status["Uid"].split()[0]) != 0
    assert {status[name] for name in ("CapEff", "CapBnd", "CapPrm")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert ask(service, "/write").split() == ["/var/lib/web", "/tmp"]


def test_the_control_socket_is_where_the_operator_looks(service):
    command = ["env", "LD_LIBRARY_PATH=/opt/python/lib", "/srv/web/.venv/bin/chaussette"]
    said = service.run(*command, "--control", "unix:/run/chaussette/control", "--census").stdout
    assert "ready" in said.splitlines()[0]


def test_a_reload_brings_new_code_in_the_same_process(service):
    before = service.show("MainPID")
    assert ask(service) == "one"
    path = "/srv/web/mysite/wsgi.py"
    python(service, f"t = open({path!r}).read(); open({path!r}, 'w').write(t.replace('= \"one\"', '= \"second\"'))")
    service.run("systemctl", "reload", "chaussette.service")
    # Type=notify-reload: the command returns when the last interpreter has been replaced.
    assert version() < 253 or ask(service) == "second"
    soon(lambda: ask(service) == "second", what="the new code")
    python(service, f"t = open({path!r}).read(); open({path!r}, 'w').write(t.replace('= \"second\"', '= \"one\"'))")
    service.run("systemctl", "reload", "chaussette.service")
    soon(lambda: ask(service) == "one", what="the old code")
    assert service.show("MainPID") == before
    assert service.show("ActiveState") == "active"


def test_restarts_under_load_refuse_nobody(service):
    service.run("rm", "-f", "/run/enough", "/run/count")
    entered = ["nsenter", "--target", service.init, "--mount", "--pid", "--net", "--root", "--wd"]
    inside = ["env", "LD_LIBRARY_PATH=/opt/python/lib", "/opt/python/bin/python3", "-c", LOAD]
    load = subprocess.Popen([*entered, *inside], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def count():
        return int(service.run("cat", "/run/count", check=False).stdout or 0)

    for _ in range(5):
        before = count()
        soon(lambda before=before: count() > before + 20, what="requests")
        service.run("systemctl", "restart", "chaussette.service")
    service.run("touch", "/run/enough")
    said, _ = load.communicate(timeout=60)
    assert load.returncode == 0, said
    assert int(said) > 100


def test_the_watchdog_ends_a_process_whose_every_thread_is_stuck(service):
    before = service.show("MainPID")
    # Returns when the connection ends, and with it the process.
    python(service, STUCK)
    soon(lambda: service.show("NRestarts") != "0" and service.show("MainPID") not in ("0", before), 60)
    assert ask(service) == "one"
    told = service.run("journalctl", "--no-pager", "-o", "cat", "-u", "chaussette.service").stdout
    assert "Watchdog timeout" in told


def test_a_stop_ends_in_order(service):
    service.run("systemctl", "stop", "chaussette.service")
    assert (service.show("ActiveState"), service.show("Result"), service.show("ExecMainStatus")) == (
        "inactive",
        "success",
        "0",
    )


def test_what_comes_back_on_every_start_is_not_tried_again(machine):
    machine.run("systemctl", "stop", "chaussette.service", "chaussette.socket")
    path = "/srv/web/mysite/wsgi.py"
    machine.run("mv", path, f"{path}.away")
    try:
        machine.run("systemctl", "start", "chaussette.socket")
        machine.run("systemctl", "start", "chaussette.service", check=False)
        soon(lambda: machine.show("ActiveState") == "failed", what=lambda: machine.show("ActiveState"))
        assert machine.show("ExecMainStatus") == "4"
        assert machine.show("NRestarts") == "0"
    finally:
        machine.run("mv", f"{path}.away", path)
        machine.run("systemctl", "stop", "chaussette.socket")
        machine.run("systemctl", "reset-failed", "chaussette.service", check=False)


def test_the_interpreter_is_this_one(service):
    assert python(service, "import sys; print(sys.version)") == sys.version
