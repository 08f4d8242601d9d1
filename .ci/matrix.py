"""The matrix: the whole of python_tests on each CPython, in each isolation that the command has there.

Tests what is committed: a clone of HEAD. Owns target/matrix (that clone, a wheel's environment and a report for each
cell), $CHAUSSETTE_CACHE/sid (a Debian sid with its CPythons, made once by debootstrap) and, in the work tree,
docs/matrix.json and the section of docs/compatibility.md between its markers. A cell that is done at this commit is not
done again, so that a run that was interrupted goes on; `--anew`, or naming the cell, does it again.

What cannot be done is said at the end, in a block of its own, and the exit status is 1.

What is mounted into Debian sid is mounted in a namespace of the process that works there, and is gone with it however
it ends: nothing is left to unmount, and nobody else can reach through it.
"""

import argparse
import collections
import datetime
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "matrix"
SOURCE = WORK / "source"
CACHE = Path(os.environ.get("CHAUSSETTE_CACHE", Path.home() / ".cache" / "chaussette"))
SID = CACHE / "sid"
FIGURES = ROOT / "docs" / "matrix.json"
DOCUMENT = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"

#: Seconds for a cell: six times what it takes on two idle cores.
LONGEST = 3600

#: Tests of a cell that are run once more, alone, after they failed, as `make test` does. More are no accident.
MOST_ONCE_MORE = 3

#: Beside CPython: what packages are built with from source, and what `.ci/install-*` and the tests call.
PACKAGES = [
    *("ca-certificates", "gcc", "g++", "make", "pkg-config", "libev-dev", "libffi-dev", "libssl-dev"),
    # systemd: newer than this machine's, for `CHAUSSETTE_SYSTEMD_ROOT=… pytest python_tests/test_systemd.py`.
    *("git", "procps", "iproute2", "systemd"),
]

GIL, FREE = ("own-gil", "main", "process"), ("free-threaded", "main", "process")


class CannotBeDone(Exception):
    """Why a cell, or a CPython, is left out."""


def say(text):
    print(f"==> {text}", flush=True)


def run(command, what, log, **more):
    """Run a command to its end, its output in `log`; returns the last lines of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        done = subprocess.run([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise CannotBeDone(f"{what} failed (whole log: {log}): {last_lines(log)}")
    return log.read_text(errors="replace").strip()


def last_lines(log):
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])[-500:]


class Here:
    """Commands run on this machine, as it is."""

    name = "this machine"
    target = WORK.parent
    venvs = WORK

    def words(self, command):
        return list(command)

    def path(self, inside):
        return Path(inside)

    def make(self):
        pass


class Sid:
    """Commands run in a Debian sid, in a folder."""

    name = f"Debian sid in {SID}"
    target = Path("/root/chaussette/target")
    venvs = Path("/root/chaussette")

    #: $1: the folder; then what is mounted there at its own path; --; the command.
    ENTER = """
set -e
root=$1; shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift
done
shift
exec chroot "$root" "$@"
"""

    def words(self, command):
        rust = [
            os.environ.get("CARGO_HOME", Path.home() / ".cargo"),
            os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"),
        ]
        binds = [str(path) for path in [*rust, SOURCE]]
        return [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", self.ENTER, "enter-sid", str(SID), *binds, "--"),
            *("env", f"PATH={rust[0]}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"),
            *("sh", "-c", 'cd "$0" && exec "$@"', str(SOURCE), *map(str, command)),
        ]

    def path(self, inside):
        return SID / Path(inside).relative_to("/")

    def make(self):
        """The folder, its CPythons and what tests call, each step once."""
        if os.getuid():
            raise CannotBeDone("a Debian sid is made and entered by root alone")
        SID.parent.mkdir(parents=True, exist_ok=True)
        # Two work trees may ask at once: the second one waits and finds the first one's work.
        with open(SID.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._make()

    def _make(self):
        for tool in ("debootstrap", "unshare", "chroot"):
            if not shutil.which(tool):
                raise CannotBeDone(f"there is no {tool}; cure: apt-get install debootstrap util-linux coreutils")
        log = WORK / "sid.log"
        if not (SID / "usr" / "bin" / "apt-get").exists() or (SID / "debootstrap").exists():
            say(f"Debian sid into {SID}, by debootstrap")
            # No mount of ours is ever in there but in a process's own namespace: what is begun can be removed.
            shutil.rmtree(SID, ignore_errors=True)
            run(["debootstrap", "--variant=minbase", "sid", SID, mirror()], "debootstrap", log)
        # Names, certificates and what pip is told: a machine may reach registries in a way of its own.
        for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
            if Path(name).exists():
                (SID / name[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(name, SID / name[1:])
        # A mirror can be a snapshot, older than its Release file allows; signatures are checked all the same.
        (SID / "etc/apt/apt.conf.d/90snapshot").write_text('Acquire::Check-Valid-Until "false";\n')
        refuse = SID / "usr" / "sbin" / "policy-rc.d"
        refuse.write_text("#!/bin/sh\nexit 101\n")  # no package starts a service
        refuse.chmod(0o755)
        (SID / "root" / "chaussette").mkdir(exist_ok=True)
        series = sorted({cpython.series for cpython in CPYTHONS if cpython.place is SID_PLACE})
        wanted = [*PACKAGES, *(f"python{one}{part}" for one in series for part in ("", "-venv", "-dev"))]
        done = SID / "root" / "chaussette" / "packages"
        if done.exists() and done.read_text() == " ".join(wanted):
            return
        say(f"Debian packages into {SID}")
        install = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
        run(self.words(["sh", "-c", f"{install} {' '.join(wanted)}"]), "apt-get in Debian sid", log)
        done.write_text(" ".join(wanted))


def mirror():
    """The mirror that this machine uses already."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=False
    ).stdout.split()
    return next((uri for uri in listed if uri.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")


HERE_PLACE, SID_PLACE = Here(), Sid()


@dataclass
class CPython:
    name: str
    series: str
    place: object
    isolations: tuple[str, ...]
    group: str = "test"

    def find(self):
        """The path of the interpreter, in its place."""
        if self.place is SID_PLACE:
            if not SID_PLACE.path(f"/usr/bin/python{self.series}").exists():
                raise CannotBeDone(f"Debian sid has no python{self.series}")
            return f"/usr/bin/python{self.series}"
        if self.name.endswith("t"):
            say(f"a free-threaded CPython {self.series} (built once, then cached)")
            log = WORK / f"{self.name}-build.log"
            return run([ROOT / ".ci" / "build-free-threaded", self.series], "building it", log).splitlines()[-1]
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        python = pyenv / "versions" / self.name / "bin" / "python3"
        if not python.exists():
            raise CannotBeDone(f"there is no {python}; cure: pyenv install {self.name}")
        return str(python)


#: What is tested: the first 3.13, with what only it gets wrong; the newest of each series; and free-threaded ones.
CPYTHONS = [
    CPython("3.13.0", "3.13", HERE_PLACE, GIL),
    CPython("3.13", "3.13", SID_PLACE, GIL),
    CPython("3.14", "3.14", SID_PLACE, GIL),
    CPython("3.15", "3.15", SID_PLACE, GIL),
    CPython("3.13t", "3.13", HERE_PLACE, FREE, "test-free-threaded"),
    CPython("3.14t", "3.14", HERE_PLACE, FREE, "test-free-threaded"),
]


@dataclass
class Ready:
    """A CPython with the package and what the tests need, as this commit has them."""

    cpython: CPython
    version: str
    venv: Path
    isolations: list[str]
    missing: list[str]


def ingredients():
    """What a wheel and its environment are made of: a change of tests alone builds nothing anew."""
    paths = ["src", "Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE"]
    scripts = [str(path.relative_to(SOURCE)) for path in sorted((SOURCE / ".ci").glob("install-*"))]
    trees = ["git", "-C", str(SOURCE), "ls-tree", "HEAD", *paths, ".ci/lib.sh", ".ci/build-wheel", *scripts]
    return subprocess.run(trees, capture_output=True, text=True, check=True).stdout


def prepare(cpython):
    """Build the wheel and install it with what the tests need."""
    place = cpython.place
    place.make()
    python = cpython.find()
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(place.target),
        "UNSAFE_PYO3_SKIP_VERSION_CHECK": "1" if cpython.name == "3.13t" else "",
        "PIP_FIND_LINKS": "",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    if not environment["UNSAFE_PYO3_SKIP_VERSION_CHECK"]:
        del environment["UNSAFE_PYO3_SKIP_VERSION_CHECK"]
    if place is SID_PLACE:
        environment["PYTHON"] = python
    venv = place.venvs / f"venv-{cpython.name}"
    stamp = place.path(venv) / "chaussette-ingredients"

    def do(command, what):
        return run(
            place.words(command), what, WORK / f"{cpython.name}-{what.split()[0]}.log", env=environment, cwd=SOURCE
        )

    notes = place.path(venv) / "chaussette-missing"
    if not stamp.exists() or stamp.read_text() != ingredients():
        say(f"{cpython.name}: wheel")
        wheel = do([SOURCE / ".ci" / "build-wheel", python], "wheel").splitlines()[-1]
        say(f"{cpython.name}: packages")
        if not (place.path(venv) / "bin" / "pip").exists():
            do([python, "-m", "venv", venv], "venv")
            do([venv / "bin" / "pip", "install", "-q", "pip>=25.1"], "pip")
        do([venv / "bin" / "pip", "install", "-q", "--force-reinstall", "--no-deps", wheel], "install")
        notes.write_text("\n".join(install(cpython, venv, do)))
        stamp.write_text(ingredients())
    version = do([venv / "bin" / "python", "-VV"], "version").replace("\n", " ")
    told = do(["sh", "-c", f"{venv}/bin/chaussette --isolation ? 2>&1 || true"], "isolations")
    taken = re.search(r"use one of (.*)", told)
    if taken is None:
        raise CannotBeDone(f"the command does not tell its isolations: {told[-200:]}")
    has = [name for name in cpython.isolations if name in taken.group(1).split(", ")]
    return Ready(cpython, version, venv, has, notes.read_text().splitlines())


def requirements(group):
    """The requirements of a dependency group, with those of the groups that it includes."""
    groups = tomllib.loads((SOURCE / "pyproject.toml").read_text())["dependency-groups"]
    for entry in groups[group]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from requirements(entry["include-group"])


def install(cpython, venv, do):
    """Install the group; where that cannot be done as a whole, what can be, one by one. Returns what is missing."""
    pip = [venv / "bin" / "pip", "install", "-q", "--prefer-binary"]
    # Building it from source takes longer than all tests.
    binary = ["--only-binary", "numpy"]
    missing = []
    try:
        do([*pip, *binary, *requirements(cpython.group)], "packages")
    except CannotBeDone:
        for one in requirements(cpython.group):
            try:
                do([*pip, *binary, one], f"package {one}")
            except CannotBeDone as error:
                missing.append(f"{one}: {str(error)[-200:]}")
    if cpython.place is SID_PLACE:
        for tool in ("install-clients", "install-servers"):
            try:
                do([SOURCE / ".ci" / tool], tool)
            except CannotBeDone as error:
                missing.append(f"{tool}: {error}")
    # Etsy's statsd, which knows nothing of Python, is npm's: hundreds of packages in Debian sid.
    statsd = ["install-statsd"] if cpython.place is HERE_PLACE else []
    for tool in ("install-1.3", "install-bjoern", *statsd):
        try:
            do([SOURCE / ".ci" / tool, venv / "bin" / "pip"], tool)
        except CannotBeDone as error:
            missing.append(f"{tool}: {error}")
    return [line.replace("\n", " ") for line in missing]


def processor_time():
    """Seconds of CPU that what this process has started, and waited for, has taken."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cell(ready, isolation, commit):
    """Run the suite once; returns its figures."""
    cpython, place = ready.cpython, ready.cpython.place
    name = f"{cpython.name}:{isolation}"
    say(f"{name}: {ready.version}")
    report = place.path(ready.venv) / "report.xml"
    environment = {
        **os.environ,
        "CHAUSSETTE_TEST_ISOLATION": isolation,
        "CARGO_TARGET_DIR": str(place.target),
        "PIP_FIND_LINKS": "",
    }
    log = WORK / f"{name}.log"
    began, before = time.monotonic(), processor_time()

    def pytest(*words, log):
        command = [ready.venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--durations=50", f"--junitxml={ready.venv}/report.xml", *words]
        report.unlink(missing_ok=True)
        try:
            run(place.words(command), "pytest", log, env=environment, cwd=SOURCE, timeout=LONGEST)
        except CannotBeDone as error:
            if not report.exists():
                raise CannotBeDone(f"{name}: {error}") from None
        except subprocess.TimeoutExpired:
            raise CannotBeDone(f"{name}: no end within {LONGEST} s; log: {log}") from None
        return read(report)

    seen = pytest("-n", (os.cpu_count() or 1) + 1, "--dist", "loadfile", "python_tests", log=log)
    if 0 < len(seen["failed"]) <= MOST_ONCE_MORE:
        files = [test.replace("::", ".py::", 1) for test in seen["failed"]]
        again = pytest(*(f"python_tests/{test}" for test in files), log=log.with_suffix(".again.log"))
        seen["flaky"] = [test for test in seen["failed"] if test not in again["failed"]]
        seen["failed"] = again["failed"]
        seen["passed"] += len(seen["flaky"])
    figures = {
        "cpython": ready.version,
        "commit": commit[:10],
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.monotonic() - began),
        "missing": [line.partition(":")[0] for line in ready.missing],
        **seen,
    }
    skips = sum(figures["skipped"].values())
    spent = f"{processor_time() - before:.0f} s of CPU in {figures['seconds']} s"
    say(f"{name}: {figures['passed']} passed, {len(figures['failed'])} failed, {skips} skipped; {spent}")
    for kind in ("failed", "flaky"):
        for test in figures[kind]:
            print(f"    {kind.upper()} {test}", flush=True)
    return figures


def read(report):
    """Counts, failures and the reasons of skips, from pytest's report."""
    passed, failed, skipped, expected = 0, [], collections.Counter(), 0
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname').rpartition('.')[2]}::{case.get('name')}"
        kinds = {child.tag: child for child in case}
        if "failure" in kinds or "error" in kinds:
            failed.append(name)
        elif "skipped" in kinds and kinds["skipped"].get("type") == "pytest.xfail":
            expected += 1
        elif "skipped" in kinds:
            # Where something is not, is another place for each who looks.
            skipped[re.sub(r" at /[^;]*", "", kinds["skipped"].get("message", "no reason"))] += 1
        else:
            passed += 1
    return {
        "passed": passed,
        "failed": sorted(set(failed)),
        "flaky": [],
        "expected_failures": expected,
        "skipped": dict(sorted(skipped.items())),
    }


def table(figures):
    """The section of the document: a row a cell, then why tests were skipped where."""
    lines = [
        "| CPython | isolation | passed | failed | skipped | minutes | date | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    reasons = collections.defaultdict(dict)
    for name in names():
        version, isolation = name.split(":")
        one = figures.get(name)
        if one is None:
            lines.append(f"| {version} | {isolation} | not run | | | | | |")
            continue
        full = one["cpython"].split()[1]
        full = f"{full}t" if version.endswith("t") else full
        skips = sum(one["skipped"].values())
        lines.append(
            f"| {full} | {isolation} | {one['passed']:,} | {len(one['failed'])} | {skips} "
            f"| {one['seconds'] / 60:.1f} | {one['date']} | {one['commit']} |"
        )
        for reason, count in one["skipped"].items():
            reasons[reason][name] = count
    failed = [(name, test) for name, one in figures.items() for test in one["failed"]]
    if failed:
        lines += ["", "Failed:", "", *(f"- {name}: `{test}`" for name, test in failed)]
    flaky = [(name, test) for name, one in figures.items() for test in one.get("flaky", [])]
    if flaky:
        lines += [
            "",
            "Failed, and passed when run once more alone:",
            "",
            *(f"- {name}: `{test}`" for name, test in flaky),
        ]
    lines += ["", "Skipped:", "", "| why | where: how many |", "|---|---|"]
    for reason, where in sorted(reasons.items()):
        cells = ", ".join(f"{name}: {count}" for name, count in where.items())
        lines.append(f"| {reason.replace('|', chr(92) + '|')} | {cells} |")
    missing = {package for one in figures.values() for package in one["missing"]}
    for package in sorted(missing):
        where = ", ".join(name for name, one in figures.items() if package in one["missing"])
        lines.append(f"\n`{package}` could not be installed for {where}.")
    return "\n".join(lines)


INTRODUCTION = """
## The matrix

`make test-matrix` runs all of python_tests on each CPython in each isolation (`make test-matrix MATRIX="3.14:own-gil"`:
one cell of it): 3.13.0, the first 3.13; the newest 3.13, 3.14 and 3.15, as Debian sid has them; free-threaded (`t`).
The figures are in docs/matrix.json. A test that is true in one isolation only is skipped in the cells of the others.

"""


def write(figures):
    FIGURES.write_text(json.dumps({name: figures[name] for name in names() if name in figures}, indent=1) + "\n")
    text = DOCUMENT.read_text() if DOCUMENT.exists() else "# Compatibility\n"
    section = f"{BEGIN}\n{table(figures)}\n{END}"
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + section + rest.partition(END)[2]
    else:
        text = text.rstrip("\n") + "\n" + INTRODUCTION + section + "\n"
    DOCUMENT.write_text(text)


def names():
    return [f"{cpython.name}:{isolation}" for cpython in CPYTHONS for isolation in cpython.isolations]


def source():
    """A clone of what is committed; returns its commit."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    if subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=True).stdout:
        say(f"what is not committed is not tested: this is {commit[:10]}")
    if not SOURCE.exists():
        SOURCE.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", "--no-checkout", str(ROOT), str(SOURCE)], check=True)
    inside = ["git", "-C", str(SOURCE)]
    subprocess.run([*inside, "fetch", "-q", str(ROOT), "HEAD"], check=True)
    subprocess.run([*inside, "checkout", "-q", "--force", "--detach", commit], check=True)
    return commit


def main():
    parser = argparse.ArgumentParser(prog=".ci/test-matrix", description=__doc__.partition("\n")[0])
    parser.add_argument("cells", nargs="*", metavar="CPYTHON[:ISOLATION]", help=f"of {', '.join(names())}; none: all")
    parser.add_argument("--prepare", action="store_true", help="build and install for these, and test nothing")
    parser.add_argument("--anew", action="store_true", help="also what is done at this commit")
    parser.add_argument("--table", action="store_true", help="write docs/compatibility.md from docs/matrix.json alone")
    options = parser.parse_args()
    # A shell's `&` has its commands ignore it, and so would the servers that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in options.cells:
        if not any(one in (name, name.partition(":")[0]) for name in names()):
            parser.error(f"{one}: there is {', '.join(names())}")
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if options.table:
        write(figures)
        return 0
    commit = source()
    left_out, failed = [], []
    for cpython in CPYTHONS:
        mine = [f"{cpython.name}:{isolation}" for isolation in cpython.isolations]
        named = [name for name in mine if name in options.cells]
        asked = named or ([] if options.cells and cpython.name not in options.cells else mine)
        todo = [
            name
            for name in asked
            if options.anew or options.prepare or name in named or figures.get(name, {}).get("commit") != commit[:10]
        ]
        if not todo:
            continue
        try:
            ready = prepare(cpython)
        except CannotBeDone as error:
            left_out += [f"{name}: {error}" for name in todo]
            continue
        left_out += [f"{cpython.name}: tests of {line}" for line in ready.missing]
        for name in [] if options.prepare else todo:
            isolation = name.partition(":")[2]
            if isolation not in ready.isolations:
                left_out.append(f"{name}: the command has no --isolation {isolation}")
                continue
            try:
                figures[name] = cell(ready, isolation, commit)
            except CannotBeDone as error:
                left_out.append(str(error))
                continue
            failed += [f"{name}: {test}" for test in figures[name]["failed"]]
            write(figures)
    for line in left_out:
        print(f"!!!! NOT TESTED on {line}")
    for line in failed:
        print(f"!!!! FAILED on {line}")
    return 1 if left_out or failed else 0


if __name__ == "__main__":
    sys.exit(main())
