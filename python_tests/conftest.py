"""Fixtures of the black-box suite: it runs the *installed* `chaussette` and sees what a client and a manager see."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys

import pytest
from support import isolation as isolations
from support import tally
from support.gates import Gate
from support.process import HERE, Starter, command_line


def pytest_configure(config):
    if importlib.util.find_spec("chaussette") is None:
        pytest.exit(f"chaussette is not installed for {sys.executable}: install the wheel first", returncode=3)
    try:
        isolations.plan()
    except ValueError as error:
        pytest.exit(str(error), returncode=3)


def pytest_report_header(config):
    build = "free-threaded" if isolations.FREE_THREADED_BUILD else "GIL"
    return f"command: {' '.join(command_line())}; a {build} build of CPython; {isolations.plan().says}"


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker("isolation")
    if marker and marker.kwargs.get("each"):
        metafunc.parametrize("isolation", isolations.turns(*marker.args))


def pytest_collection_modifyitems(items):
    for item in items:
        marker = item.get_closest_marker("isolation")
        if marker and not isolations.plan().has(marker.args):
            why = f": {marker.kwargs['reason']}" if "reason" in marker.kwargs else ""
            item.add_marker(pytest.mark.skip(reason=f"for isolation {', '.join(marker.args)}{why}"))


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, [])]
    for line in tally.lines(reports, "threads" if isolations.FREE_THREADED_BUILD else "interpreters"):
        terminalreporter.write_line(line)


def option_for(node):
    marker = node.get_closest_marker("isolation")
    return isolations.plan().of(*(marker.args if marker else ()))


@pytest.fixture
def isolation(request):
    """Where the servers of the test have its application, unless the test chooses; None: where `auto` has it.

    A test whose marker says `each=True` has one after another.
    """
    return option_for(request.node)


@pytest.fixture
def server(tmp_path, isolation):
    """A function that starts servers; at the end each must obey SIGTERM, exit 0 and leave nothing behind."""
    starter = Starter(tmp_path, isolation)
    try:
        yield starter
    finally:
        starter.clean_up()


@pytest.fixture(scope="module")
def module_server(request, tmp_path_factory):
    """As `server`, for the tests of one module that share a server."""
    starter = Starter(tmp_path_factory.mktemp("module"), option_for(request.node))
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
