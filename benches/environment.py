"""Where the servers are installed: benches/.venv, made from the Python that runs this.

Owns benches/.venv and asks for the Debian packages that are not Python's: wrk or valgrind, and libev's headers for
bjoern. What is missing and cannot be had is said loudly; only what is compiled on installation may be missing.
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
# Distributions of other servers that are needed only where these take part.
PEERS = ("granian", "gunicorn")
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


def prepare(wheel: Path | None, servers: list[str], tool: str = "wrk") -> Environment:
    """Install what the named servers need, and the Debian package and program `tool`; return what is there."""
    if sys.version_info < (3, 13):  # noqa: UP036 - this is where it is told
        raise SystemExit(f"error: Python {sys.version.split()[0]} is too old; cure: python3.13 {sys.argv[0]}")
    _need(tool)
    _make_venv()
    lines = [line.strip() for line in (HERE / "requirements.txt").read_text().splitlines()]
    absent = tuple(f"{peer}==" for peer in PEERS if peer not in servers)
    requirements = [line for line in lines if line and not line.startswith(("#", *absent))]
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    compiled = {name: line for line in requirements for name, _ in COMPILED.values() if line.startswith(f"{name}==")}
    _step([*pip, *(line for line in requirements if line not in compiled.values())])
    missing = {}
    for distribution, consequence in (COMPILED[server] for server in servers if server in COMPILED):
        reason = _build([*pip, compiled[distribution]])
        if reason:
            missing[distribution] = f"{consequence}: {distribution} could not be built: {reason}"
            print("!" * 100 + f"\n!!!! {missing[distribution]}\n" + "!" * 100, flush=True)
    ours = _install_ours(wheel, pip) if "chaussette" in servers else ""
    return Environment(_versions(), ours, missing)


def _install_ours(wheel: Path | None, pip: list[str]) -> str:
    wheel = _built_wheel() if wheel is None else wheel.resolve()
    if not wheel.is_file():
        raise SystemExit(f"error: --wheel {wheel}: no such file; cure: leave the option out, and it is built")
    # Its version does not change from build to build.
    _step([*pip, "--force-reinstall", "--no-deps", str(wheel)])
    return f"{wheel.name} sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()[:16]}"


def _need(tool: str) -> None:
    if not shutil.which("taskset"):
        raise SystemExit("error: no taskset found; cure: apt-get install util-linux")
    if not shutil.which(tool):
        _apt_install(tool)
    if not shutil.which(tool):
        raise SystemExit(f"error: no {tool} found; cure: apt-get install {tool}")


def _apt_install(package: str) -> None:
    if os.getuid() == 0 and shutil.which("apt-get"):
        print(f"installing Debian's {package}", flush=True)
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=STEP_SECONDS, check=False)


def _make_venv() -> None:
    if Path(sys.prefix) == VENV:
        return
    if (BIN / "python").exists():
        same = "import sys; sys.exit([sys.base_prefix, sys.version] != sys.argv[1:])"
        told = subprocess.run([BIN / "python", "-c", same, sys.base_prefix, sys.version], check=False)
        if told.returncode == 0:
            return
    print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
    _step([sys.executable, "-m", "venv", "--clear", str(VENV)])


def _built_wheel() -> Path:
    """Build with the interpreter that runs this, through the script that also builds what is tested and released."""
    print("building the wheel", flush=True)
    # Its headers and its name are those of the interpreter behind the virtual environment.
    python = os.path.realpath(BIN / "python")
    built = subprocess.run(
        [HERE.parent / ".ci" / "build-wheel"],
        env=os.environ | {"PYTHON": python},
        stdout=subprocess.PIPE,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if built.returncode != 0:
        raise SystemExit(f"error: .ci/build-wheel exited with {built.returncode}; cure: see above, or --wheel FILE")
    return Path(built.stdout.strip().splitlines()[-1])


def _step(command: list[str]) -> None:
    done = subprocess.run(command, timeout=STEP_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"error: exited with {done.returncode}: {' '.join(command)}")


def _build(command: list[str]) -> str:
    """Install what has to be compiled; return why not, or nothing."""
    # For bjoern.
    if not Path("/usr/include/ev.h").exists():
        _apt_install("libev-dev")
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
