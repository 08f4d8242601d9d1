"""Has `compat.py` run where each CPython is, with the server installed as of HEAD.

Owns target/matrix/compat-* (in Debian sid: /root/chaussette/compat-*): an environment a CPython with nothing but the
server, and one with the installer. Where a CPython is, and how one works there, is `.ci/matrix.py`'s.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import compat  # noqa: E402 (found beside this file)
import matrix  # noqa: E402

#: What is tried when nothing is named: the oldest CPython, and one without a GIL.
DEFAULT = ("3.13.0", "3.13t")

#: Installs in a second what takes pip ten: there are hundreds of installations.
INSTALLER = "uv>=0.9,<1"


def prepare(cpython):
    """Build the wheel and install it; return the commands' place, their environment, and the two Pythons."""
    place = cpython.place
    place.make()
    python = cpython.find()
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(place.venvs / "compat-target") if place is matrix.SID_PLACE else str(place.target),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    if cpython.name == "3.13t":
        # pyo3 supports free-threaded builds from 3.14; the part of it that we use runs on 3.13 too.
        environment["UNSAFE_PYO3_SKIP_VERSION_CHECK"] = "1"
    if place is matrix.SID_PLACE:
        environment["PYTHON"] = python

    def do(what, *command):
        log = matrix.WORK / f"compat-{cpython.name}-{what}.log"
        return matrix.run(place.words(command), what, log, env=environment, cwd=matrix.SOURCE)

    matrix.say(f"{cpython.name}: wheel")
    wheel = do("wheel", matrix.SOURCE / ".ci" / "build-wheel", python).splitlines()[-1]
    served, tool = place.venvs / f"compat-{cpython.name}", place.venvs / "compat-tool"
    for folder in (served, tool):
        if not (place.path(folder) / "bin" / "pip").exists():
            do("venv", python, "-m", "venv", folder)
    do("install", served / "bin" / "pip", "install", "-q", "--force-reinstall", "--no-deps", wheel)
    do("installer", tool / "bin" / "pip", "install", "-q", INSTALLER)
    return place, environment, served / "bin" / "python", tool / "bin" / "python"


def main():
    names = [cpython.name for cpython in matrix.CPYTHONS]
    parser = argparse.ArgumentParser(prog=".ci/compat/run", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="names of applications, separated by commas")
    parser.add_argument("--report", action="store_true", help="only write the tables again")
    parser.add_argument("cpythons", nargs="*", metavar="CPYTHON", help=f"of {', '.join(names)}")
    words = parser.parse_args()
    for name in words.cpythons:
        if name not in names:
            parser.error(f"{name}: there is {', '.join(names)}")
    left_out = []
    if not words.report:
        matrix.source()
        for cpython in matrix.CPYTHONS:
            if cpython.name in (words.cpythons or DEFAULT):
                try:
                    run(cpython, words.only)
                except matrix.CannotBeDone as error:
                    left_out.append(f"{cpython.name}: {error}")
    compat.report()
    for line in left_out:
        print(f"!!!! NOT TRIED on {line}")
    return 1 if left_out else 0


def run(cpython, only):
    """Try the packages on one CPython, from the clone of HEAD that is there; bring the results back."""
    place, environment, served, tool = prepare(cpython)
    script = matrix.SOURCE / compat.HERE.relative_to(compat.ROOT)
    results = script / compat.RESULTS.name
    if compat.RESULTS.exists():
        shutil.copyfile(compat.RESULTS, results)
    command = [tool, script / "compat.py", *(["--only", only] if only else []), served]
    done = subprocess.run(place.words(map(str, command)), env=environment, cwd=matrix.SOURCE)
    shutil.copyfile(results, compat.RESULTS)
    if done.returncode:
        raise matrix.CannotBeDone(f"compat.py ended with status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
