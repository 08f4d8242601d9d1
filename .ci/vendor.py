"""Puts the sources of all crates into an unpacked source distribution, and tells cargo to take them from there.

Usage: python3 .ci/vendor.py FOLDER

Owns FOLDER/vendor and FOLDER/.cargo/config.toml. What no build for the platforms below compiles is left as a name:
cargo reads the manifests of all crates in the lock file, and compiles none of those.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

#: Where the package can be built.
PLATFORMS = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
]


def main(folder: Path) -> None:
    said = cargo(folder, "vendor", "--locked", "--versioned-dirs", "vendor")
    (folder / ".cargo").mkdir()
    (folder / ".cargo" / "config.toml").write_text(said)
    needed = set()
    for platform in PLATFORMS:
        # Everything that cargo may be asked to build or test there, whatever the features.
        words = ["tree", "--locked", "--offline", "--target", platform, "--all-features", "--prefix", "none"]
        tree = cargo(folder, *words, "--edges", "normal,build,dev", "--format", "{p}")
        needed |= {"-".join(match) for match in re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE)}
    crates = sorted((folder / "vendor").iterdir())
    left = [crate for crate in crates if crate.name not in needed]
    for crate in left:
        hollow(crate)
    print(f"vendored {len(crates) - len(left)} crates; {len(left)} others by name only")


def hollow(crate: Path) -> None:
    """Leave the manifest, an empty library and the checksum of the whole crate, which the lock file has."""
    for entry in crate.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in ("Cargo.toml", ".cargo-checksum.json"):
            entry.unlink()
    manifest = crate / "Cargo.toml"
    text = manifest.read_text()
    # Every target that the manifest names by a path must be there.
    for path in re.findall(r'^(?:path|build) = "(.+\.rs)"$', text, re.MULTILINE):
        (crate / path).parent.mkdir(parents=True, exist_ok=True)
        (crate / path).write_text("")
    (crate / "src").mkdir(exist_ok=True)
    (crate / "src" / "lib.rs").touch()
    checksum = crate / ".cargo-checksum.json"
    checksum.write_text(json.dumps({"files": {}, "package": json.loads(checksum.read_text())["package"]}))


def cargo(folder: Path, *words: str) -> str:
    done = subprocess.run(["cargo", *words], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
