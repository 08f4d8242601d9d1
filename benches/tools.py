"""What the benchmark needs beside Python packages: oha, inferno, hyper's own reply, a free-threaded environment.

Owns target/tools (programs from crates.io, pinned), target/release/examples/static and benches/.venv-free-threaded.
Each is made when it is asked for and not there.
"""

import os
import shutil
import subprocess
from pathlib import Path

from environment import HERE, STEP_SECONDS, apt_install, built_wheel, make_venv, required, step

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
TOOLS = TARGET / "tools"
OHA = TOOLS / "bin" / "oha"
INFERNO = TOOLS / "bin"
STATIC = TARGET / "release" / "examples" / "static"
FREE_THREADED = HERE / ".venv-free-threaded"
# Without TLS oha does not compile; the system's is the one that needs no other compiler.
OHA_CRATE = ("oha", "1.16.0", "native-tls")
INFERNO_CRATE = ("inferno", "0.12.8", "cli")


def need_oha() -> None:
    if not Path("/usr/include/openssl/ssl.h").exists():
        apt_install("libssl-dev")
    if not shutil.which("pkg-config"):
        apt_install("pkg-config")
    _need_crate(OHA, *OHA_CRATE)


def need_inferno() -> None:
    _need_crate(INFERNO / "inferno-flamegraph", *INFERNO_CRATE)


def _need_crate(program: Path, crate: str, version: str, features: str) -> None:
    # What cargo itself writes of what it installed there.
    listed = TOOLS / ".crates.toml"
    if program.exists() and listed.exists() and f'"{crate} {version} ' in listed.read_text():
        return
    print(f"building {crate} {version} from crates.io, once", flush=True)
    command = [cargo(), "install", "--quiet", "--locked", "--root", str(TOOLS), "--version", f"={version}"]
    step([*command, "--no-default-features", "--features", features, crate])


def need_static() -> None:
    """Build hyper's own reply with the crates of Cargo.lock: the front end's."""
    # With no Python, so that no interpreter has to be found.
    command = [cargo(), "build", "--quiet", "--release", "--locked", "--no-default-features", "--example", "static"]
    done = subprocess.run(command, cwd=HERE.parent, timeout=STEP_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"error: exited with {done.returncode}: {' '.join(command)}")


def cargo() -> str:
    # rustup puts cargo here; not every shell has it on PATH.
    found = shutil.which("cargo", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / ".cargo/bin")]))
    if not found:
        raise SystemExit("error: no Rust (cargo) found; cure: install Rust >= 1.88, for example with rustup")
    return found


def free_threaded_bin(wheel: Path | None) -> tuple[Path | None, str]:
    """Return where our server is installed for a free-threaded CPython, or why it is not. Without a wheel: build it."""
    python = _free_threaded_python()
    if python is None:
        return None, "no free-threaded CPython is there (cure: .ci/build-free-threaded)"
    wheel = wheel or _free_threaded_wheel(python)
    make_venv(FREE_THREADED, str(python))
    pip = [str(FREE_THREADED / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Flask, Django and what they need: the rest is the peers'.
    step([*pip, *(line for line in required(["django"]) if not line.startswith(("bjoern==", "gunicorn_h1c==")))])
    step([*pip, "--force-reinstall", "--no-deps", str(wheel)])
    return FREE_THREADED / "bin", ""


def _free_threaded_wheel(python: Path) -> Path:
    # pyo3 supports free-threaded builds from 3.14; the part of it that we use runs on 3.13 too.
    os.environ["UNSAFE_PYO3_SKIP_VERSION_CHECK"] = "1"
    try:
        return built_wheel(str(python))
    finally:
        del os.environ["UNSAFE_PYO3_SKIP_VERSION_CHECK"]


def _free_threaded_python() -> Path | None:
    """Return what .ci/build-free-threaded has built, the newest series first; it is not told to build one."""
    if named := os.environ.get("FREE_THREADED_PYTHON"):
        return Path(named)
    cache = Path(os.environ.get("CHAUSSETTE_CACHE", Path.home() / ".cache" / "chaussette"))
    found = sorted(cache.glob("python3.*-free-threaded/bin/python3.*t"))
    return found[-1] if found else None
