# shellcheck shell=bash
# Sourced by the scripts beside it, from the root of the work tree. Owns what they share: finding the tools that a
# build needs, and one line on stderr when one is missing.

# rustup puts cargo here; not every shell has it on PATH.
[ -d "${HOME:-}/.cargo/bin" ] && PATH=$PATH:$HOME/.cargo/bin

target=${CARGO_TARGET_DIR:-$PWD/target}

die() {
    echo "error: $*" >&2
    exit 1
}

need_cargo() {
    # A rustup shim exists whether or not a toolchain is installed: running it tells.
    cargo --version >/dev/null 2>&1 || die "no Rust (cargo) found; cure: install Rust >= 1.88, for example with rustup"
}

# Sets $python and tells pyo3's build script, so that tests and wheels are built for the same interpreter.
need_python() {
    python=$(.ci/find-python) || exit 1
    export PYO3_PYTHON=$python
}

# A virtual environment at $1 made by interpreter $2, emptied first when $3 is "clean".
make_venv() {
    [ "${3:-}" = clean ] && rm -rf "$1"
    # Its interpreter is a link to the one that made it, which may be gone or another one by now.
    if [ "$("$1/bin/python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null)" != "$("$2" -c 'import sys; print(sys.base_prefix)')" ]; then
        rm -rf "$1"
        "$2" -m venv "$1" || die "$2 cannot make a virtual environment; cure: install its venv module (python3-venv)"
        # --group came with pip 25.1.
        "$1/bin/pip" install -q --disable-pip-version-check 'pip>=25.1'
    fi
}

# maturin and ruff, kept between runs.
need_tools() {
    tools=$target/venv-tools
    make_venv "$tools" "$python"
    "$tools/bin/pip" install -q --disable-pip-version-check 'maturin>=1.9.4,<2' --group lint
}

# Builds the wheel for interpreter $1 and sets $wheel.
build_wheel() {
    local wheels
    wheels=$target/wheels/$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
    rm -rf "$wheels"
    # Without --release maturin builds what nobody runs. The lock file decides the versions (pyproject.toml).
    PYO3_PYTHON=$1 "$tools/bin/maturin" build --release --interpreter "$1" --out "$wheels" >&2 || return 1
    wheel=$(echo "$wheels"/*.whl)
}
