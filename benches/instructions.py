"""How many instructions does a request cost? Counted by valgrind's callgrind, against the committed figures.

    python3.13 benches/instructions.py [--wheel FILE] [--cases hello,flask/one] [--update] [--profile CASE]

Unlike times, counts are nearly the same on a busy machine and on an idle one. They are those of all threads; the
kernel's are not among them. One interpreter; a case is an application and a load:

    APPLICATION/one        one request at a time on one connection
    APPLICATION/pipelined  32 at a time on one connection
    APPLICATION/wide       32 connections with one request each: what a busy server sees

Exit status 1 when a case costs more than the committed figure allows, on the CPython and libc of that figure.

Owns one server at a time, benches/baseline/instructions.json (--update) and target/instructions (--profile).
"""

import argparse
import json
import math
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apps
import callgrind
import environment
import report
from servers import OURS, Probe, Server, ServerError, Settings

HERE = Path(__file__).parent
BASELINE = HERE / "baseline" / "instructions.json"
KEPT = HERE.parent / "target" / "instructions"
# Three times what repeated runs differ by at most (docs/performance.md has the figures).
TOLERANCE = 0.03
# With one request at a time each pays for wakes of its own, and how many these are is a matter of which thread valgrind
# lets run first: beside busy neighbours a run has come 3.2 % above another of the same wheel. So have bodies on many
# connections: 0.5 to 1.2 turns of the reactor a request.
TOLERANCE_ONE = 0.06
REPLY_SECONDS = 60
# Before counting: CPython has specialised its code, the allocators and buffers have their sizes.
WARM_UP_REQUESTS = 320
# Counted, three times. A wake more or less in so many is below 0.1 %.
COUNTED_REQUESTS = 320
PARTS = 3
MOST_EXPENSIVE = 40
# Crates that a request passes through: what else may change a figure.
CRATES = ("bytes", "http", "http-body-util", "httparse", "hyper", "memchr", "parking_lot", "pyo3-ffi", "tokio")
DISTRIBUTIONS = ("flask", "werkzeug")


@dataclass(frozen=True)
class Application:
    name: str  # an attribute of apps.py
    body: bytes
    reply: bytes

    @property
    def request(self) -> bytes:
        if not self.body:
            return b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
        return b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(self.body), self.body)


@dataclass(frozen=True)
class Load:
    """Rounds of as many requests on each connection; the next round begins when all are answered."""

    connections: int
    pipelined: int


UPLOAD = b"x" * 10_000
APPLICATIONS = {
    "hello": Application("hello", b"", apps.GREETING),
    "echo": Application("echo", UPLOAD, UPLOAD),
    "flask": Application("flask_hello", b"", apps.GREETING),
}
LOADS = {"one": Load(1, 1), "pipelined": Load(1, 32), "wide": Load(32, 1)}
CASES = [f"{application}/{load}" for application in APPLICATIONS for load in LOADS]


@dataclass(frozen=True)
class Figures:
    """Per request."""

    instructions: float  # the median of the parts
    groups: dict[str, float]  # of the last part
    spread: float  # from the least to the most of the parts, by the median
    # Of the reactor, in the last part. On a slow machine replies become due for a wake before they are a batch: then a
    # request costs more of these, and nothing of ours has changed.
    turns: float = 0.0


class Client:
    """All the connections of one load."""

    def __init__(self, server: Server, application: Application, load: Load) -> None:
        self._server = server
        self._sent = application.request * load.pipelined
        self._pipelined = load.pipelined
        self._round = load.pipelined * load.connections
        self._size = 0  # of a reply: all are alike
        self._connections = [
            socket.create_connection(("127.0.0.1", server.port), REPLY_SECONDS) for _ in range(load.connections)
        ]
        self._size = self._size_of_a_reply(application)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def send(self, requests: int) -> None:
        for _ in range(requests // self._round):
            for connection in self._connections:
                connection.sendall(self._sent)
            for connection in self._connections:
                replies = self._receive(connection, self._size * self._pipelined)
                if replies.count(b"HTTP/1.1 200 OK\r\n") != self._pipelined:
                    raise self._server.failed(f"answered {bytes(replies[:200])!r}")

    def _size_of_a_reply(self, application: Application) -> int:
        connection = self._connections[0]
        connection.sendall(application.request)
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += self._receive(connection, 1)
        self._receive(connection, len(application.reply))
        return len(head) + len(application.reply)

    def _receive(self, connection: socket.socket, size: int) -> bytearray:
        received = bytearray()
        while len(received) < size:
            data = connection.recv(size - len(received))
            if not data:
                raise self._server.failed(f"closed a connection {size - len(received)} bytes too early")
            received += data
        return received


def count(server: Server, control: callgrind.Control, case: str) -> tuple[Figures, Path]:
    """Return the figures, and the file of the last part."""
    application, load = (table[name] for table, name in zip((APPLICATIONS, LOADS), case.split("/"), strict=True))
    client = Client(server, application, load)
    try:
        client.send(WARM_UP_REQUESTS)
        totals = []
        for _ in range(PARTS):
            control.zero()
            client.send(COUNTED_REQUESTS)
            path = control.dump()
            totals.append(callgrind.total(path) / COUNTED_REQUESTS)
    finally:
        client.close()
    counts = callgrind.read(path)
    middle = statistics.median(totals)
    figures = Figures(
        instructions=round(middle, 1),
        groups={name: round(cost / COUNTED_REQUESTS, 1) for name, cost in counts.groups().items()},
        spread=round((max(totals) - min(totals)) / middle, 5),
        turns=round(counts.called("epoll_wait") / COUNTED_REQUESTS, 2),
    )
    return figures, path


def count_all(cases: list[str], directory: Path) -> dict[str, tuple[Figures, Path]]:
    """Count each case; those of one application on one server."""
    taken = {}
    # One CPU for the server, so that a thread's wait for another does not depend on how many there are.
    cpus = tuple(sorted(os.sched_getaffinity(0))[:1])
    for name, application in APPLICATIONS.items():
        wanted = [case for case in cases if case.startswith(f"{name}/")]
        if not wanted:
            continue
        out = directory / name
        settings = Settings(application.name, 1, cpus, environment.BIN, loops_per_ms=1)
        # Given to Python, and not left to the script's first line: that may name a shell.
        under = (*callgrind.command(out), str(environment.BIN / "python"))
        with Server(OURS, settings, under) as server:
            server.wait_until_right(Probe(application.body, application.reply))
            control = callgrind.Control(server.session, out)
            for case in wanted:
                print(f"  {case}", file=sys.stderr, flush=True)
                taken[case] = count(server, control, case)
    return taken


def ground() -> dict[str, str]:
    """Where figures have to be from to be the same: the code beside ours, and what it chooses by the processor."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    chosen = [option for option in ("--enable-optimizations", "--with-lto", "--enable-shared") if option in options]
    compiler = f"{platform.python_compiler()} {sysconfig.get_config_var('PY_CFLAGS')}"
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, timeout=60, check=True)
    return {
        "cpython": f"{platform.python_version()}, {compiler}, {' '.join(chosen) or 'no options'}",
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "another",
        "processor": platform.machine() + (" with avx2" if flags and " avx2 " in f"{flags[1]} " else ""),
        "valgrind": valgrind.stdout.strip(),
    }


def versions(installed: environment.Environment) -> dict[str, str]:
    """What the measured wheel was made of, as it says itself, and the framework."""
    (native,) = environment.VENV.glob("lib/python3*/site-packages/chaussette/_native*.so")
    (bill,) = environment.VENV.glob("lib/python3*/site-packages/chaussette-*.dist-info/sboms/chaussette*.json")
    rustc = re.search(rb"rustc version ([0-9.]+)", native.read_bytes())
    crates = {part["name"]: part["version"] for part in json.loads(bill.read_text())["components"]}
    known = {"rustc": rustc[1].decode() if rustc else "another"}
    known |= {name: crates[name] for name in CRATES if name in crates}
    return known | {name: installed.versions[name] for name in DISTRIBUTIONS if name in installed.versions}


def differences(here: dict[str, str], baseline: dict[str, str]) -> list[str]:
    return [
        f"{name}: {here.get(name)}, not {baseline.get(name)}" for name in baseline if here.get(name) != baseline[name]
    ]


def tolerance(case: str) -> float:
    return TOLERANCE_ONE if case.endswith("/one") or case == "echo/wide" else TOLERANCE


def table(
    taken: dict[str, Figures], baseline: dict[str, dict[str, float]], tolerance: Callable[[str], float]
) -> tuple[str, list[str]]:
    """Return the table, and the cases that cost too much: more than the baseline by the tolerance of the case."""
    lines = [["case", "instructions", *callgrind.GROUPS, "turns", "spread", "baseline", "ratio", ""]]
    worse = []
    for case, figures in taken.items():
        before = baseline.get(case, {}).get("instructions")
        ratio = figures.instructions / before if before else 1.0
        mark = ""
        if before and ratio > 1 + tolerance(case):
            mark = "REGRESSION"
            worse.append(case)
        elif before and ratio < 1 - tolerance(case):
            mark = "less: --update keeps it"
        groups = [f"{figures.groups[name]:.0f}" for name in callgrind.GROUPS]
        compared = [f"{before:.0f}", f"{ratio:.3f}"] if before else ["-", "-"]
        steadiness = [f"{figures.turns:.2f}", f"{figures.spread:.1%}"]
        lines.append([case, f"{figures.instructions:.0f}", *groups, *steadiness, *compared, mark])
    return report.aligned(lines), worse


def profile(case: str, path: Path) -> None:
    """Print the most expensive functions, and keep the file for callgrind_annotate or KCachegrind."""
    counts = callgrind.read(path)

    def section(title: str, ranked: Counter[callgrind.Function]) -> None:
        print(f"\n{title}: instructions and calls per request")
        for function, cost in ranked.most_common(MOST_EXPENSIVE):
            calls = counts.calls[function] / COUNTED_REQUESTS
            where = function.object.rpartition("/")[2]
            print(f"{cost / COUNTED_REQUESTS:10.1f} {calls:8.2f}  {function.name} [{where}]")

    section("by themselves", counts.own)
    section("with all that they call (recursion counts more than once)", counts.inclusive)
    print("\nour module by source file, inlined code apart: instructions per request")
    for source, cost in counts.sources.most_common(MOST_EXPENSIVE):
        print(f"{cost / COUNTED_REQUESTS:10.1f}  {source}")
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{case.replace('/', '-')}.callgrind"
    shutil.copyfile(path, kept)
    print(f"\n{COUNTED_REQUESTS} requests of {case} in {kept}: callgrind_annotate --tree=caller {kept}")


def some_cases(text: str) -> list[str]:
    """All loads of an application, when no load is named."""
    named = [[case for case in CASES if part in (case, case.partition("/")[0])] for part in text.split(",")]
    if not all(named):
        raise argparse.ArgumentTypeError(f"{text}: there are {', '.join(APPLICATIONS)}, {', '.join(CASES)}")
    return [case for cases in named for case in cases]


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--cases", type=some_cases, default=CASES, metavar="A,B", help="(default: all)")
    parser.add_argument("--profile", metavar="CASE", help="print its most expensive functions (hello: hello/wide)")
    parser.add_argument(
        "--update", action="store_true", help=f"write the figures to {BASELINE.relative_to(HERE.parent)}"
    )
    options = parser.parse_args(arguments)
    if options.profile in APPLICATIONS:
        options.profile += "/wide"
    if options.profile and options.profile not in CASES:
        parser.error(f"--profile {options.profile}: there are {', '.join(CASES)}")
    if options.profile:
        options.cases = [options.profile]
    if options.update and options.cases != CASES:
        parser.error("--update takes all cases")
    return options


def update(taken: dict[str, Figures], known: dict[str, str]) -> None:
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "ground": ground(),
        "versions": known,
        "cases": {case: vars(figures) for case, figures in taken.items()},
    }
    BASELINE.parent.mkdir(exist_ok=True)
    BASELINE.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: {BASELINE}", flush=True)


def compare(taken: dict[str, Figures], known: dict[str, str]) -> int:
    """Print the table; return how many cases cost too much."""
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"ground": {}, "versions": {}, "cases": {}}
    elsewhere = differences(ground(), baseline["ground"])
    print("instructions per request, all threads, without the kernel")
    lines, worse = table(taken, baseline["cases"], (lambda _: math.inf) if elsewhere else tolerance)
    print(lines)
    for difference in [*elsewhere, *differences(known, baseline["versions"])]:
        print(f"not as at the baseline: {difference}")
    if elsewhere:
        print("note: so the ratios say little, and none of them is called a regression")
    for case in worse:
        print(f"REGRESSION: {case}; cure: benches/run instructions --profile {case}, or --update if it is worth it")
    return len(worse)


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    options = options_of(arguments)
    installed = environment.prepare(options.wheel, [OURS], "valgrind")
    # Where a name lies in a dict, and whether it collides there, is not left to chance.
    os.environ["PYTHONHASHSEED"] = "0"
    known = versions(installed)
    with tempfile.TemporaryDirectory(prefix="instructions-") as directory:
        try:
            taken = count_all(options.cases, Path(directory))
        except (ServerError, callgrind.CallgrindError, OSError) as error:
            print(f"FAILED: {error}", flush=True)
            return 1
        if options.profile:
            profile(options.profile, taken[options.profile][1])
    figures = {case: each for case, (each, _) in taken.items()}
    if options.update:
        update(figures, known)
    return 1 if compare(figures, known) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
