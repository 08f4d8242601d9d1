"""Where the time of one request goes, as a flame graph: make bench-flame.

    python3.13 benches/flame.py [--wheel FILE] [--app hello] [--seconds 5] [--out docs/flame-hello.svg]

wrk loads one server, perf takes samples of it by the clock of the CPU (on a virtual machine there is no other), and
inferno draws them: the kernel's functions, ours, CPython's.

Owns one server, perf's samples in a directory of its own, and the picture.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import apps
import environment
import tools
from loads import Load, LoadError, run_wrk
from servers import COMMANDS, OURS, Probe, Server, ServerError, Settings
from works import IDLE_DEADLINE_SECONDS, WARM_UP_SECONDS, load_cpus, wait_until_idle

PER_SECOND = 499  # not a multiple of what timers do
STEP_SECONDS = 300
# Of each stack, the most that perf takes: what is cut off at its root could not be put together with the others.
STACK_BYTES = 65528
# Thinner ones are left out: they can be read in no browser, and make the file large.
LEAST_PERCENT = 0.2


@contextlib.contextmanager
def loaded(port: int, load: Load) -> Iterator[None]:
    """Load while the block runs, and until the load's time is up."""
    failed: list[LoadError] = []

    def run() -> None:
        try:
            run_wrk(port, load)
        except LoadError as error:
            failed.append(error)

    loader = threading.Thread(target=run, daemon=True)
    loader.start()
    try:
        yield
    finally:
        # run_wrk has a deadline of its own.
        loader.join()
    if failed:
        raise failed[0]


def sample(options: argparse.Namespace, settings: Settings, samples: Path) -> None:
    """Write the samples of a loaded server to the file."""
    with Server(options.server, settings) as server:
        server.wait_until_right(Probe(b"", None))
        wait_until_idle(server.session, IDLE_DEADLINE_SECONDS)
        run_wrk(server.port, Load(load_cpus(settings), WARM_UP_SECONDS))
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(PER_SECOND), "-o", str(samples)]
        # Neither Rust nor CPython keeps frame pointers here: stacks are copied and unwound afterwards.
        command += ["--call-graph", f"dwarf,{STACK_BYTES}", "-p", str(server.session), "--"]
        with loaded(server.port, Load(load_cpus(settings), options.seconds + 1)):
            subprocess.run([*command, "sleep", str(options.seconds)], timeout=STEP_SECONDS, check=True)


# The reactor is below some forty functions of Python's and of the command line, a worker below few.
SERVER_CODE = ("chaussette::", "tokio::", "hyper::")
COMMAND_CODE = ("chaussette::pymodule", "chaussette::cli")


def collapsed(samples: Path) -> bytes:
    """Return one line for each stack, with how often it was seen."""
    script = subprocess.run(
        ["perf", "script", "--no-inline", "-i", str(samples)], stdout=subprocess.PIPE, timeout=STEP_SECONDS, check=True
    )
    # Threads by name, not by number.
    command = [str(tools.INFERNO / "inferno-collapse-perf")]
    done = subprocess.run(command, input=script.stdout, stdout=subprocess.PIPE, timeout=STEP_SECONDS, check=True)
    return short(done.stdout.decode()).encode()


def short(stacks: str) -> str:
    """Stacks without what a picture has no room for: Rust's hashes and type arguments, and the way to our own code."""
    stacks = re.sub(r"::h[0-9a-f]{16}\b", "", stacks)
    while "<" in stacks:
        shorter = re.sub(r"<[^<>;\n]*>", "", stacks)
        if shorter == stacks:
            break
        stacks = shorter
    return "".join(f"{from_our_code(stack)}\n" for stack in stacks.replace("::::", "::").splitlines())


def from_our_code(stack: str) -> str:
    """Leave out what is between the thread's name and the first function of the server, but for the command's."""
    thread, *functions = stack.split(";")
    ours = [name.startswith(SERVER_CODE) and not name.startswith(COMMAND_CODE) for name in functions]
    return ";".join([thread, *(functions[ours.index(True) :] if any(ours) else functions)])


def draw(stacks: bytes, title: str, path: Path) -> None:
    command = [str(tools.INFERNO / "inferno-flamegraph"), "--title", title, "--minwidth", str(LEAST_PERCENT)]
    command += ["--colors", "rust", "--hash", "--countname", "ns"]
    done = subprocess.run(command, input=stacks, stdout=subprocess.PIPE, timeout=STEP_SECONDS, check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(done.stdout)
    print(f"written: {path}, {len(done.stdout) // 1024} KiB", flush=True)


def main(arguments: list[str]) -> int:
    environment.end_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    environment.add_options(parser)
    parser.add_argument("--app", default="hello", metavar="NAME", help="of apps.py (default hello)")
    parser.add_argument("--server", choices=list(COMMANDS), default=OURS)
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="of samples (default 5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: docs/flame-APP.svg)")
    options = parser.parse_args(arguments)
    out = options.out or environment.HERE.parent / "docs" / f"flame-{options.app.partition('_')[0]}.svg"
    installed = environment.prepare(options.wheel, [options.server])
    environment.need_program("perf", "linux-perf")
    tools.need_inferno()
    cpus = tuple(sorted(os.sched_getaffinity(0))[:1])
    settings = Settings(options.app, 1, cpus, environment.BIN, apps.calibrate())
    version = installed.versions.get(options.server, "")
    with tempfile.TemporaryDirectory(prefix="flame-") as directory:
        samples = Path(directory, "perf.data")
        try:
            sample(options, settings, samples)
            draw(collapsed(samples), f"{options.server} {version}: {options.app}, 1 worker on one CPU", out)
        except (ServerError, LoadError, OSError, subprocess.SubprocessError) as error:
            print(f"FAILED: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
