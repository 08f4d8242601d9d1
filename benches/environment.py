"""Where the servers are installed: benches/.venv, made from the Python that runs this.

Owns benches/.venv and asks for the Debian packages that are not Python's: wrk or valgrind, and libev's headers for
bjoern. What is missing and cannot be had is said loudly; only what is compiled on installation may be missing.

What Rust programs are needed beside it, and a free-threaded environment, are tools.py's.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VENV = HERE / ".venv"
BIN = VENV / "bin"
# The slowest step is a release build of our own wheel on two busy cores.
STEP_SECONDS = 1800
# Distributions that are needed only where a server or a framework takes part.
OPTIONAL = {name: name for name in ("granian", "gunicorn", "django")} | dict.fromkeys(("asgiref", "sqlparse"), "django")
PIP = (str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
# Distributions that need a C compiler, by server, and what follows when they cannot be built.
COMPILED = {
    "bjoern": ("bjoern", "bjoern is NOT MEASURED"),
    "gunicorn": ("gunicorn_h1c", "gunicorn is measured with its SLOWER parser, in Python"),
}


@dataclass(frozen=True)
class Environment:
    versions: dict[str, str]  # of the installed distributions, by lower-case name
    wheel: str  # file name and digest; empty when our own server takes no part
    missing: dict[str, str]  # distribution that could not be built: what follows, and why


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wheel", type=Path, metavar="FILE", help="the wheel of ours to measure (default: .ci/build-wheel builds it)"
    )


def end_on_sigterm() -> None:
    """Make SIGTERM unwind the stack like Ctrl-C does, so that `finally` ends the servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def prepare(wheel: Path | None, parts: list[str], tool: str = "wrk") -> Environment:
    """Install what the named servers and frameworks need, and the Debian package and program `tool`.

    Flask is there without being named.
    """
    if sys.version_info < (3, 13):  # noqa: UP036 - this is where it is told
        raise SystemExit(f"error: Python {sys.version.split()[0]} is too old; cure: python3.13 {sys.argv[0]}")
    need_program("taskset", "util-linux")
    need_program(tool, tool)
    make_venv(VENV, sys.executable)
    requirements = required(parts)
    compiled = {name: line for line in requirements for name, _ in COMPILED.values() if line.startswith(f"{name}==")}
    step([*PIP, *(line for line in requirements if line not in compiled.values())])
    missing = {}
    for distribution, consequence in (COMPILED[part] for part in parts if part in COMPILED):
        reason = _build([*PIP, compiled[distribution]])
        if reason:
            missing[distribution] = f"{consequence}: {distribution} could not be built: {reason}"
            say_loudly(missing[distribution])
    ours = _install_ours(wheel) if "chaussette" in parts else ""
    return Environment(_versions(), ours, missing)


def required(parts: list[str]) -> list[str]:
    """Return the lines of requirements.txt without those of parts that are not named."""
    lines = [line.strip() for line in (HERE / "requirements.txt").read_text().splitlines()]
    absent = tuple(f"{name}==" for name, part in OPTIONAL.items() if part not in parts)
    return [line for line in lines if line and not line.startswith(("#", *absent))]


def say_loudly(news: str) -> None:
    print("!" * 100 + f"\n!!!! {news}\n" + "!" * 100, flush=True)


def _install_ours(wheel: Path | None) -> str:
    wheel = built_wheel() if wheel is None else wheel.resolve()
    if not wheel.is_file():
        raise SystemExit(f"error: --wheel {wheel}: no such file; cure: leave the option out, and it is built")
    # Its version does not change from build to build.
    step([*PIP, "--force-reinstall", "--no-deps", str(wheel)])
    return f"{wheel.name} sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()[:16]}"


def need_program(program: str, package: str) -> None:
    if not shutil.which(program):
        apt_install(package)
    if not shutil.which(program):
        raise SystemExit(f"error: no {program} found; cure: apt-get install {package}")


def apt_install(package: str) -> None:
    if os.getuid() == 0 and shutil.which("apt-get"):
        print(f"installing Debian's {package}", flush=True)
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=STEP_SECONDS, check=False)


def make_venv(directory: Path, python: str) -> None:
    """Make a virtual environment of the interpreter, unless it is there."""
    if Path(sys.prefix) == directory:
        return
    asked = "import sys; print(sys.base_prefix, sys.version)"
    wanted = subprocess.run([python, "-c", asked], stdout=subprocess.PIPE, check=True).stdout
    if (directory / "bin" / "python").exists():
        told = subprocess.run([directory / "bin" / "python", "-c", asked], stdout=subprocess.PIPE, check=False)
        if told.stdout == wanted:
            return
    print(f"making {directory} with Python {wanted.decode().split()[1]}", flush=True)
    step([python, "-m", "venv", "--clear", str(directory)])


def built_wheel(*interpreter: str) -> Path:
    """Build with the interpreter that runs this, or the given one, through the script that also builds releases."""
    print("building the wheel", flush=True)
    # Its headers and its name are those of the interpreter behind the virtual environment.
    python = os.path.realpath(BIN / "python")
    built = subprocess.run(
        [HERE.parent / ".ci" / "build-wheel", *interpreter],
        env=os.environ | {"PYTHON": python},
        stdout=subprocess.PIPE,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if built.returncode != 0:
        raise SystemExit(f"error: .ci/build-wheel exited with {built.returncode}; cure: see above, or --wheel FILE")
    return Path(built.stdout.strip().splitlines()[-1])


def step(command: list[str]) -> None:
    done = subprocess.run(command, timeout=STEP_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"error: exited with {done.returncode}: {' '.join(command)}")


def _build(command: list[str]) -> str:
    """Install what has to be compiled; return why not, or nothing."""
    # For bjoern.
    if not Path("/usr/include/ev.h").exists():
        apt_install("libev-dev")
    done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stderr.splitlines()
    # The compiler's or setuptools' complaint; this line of pip's own, which comes first, only says that there is one.
    errors = [line.strip() for line in lines if "error:" in line and "subprocess-exited-with-error" not in line]
    telling = errors or lines[-1:]
    return f"{telling[0] if telling else 'pip said nothing'} (cure: apt-get install gcc libev-dev)"


def _versions() -> dict[str, str]:
    command = [str(BIN / "python"), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=STEP_SECONDS, check=True)
    return {entry["name"].lower(): entry["version"] for entry in json.loads(listed.stdout)}
