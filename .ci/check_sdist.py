"""Fails when a source distribution has what it must not have, or lacks what it must have.

Usage: python3 .ci/check_sdist.py ARCHIVE
"""

import re
import sys
import tarfile

#: What whoever builds, tests or reads it needs.
NEEDED = [
    *("Cargo.toml", "Cargo.lock", "pyproject.toml", "LICENSE", "README.md", "PKG-INFO", "Makefile"),
    *(".ci/test", "docs/operations.md", "docs/changelog.md", "examples/systemd/chaussette.service"),
    *("examples/docker/Dockerfile", "examples/docker/.dockerignore", "examples/kubernetes/deployment.yaml"),
    *("src/lib.rs", "src/python/chaussette/py.typed", "src/python/chaussette/_native.pyi"),
    *("tests/architecture.rs", "python_tests/conftest.py", "benches/static.rs"),
]

#: What is of one work tree, or of one machine. tests/fuzz is a crate of its own.
JUNK = re.compile(
    r"(^|/)(target|dist|\.git|\.venv[^/]*|\.cache|__pycache__)/|\.(pyc|so|whl|log)$|^tests/fuzz/|db\.sqlite3"
)


def main(path: str) -> None:
    with tarfile.open(path) as archive:
        names = archive.getnames()
    tops = {name.split("/")[0] for name in names}
    if len(tops) != 1 or not re.fullmatch(r"chaussette-[0-9a-z.]+", *tops):
        sys.exit(f"{path} unpacks to {sorted(tops)}, not to one folder")
    inside = {name.partition("/")[2] for name in names}
    missing = [name for name in NEEDED if name not in inside]
    junk = sorted(name for name in inside if JUNK.search(name))
    if missing or junk:
        sys.exit(f"{path}: missing {missing}, not for anybody else {junk}")
    print(f"{path}: {len(inside)} files")


if __name__ == "__main__":
    main(sys.argv[1])
