"""`--version` and what is installed: lines that scripts and bug reports rely on, and the files of the package."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import chaussette
import pytest


@pytest.fixture
def told(command):
    done = command("--version")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    return first, dict(line.split(": ", 1) for line in lines)


def test_the_first_line_is_the_version_alone(told):
    assert told[0] == f"chaussette {chaussette.__version__}"
    assert chaussette.__version__ == importlib.metadata.version("chaussette")


def test_the_other_lines_have_the_documented_names(told):
    assert list(told[1]) == ["build", "python", "isolation", "backends", "features"]
    pattern = rf"(release|debug), {sys.platform} {platform.machine()}(, commit [0-9a-f]{{10}}(\+changes)?)?"
    assert re.fullmatch(pattern, told[1]["build"])


def test_python_is_told_with_its_gil(told):
    gil = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with a GIL"
    *words, executable = told[1]["python"].split(", ")
    assert words == [f"CPython {platform.python_version()}", gil]
    # By one of its names: a console script has the one that it was installed with.
    assert os.path.samefile(executable, sys.executable)
    assert Path(executable).parent == Path(sys.executable).parent


def test_each_isolation_that_is_told_can_be_had(told, command):
    for isolation in told[1]["isolation"].split(", "):
        # An application that is not there: the way to run it was taken (status 4), not refused (2).
        done = command("--isolation", isolation, "--host", "127.0.0.1", "--port", "0", "no_such_module:app")
        assert done.returncode == 4, (isolation, done.stderr)


@pytest.mark.isolation("own-gil", reason="it is about builds with a GIL")
def test_free_threads_are_not_told_where_there_are_none(told):
    assert "free-threaded" not in told[1]["isolation"]


@pytest.mark.isolation("free-threaded", reason="other builds have a GIL anyway")
def test_a_gil_that_is_switched_on_is_told(command):
    done = command("--version", env={"PYTHON_GIL": "1"})
    assert "free-threaded, its GIL switched on" in done.stdout
    assert "isolation: own-gil, process, main" in done.stdout


def test_backends_are_those_that_are_installed(told):
    # In a process of its own: tests register backends in this one.
    code = "from chaussette.backend import backends; print(', '.join(backends()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told[1]["backends"] == done.stdout.strip()


def test_what_there_is_not_is_told(told):
    features = told[1]["features"].split(", ")
    assert features[:2] == ["HTTP/1.1", "PROXY protocol"]
    assert features[-2:] == ["no TLS", "no HTTP/2"]


def test_the_package_has_its_types_its_licence_and_nothing_else():
    files = [str(file) for file in importlib.metadata.files("chaussette")]
    own = [file for file in files if file.startswith("chaussette/") and "__pycache__" not in file]
    assert "chaussette/py.typed" in own
    assert "chaussette/_native.pyi" in own
    assert any(re.fullmatch(r"chaussette-[\w.]+\.dist-info/licenses/LICENSE", file) for file in files)
    odd = [file for file in own if not re.fullmatch(r"chaussette/[\w/]+(\.py|\.pyi|\.typed|\.json|\.[\w-]+\.so)", file)]
    assert not odd
    outside = [file for file in files if not file.startswith(("chaussette/", "chaussette-"))]
    # The command, and no module of somebody else's name.
    assert [Path(file).name for file in outside] == ["chaussette"]
