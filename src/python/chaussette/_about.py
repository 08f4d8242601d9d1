"""What `--version` tells beside the version: which Python this is, what can be had with it, what is installed.

Owns these lines, whose form is a promise: `key: value`, one a line. Main interpreter only; imports no server.
"""

import importlib.util
import platform
import sys

from chaussette._cpython import gil_is_off, is_free_threaded_build

__all__ = ["lines"]


def lines(build: str, isolations: list[str]) -> str:
    """Return the lines. `build` says how the native module was made, `isolations` what this build of CPython allows."""
    from chaussette.backend import backends

    told = {
        "build": build,
        "python": f"{platform.python_implementation()} {platform.python_version()}, {_gil()}, {sys.executable}",
        "isolation": ", ".join(isolations),
        "backends": ", ".join(backends()),
        "features": ", ".join(_features()),
    }
    return "".join(f"{key}: {value}\n" for key, value in told.items())


def _gil() -> str:
    if not is_free_threaded_build():
        return "with a GIL"
    # PYTHON_GIL=1 and -X gil=1 bring it back.
    return "free-threaded" if gil_is_off() else "free-threaded, its GIL switched on"


def _features() -> list[str]:
    paste = ["PasteDeploy"] if importlib.util.find_spec("paste") and importlib.util.find_spec("paste.deploy") else []
    return ["HTTP/1.1", "PROXY protocol", *paste, "no TLS", "no HTTP/2"]
