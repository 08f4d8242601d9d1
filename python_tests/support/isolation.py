"""Where applications live while the suite runs: what this CPython and this command have, and what a run is about.

$CHAUSSETTE_TEST_ISOLATION names one of NAMES, and the run is a *cell* of the matrix: each server that a test does not
tell otherwise gets `--isolation` with that name, and of the tests that try several only this one is tried. Without it
servers choose by themselves, as users' do, and every isolation that is there gets its turn.

A test says what it means by the marker `isolation`:
- `isolation("own-gil", "process", reason="…")`: true in these only; skipped in the cells of others, and in a run
  without cell done in the first of them that is there.
- the same with `each=True`: done in each of them that is there.
"""

import functools
import os
import re
import subprocess
import sysconfig
from dataclasses import dataclass

import pytest

from .process import command_line

VARIABLE = "CHAUSSETTE_TEST_ISOLATION"

FREE_THREADED_BUILD = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

#: What `auto` chooses for an application that every isolation can hold, by the build of CPython.
FIRST, OTHER_BUILDS = ("free-threaded", "own-gil") if FREE_THREADED_BUILD else ("own-gil", "free-threaded")

NAMES = ("own-gil", "free-threaded", "main", "process")

#: For tests of what an application may do wherever it lives.
EVERYWHERE = pytest.mark.isolation(*NAMES, each=True)

#: For tests of interpreters, or processes, that are replaced while their siblings serve.
REPLACEABLE = pytest.mark.isolation(
    "own-gil", "process", each=True, reason="nothing can be replaced where all threads share one interpreter"
)

#: For tests that need an application to be there several times.
SEVERAL = pytest.mark.isolation(
    "own-gil", "process", each=True, reason="elsewhere there is one interpreter, with several threads"
)


@dataclass(frozen=True)
class Plan:
    """What one run of the suite tries, the most natural first."""

    tried: tuple[str, ...]
    is_cell: bool

    def has(self, names):
        return any(name in self.tried for name in names)

    def of(self, *names):
        """What a server is to be told for a test that is true in `names` (none: in all); None: nothing."""
        if self.is_cell:
            return self.tried[0]
        if not names or self.tried[0] in names:
            return None
        return next((name for name in self.tried if name in names), None)

    @property
    def says(self):
        return f"isolation: {', '.join(self.tried)}"


@functools.cache
def plan():
    """The plan of this run; ValueError where the environment asks for what is not there."""
    done = subprocess.run([*command_line(), "--isolation", "?"], capture_output=True, text=True, timeout=60)
    said = re.search(r"--isolation \?: use one of (.*)", done.stderr)
    if said is None:
        raise ValueError(f"{' '.join(command_line())} does not tell its isolations: {done.stderr}")
    taken = [name for name in said.group(1).split(", ") if name in NAMES and name not in (FIRST, OTHER_BUILDS)]
    there = (FIRST, *taken)
    asked = os.environ.get(VARIABLE)
    if asked and asked not in there:
        raise ValueError(f"{VARIABLE}={asked}: the command has, on this CPython, {', '.join(there)}")
    return Plan((asked,), True) if asked else Plan(there, False)


def turns(*names):
    """Parameters: those of `names` (none: of all) that this run tries; when it tries none, one that is skipped."""
    names = names or NAMES
    found = [name for name in names if name in plan().tried]
    skipped = pytest.mark.skip(reason=f"for isolation {', '.join(names)}")
    return found or [pytest.param(names[0], marks=skipped)]
