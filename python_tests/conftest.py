"""Fixtures of the black-box suite: it runs the *installed* `chaussette` and sees what a client and a manager see."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig

import pytest
from support import tally
from support.gates import Gate
from support.process import HERE, Starter, command_line

FREE_THREADED_BUILD = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def pytest_sessionstart(session):
    if importlib.util.find_spec("chaussette") is None:
        pytest.exit(f"chaussette is not installed for {sys.executable}: install the wheel first", returncode=3)


def pytest_report_header(config):
    build = "free-threaded" if FREE_THREADED_BUILD else "GIL"
    left_out = "own-GIL" if FREE_THREADED_BUILD else "free-threaded"
    return f"command: {' '.join(command_line())}; a {build} build of CPython: the {left_out} tests are left out"


def pytest_collection_modifyitems(items):
    own_gil = pytest.mark.skip(reason="needs a build of CPython with a GIL; this one is free-threaded")
    free_threaded = pytest.mark.skip(reason="needs a free-threaded build of CPython; this one has a GIL")
    for item in items:
        if FREE_THREADED_BUILD and item.get_closest_marker("own_gil"):
            item.add_marker(own_gil)
        if not FREE_THREADED_BUILD and item.get_closest_marker("free_threaded"):
            item.add_marker(free_threaded)


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, [])]
    for line in tally.lines(reports, "threads" if FREE_THREADED_BUILD else "interpreters"):
        terminalreporter.write_line(line)


@pytest.fixture
def server(tmp_path):
    """A function that starts servers; at the end each must obey SIGTERM, exit 0 and leave nothing behind."""
    starter = Starter(tmp_path)
    try:
        yield starter
    finally:
        starter.clean_up()


@pytest.fixture(scope="module")
def module_server(tmp_path_factory):
    """As `server`, for the tests of one module that share a server."""
    starter = Starter(tmp_path_factory.mktemp("module"))
    try:
        yield starter
    finally:
        starter.clean_up()


@pytest.fixture
def gate(tmp_path, server):
    """A function that makes gates (support/gates.py), all released before the servers are ended."""
    made = []

    def make():
        made.append(Gate(tmp_path / f"gate-{len(made)}"))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.release()


@pytest.fixture
def command():
    """A function that runs the command to its end, for command lines that must not serve.

    Returns the completed process; fails when it takes longer than `deadline` seconds.
    """

    def run(*options, env=None, python=(), cwd=HERE, deadline=20, **popen):
        process = subprocess.Popen(
            command_line(python) + [str(option) for option in options],
            **{"stdin": subprocess.DEVNULL, "env": env or {}, "cwd": str(cwd), "start_new_session": True, **popen},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"{options} still ran after {deadline} s; the log was:\n{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


@pytest.fixture
def tool():
    """A function that finds a real client; without it the test is left out, and the reason says so loudly."""

    def find(name):
        return shutil.which(name) or pytest.skip(f"NOT TESTED: no {name} here; cure: .ci/install-clients")

    return find
