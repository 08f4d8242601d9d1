"""A server under valgrind's callgrind: counting between two moments, and reading what was counted.

Owns one valgrind's orders and the files it writes. Knows no case and no load; that a file's figures are divided by
requests is the caller's business.

The format of the files: https://valgrind.org/docs/manual/cl-format.html
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ORDER_SECONDS = 60
OUR_MODULE = "chaussette/_native"
# What glibc's allocator is made of, in malloc.c.
ALLOCATOR = re.compile(r"(__libc_)?(malloc|calloc|realloc|free|memalign)$|_int_(malloc|free|realloc|memalign)|"
                       r"malloc_consolidate|unlink_chunk|tcache_|systrim|sysmalloc")  # fmt: skip
GROUPS = ("ours", "CPython", "malloc", "libc", "other")
# Where cargo, rustc and a build of CPython keep sources: what follows is the same on each machine.
SOURCE_ROOTS = re.compile(r".*/registry/src/[^/]+/|/rustc/[0-9a-f]+/|.*/Python-3[^/]*/")


class CallgrindError(Exception):
    """valgrind did not take an order, or wrote what is not understood: which, and what was said."""


@dataclass(frozen=True)
class Function:
    name: str
    object: str  # the file it was loaded from; "???" for code that valgrind cannot place

    @property
    def group(self) -> str:
        base = self.object.rpartition("/")[2]
        if OUR_MODULE in self.object:
            return "ours"
        # A CPython that is built static is its program.
        if re.match(r"(lib)?python3", base) or "/lib-dynload/" in self.object:
            return "CPython"
        if re.match(r"libc[.-]", base):
            return "malloc" if ALLOCATOR.match(self.name) else "libc"
        return "libc" if re.match(r"ld[-.]|libm[.-]|libpthread[.-]", base) else "other"


@dataclass
class Counts:
    """Instructions, of all threads, in the time that one file covers."""

    own: Counter[Function] = field(default_factory=Counter)
    # With all that it called. One that calls itself through others is counted once for each level.
    inclusive: Counter[Function] = field(default_factory=Counter)
    calls: Counter[Function] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)  # of our module, by source file, inlined code apart

    @property
    def total(self) -> int:
        return self.own.total()

    def called(self, name: str) -> int:
        """Return how often functions of this name were called, wherever they are."""
        return sum(calls for function, calls in self.calls.items() if function.name == name)

    def groups(self) -> dict[str, int]:
        sums = dict.fromkeys(GROUPS, 0)
        for function, cost in self.own.items():
            sums[function.group] += cost
        return sums


def command(out: Path) -> tuple[str, ...]:
    """Return what to put before a program's command line."""
    return ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}")


class Control:
    """Orders to the valgrind that runs as process `pid` and writes `out` and `out`.1, .2 and so on."""

    def __init__(self, pid: int, out: Path) -> None:
        self._pid = pid
        self._out = out
        self._written = 0

    def zero(self) -> None:
        self._order("zero")

    def dump(self) -> Path:
        """Write what was counted since the last order, and return where."""
        self._order("dump")
        self._written += 1
        return self._out.with_name(f"{self._out.name}.{self._written}")

    def _order(self, order: str) -> None:
        # What callgrind_control, a Perl script, runs in the end.
        command = [shutil.which("vgdb") or "vgdb", f"--pid={self._pid}", order]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ORDER_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            # It stops the process by ptrace when all of its threads wait.
            raise CallgrindError(f"{' '.join(command)}: not obeyed; cure: allow ptrace of a child's child") from None
        if done.returncode != 0:
            raise CallgrindError(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()}")


def total(path: Path) -> int:
    """Return only the sum, without reading the rest."""
    with path.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:")))


def read(path: Path) -> Counts:
    """Return what the file says of each function; raise when that does not make up its sum."""
    counts = Counts()
    names = _Names()
    here = Function("???", "???")
    source = ""
    called: Function | None = None
    for key, value in _lines(path):
        match key:
            case "ob":
                here = Function(here.name, names.object(value))
            case "fl" | "fi" | "fe":
                source = names.file(value)
            case "fn":
                here = Function(names.function(value), here.object)
                called = None
            case "cob":
                called = Function("???", names.object(value))
            case "cfi" | "cfl":
                names.file(value)  # a name's first mention alone has it in full
            case "cfn":
                called = Function(names.function(value), called.object if called else here.object)
            case "calls" if called:
                counts.calls[called] += int(value.split()[0])
            case "cost" if called:
                counts.inclusive[here] += 0 if called == here else int(value)
                called = None
            case "cost":
                counts.own[here] += int(value)
                counts.inclusive[here] += int(value)
                if OUR_MODULE in here.object:
                    counts.sources[SOURCE_ROOTS.sub("", source)] += int(value)
    # What a thread has begun at an order is in one of them only: mostly single instructions, 0.19 % with Flask.
    if abs(counts.total - total(path)) > total(path) / 200:
        raise CallgrindError(f"{path}: {counts.total} instructions in its lines, {total(path)} in its sum")
    return counts


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of the body: (specification, its value), or ("cost", instructions)."""
    with path.open() as lines:
        for line in lines:
            if specification := re.match(r"(ob|fl|fi|fe|fn|cob|cfi|cfl|cfn|calls)=(.*)", line):
                yield specification[1], specification[2]
            elif cost := re.match(r"[-+]?\d+ (\d+)$|\* (\d+)$", line):
                yield "cost", cost[1] or cost[2]


class _Names:
    """Names in the files: "(3) malloc" at the first mention, "(3)" from then on. Objects, files, functions apart."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def object(self, text: str) -> str:
        return self._name("object", text)

    def file(self, text: str) -> str:
        return self._name("file", text)

    def function(self, text: str) -> str:
        return self._name("function", text)

    def _name(self, kind: str, text: str) -> str:
        compressed = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not compressed:
            return text
        number, name = compressed.groups()
        if name is not None:
            self._known[kind, number] = name
        return self._known[kind, number]
