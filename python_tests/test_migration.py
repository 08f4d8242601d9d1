"""docs/migration.md is complete: each option that gunicorn and granian really have, and each of ours exists."""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys

import pytest
from support.process import HERE

TEXT = (HERE.parent / "docs" / "migration.md").read_text()


def rows(server):
    """The cells of the table about a server."""
    section = TEXT[TEXT.index(f"## From {server}\n") :].split("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row] for row in table]


def named(server, column):
    return [name for row in rows(server) for name in re.findall(r"`([^`]+)`", row[column])]


def gunicorns():
    config = pytest.importorskip("gunicorn.config", reason="gunicorn is not installed")
    for setting in config.KNOWN_SETTINGS:
        # The long option, or the name of what only a file can set.
        yield next((option for option in setting.cli or [] if option.startswith("--")), setting.name)


def granians():
    if importlib.util.find_spec("granian") is None:
        pytest.skip("NOT TESTED: no granian here; cure: pip install --group test")
    done = subprocess.run(
        [sys.executable, "-m", "granian", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    options = re.findall(r"^  (--[a-z0-9-]+)", done.stdout, re.MULTILINE)
    yield from (option for option in options if option not in ("--help", "--version"))


@pytest.mark.parametrize(("server", "settings"), [("gunicorn", gunicorns), ("granian", granians)])
def test_each_option_of_another_server_has_a_row_and_no_row_is_of_nothing(server, settings):
    real, told = set(settings()), set(named(server, 0))
    assert len(real) > 60
    assert real - told == set()
    assert told - real == set(), "which are of another release"


@pytest.mark.parametrize("server", ["gunicorn", "uWSGI", "granian"])
def test_what_a_row_names_in_its_place_exists(command, server):
    options = set(re.findall(r"--[a-z][a-z0-9-]+", command("--help").stdout))
    wanted = {option for name in named(server, 1) for option in re.findall(r"--[a-z][a-z0-9-]+", name)}
    assert len(wanted) > 15
    assert wanted - options == set()


def test_the_releases_are_those_that_the_document_names():
    for server, told in (("gunicorn", r"gunicorn (\d+),"), ("granian", r"granian (\d+\.\d+)\.")):
        try:
            version = importlib.metadata.version(server)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"NOT TESTED: no {server} here")
        assert version.startswith(re.search(f"of {told}", TEXT)[1] + ".")
