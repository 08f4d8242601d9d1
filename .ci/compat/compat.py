"""Tries each package of `apps` in each isolation on each CPython, by the installed server; writes the tables.

Usage: compat.py [--only NAME,…] INTERPRETER…    INTERPRETER: a virtual environment's, with the server in it

Keeps what was found in results.json; `report` makes of it the table in docs/compatibility.md, and what `--check` knows
(src/python/chaussette/_check/known.json). Packages come from PyPI as wheels, the newest there are: one without a wheel
for a CPython is said to be so.
"""

import argparse
import ast
import concurrent.futures
import datetime
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results.json"
DOCUMENT = ROOT / "docs" / "compatibility.md"
KNOWN = ROOT / "src" / "python" / "chaussette" / "_check" / "known.json"

#: Isolations that bear what a CPython bears.
PLAIN = ("process", "main")

#: The table's order.
KINDS = (
    *("framework", "templates", "database", "cache", "data", "crypto", "numbers and pictures"),
    *("HTTP clients", "tasks and agents"),
)

#: The isolations that a CPython is tried in, best first.
WITH_GIL, WITHOUT_GIL = ("own-gil", "process", "main"), ("free-threaded", "process")

#: Seconds for an installation, a start, one request, an end. Far above what any takes on a machine that is busy.
INSTALL, START, REQUEST, END = 300, 90, 30, 20

#: Requests to each server, and how many at once: each of two interpreters gets some.
REQUESTS, AT_ONCE = 12, 4

#: What a cell says, and what that means.
WORDS = {
    "yes": "works",
    "source": "works; its extension refuses, and the `.py` beside it is loaded",
    "without": "works; its extension refuses, and it does without by itself",
    "refuses": "its extension refuses, and it cannot do without",
    "gil": "works, and switches the GIL on again",
    "no wheel": "PyPI has no wheel for this CPython",
    "fails": "another failure, see the last column",
}

FACTS = """
import json, platform, sys
print(json.dumps([platform.python_version(), not getattr(sys, "_is_gil_enabled", lambda: True)()]))
"""


class Package:
    """One application, and the package that it needs."""

    def __init__(self, path):
        line = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
        self.app = path.stem
        self.kind, _, requirement = line.rstrip(".").partition(": ")
        self.requirement = requirement
        self.name = requirement.partition("[")[0]


class Interpreter:
    """A virtual environment's CPython, with the server installed."""

    def __init__(self, path):
        # Not resolved: the link is what makes it the environment's.
        self.path = os.path.abspath(path)
        told = subprocess.run([self.path, "-c", FACTS], capture_output=True, text=True, check=True).stdout
        self.version, self.free = json.loads(told)
        self.series = ".".join(self.version.split(".")[:2]) + ("t" if self.free else "")

    def isolations(self):
        """Those that this release has."""
        return [one for one in (WITHOUT_GIL if self.free else WITH_GIL) if self._has(one)]

    def _has(self, isolation):
        # A command line that is wrong in any case: the error tells which of the two words it is.
        words = [self.path, "-m", "chaussette", "--isolation", isolation, "--port", "no-port"]
        return "--isolation" not in subprocess.run(words, capture_output=True, text=True).stderr


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=REQUEST)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def install(package, interpreter, target):
    """Install the newest wheels; return the version, or None and why not."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", target]
    done = subprocess.run(
        [*command, "--python", interpreter.path, package.requirement], capture_output=True, text=True, timeout=INSTALL
    )
    if done.returncode != 0:
        return None, done.stderr.strip()
    listed = [sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--target", target]
    found = json.loads(subprocess.run(listed, capture_output=True, text=True, check=True).stdout)
    return next(each["version"] for each in found if each["name"].lower().replace("_", "-") == package.name), ""


def serve(package, interpreter, isolation, target):
    """Start a server, ask it, end it; return a word and a detail."""
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        address, log = f"{folder}/socket", Path(folder, "log")
        options = ["--isolation", isolation, "--interpreters", "2", "--graceful-timeout", "6"]
        command = [interpreter.path, "-m", "chaussette", "--bind", f"unix:{address}", *options, "--factory"]
        environ = {**os.environ, "PYTHONPATH": f"{target}:{HERE}", "COMPAT_APP": package.app, "HOME": folder}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "site_app:make"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                cwd=folder,
            )
        try:
            if not ready(process, log):
                return failed(process, log.read_text(errors="replace"))
            answers = ask(address)
            process.send_signal(signal.SIGTERM)
            status = process.wait(END)
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired, AssertionError) as error:
            return "fails", last_line(log.read_text(errors="replace")) or repr(error)
        finally:
            process.kill()
            process.wait()
        if status != 0:
            return "fails", f"ended with status {status}"
        return judged(answers)


def ready(process, log):
    end = time.monotonic() + START
    while "] ready: " not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def ask(address):
    def one(_):
        connection = UnixConnection(address)
        try:
            connection.request("GET", "/", headers={"Host": "localhost"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (answer.status, body[:200])
            return json.loads(body)
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(REQUESTS)))


def failed(process, log):
    refused = re.search(r"extension module (\S+) refuses", log)
    if refused:
        return "refuses", refused[1]
    if process.poll() is None:
        return "fails", "not ready in time"
    if process.returncode < 0:
        return "fails", f"crashed: {signal.Signals(-process.returncode).name}"
    return "fails", last_line(log)


def judged(answers):
    first = answers[0]
    if first["gil_enabled_by"]:
        return "gil", first["gil_enabled_by"][0]
    without = [name for name in first["refused"] if name not in first["rescued"]]
    # What CPython itself has is not the package's.
    without = [name for name in without if name.partition(".")[0] not in sys.stdlib_module_names]
    if without:
        return "without", without[0]
    return ("source", first["rescued"][0]) if first["rescued"] else ("yes", "")


def last_line(log):
    lines = [line for line in log.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return lines[-1][:160] if lines else ""


def try_all(interpreters, only):
    """Try everything, and keep it; what is not tried now stays as it was found before."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"pythons": {}, "packages": {}}
    today = datetime.date.today().isoformat()
    packages = [Package(path) for path in sorted((HERE / "apps").glob("*.py")) if path.stem != "__init__"]
    for interpreter in interpreters:
        results["pythons"][interpreter.series] = {"version": interpreter.version, "date": today}
        isolations = interpreter.isolations()
        for package in packages:
            if only and package.app not in only:
                continue
            entry = results["packages"].setdefault(package.app, {})
            entry |= {"kind": package.kind, "requirement": package.requirement}
            found = tried(package, interpreter, isolations)
            entry.setdefault("found", {})[interpreter.series] = found
            told = {isolation: " ".join(found[isolation][:2]).strip() for isolation in isolations if isolation in found}
            print(f"{interpreter.series} {package.requirement} {found['version']}: {told or found['why']}", flush=True)
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def tried(package, interpreter, isolations):
    target = tempfile.mkdtemp(prefix="compat-packages-")
    try:
        version, why = install(package, interpreter, target)
        if version is None:
            # uv's words are many; whether there is a wheel is all that counts here.
            wheel = re.search(
                r"no wheels? with a matching|has no usable wheels|only found wheels|only-binary|building from source",
                why,
            )
            return {"version": None, "why": "no wheel" if wheel else f"not installed: {why[-200:]}"}
        found = {"version": version}
        for isolation in isolations:
            word, detail = serve(package, interpreter, isolation, target)
            found[isolation] = [word, detail, *owner(target, detail)]
        return found
    finally:
        shutil.rmtree(target)


def owner(target, extension):
    """The distribution, with its version, that has a file for this module; nothing if there is none."""
    path = extension.replace(".", "/")
    for record in Path(target).glob("*.dist-info/RECORD") if extension else ():
        if f"\n{path}." in f"\n{record.read_text()}":
            name, version = record.parent.stem.rsplit("-", 1)
            return name.lower().replace("_", "-"), version
    return ()


def report():
    """Write the tables that are made of the results."""
    results = json.loads(RESULTS.read_text())
    text = DOCUMENT.read_text()
    for name, table in (("packages", packages_table(results)), ("words", words_table(results))):
        begin, end = f"<!-- compat:{name} -->\n", "<!-- /compat -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{table}{end}{after}"
    DOCUMENT.write_text(text)
    table = known(results)
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(table["packages"].items())
    )
    KNOWN.write_text(f'{{\n "date": {json.dumps(table["date"])},\n "packages": {{\n{lines}\n }}\n}}\n')


def order(series):
    return series.endswith("t"), [int(part) for part in series.rstrip("t").split(".")]


def columns(results):
    """(CPython, isolation) of each column that has anything in it."""
    wanted = [(one, isolation) for one in series_of(results) for isolation in (*WITH_GIL, "free-threaded")]
    return [column for column in wanted if words_of(results, column)]


def series_of(results):
    return sorted(results["pythons"], key=order)


def words_of(results, column):
    """What is in a column's cells."""
    series, isolation = column
    return {found[isolation][0] for found in found_by(results, series) if isolation in found}


def found_by(results, series):
    return [entry["found"].get(series, {}) for entry in results["packages"].values()]


def packages_table(results):
    columns_ = columns(results)
    # Where everything works that can be installed, a sentence says so.
    shown = [column for column in columns_ if column[1] not in PLAIN or words_of(results, column) != {"yes"}]
    heads = [f"{series} {isolation}" for series, isolation in shown]
    lines = [f"| | package | version | {' | '.join(heads)} | because of |", "|---" * (len(shown) + 4) + "|"]
    for kind in KINDS:
        rows = [entry for _, entry in sorted(results["packages"].items()) if entry["kind"] == kind]
        lines += [packages_row(entry, shown, "" if place else kind) for place, entry in enumerate(rows)]
    pythons = ", ".join(
        f"{results['pythons'][series]['version']}{'t' if series.endswith('t') else ''}" for series in series_of(results)
    )
    dates = sorted({told["date"] for told in results["pythons"].values()})
    told = f"{len(results['packages'])} packages, tried on CPython {pythons}, {' and '.join(dates)}."
    left = ", ".join(f"{series} {isolation}" for series, isolation in columns_ if (series, isolation) not in shown)
    if left:
        told += f" Not shown, since all that have a wheel work there: {left}."
    return "\n".join(lines) + f"\n\n{told}\n"


def packages_row(entry, shown, kind):
    cells, reasons, versions = [], [], []
    for series, isolation in shown:
        found = entry["found"].get(series, {})
        if found.get("version"):
            versions.append(found["version"])
        word, detail = found.get(isolation, (found.get("why") or "-", ""))[:2]
        if word not in WORDS and word != "-":
            word, detail = "fails", word
        cells.append(word)
        if detail:
            reasons.append(f"`{detail}`".replace("|", "\\|"))
    version = ", ".join(dict.fromkeys(versions)) or "-"
    return (
        f"| {kind} | {entry['requirement']} | {version} | {' | '.join(cells)} | {', '.join(dict.fromkeys(reasons))} |"
    )


def words_table(results):
    lines = ["| word | means | packages |", "|---|---|---|"]
    told = ((word, meaning, counts(results, word)) for word, meaning in WORDS.items())
    return (
        "\n".join([*lines, *(f"| {word} | {meaning} | {number} |" for word, meaning, number in told if number)]) + "\n"
    )


def counts(results, word):
    told = []
    for series, isolation in columns(results):
        cells = [found.get(isolation, [found.get("why")])[0] for found in found_by(results, series)]
        if word in cells:
            told.append(f"{series} {isolation}: {cells.count(word)}")
    return ", ".join(told)


def known(results):
    """What `--check` knows: by distribution and CPython, whether the newest release works."""
    packages = {}

    def add(name, version, series, isolation, word):
        packages.setdefault(name, {}).setdefault(series, {"version": version})[isolation] = word

    for entry in results["packages"].values():
        for series, found in entry["found"].items():
            for isolation in ("own-gil", "free-threaded"):
                word, _, *owner = found.get(isolation, ["", ""])
                if word == "refuses" and owner:
                    # Whose extension it is: pydantic's is another distribution's.
                    add(*owner, series, isolation, word)
                elif word and "[" not in entry["requirement"]:
                    add(entry["requirement"], found["version"], series, isolation, word)
    return {"date": max(told["date"] for told in results["pythons"].values()), "packages": packages}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="names of applications, separated by commas")
    parser.add_argument("interpreters", nargs="*", help="Pythons of virtual environments that have the server")
    words = parser.parse_args()
    try_all([Interpreter(path) for path in words.interpreters], set(filter(None, words.only.split(","))))


if __name__ == "__main__":
    main()
