"""The section of circus.ini that is recommended for the application, as docs/operations.md has it."""

from __future__ import annotations

import math
import os
import shlex
import sys

#: Options that the section decides by itself, or that are not for serving.
_OURS = {
    *("check", "check-timeout", "json", "isolation", "interpreters"),
    *("fd", "bind", "host", "port", "address-family", "socket-type", "backlog", "reload", "use-reloader"),
}

#: Seconds that Circus waits beyond --graceful-timeout before it kills: Python's own end takes up to three.
_BEYOND = 5


def section(
    given: list[tuple[str, list[str]]], isolation: str, interpreters: int, graceful: float, words: list[str]
) -> str:
    """Return the text. `words` are the application and its arguments; `given` the options that were named."""
    options = [f"--isolation {isolation}", f"--interpreters {interpreters}"]
    if isolation == "main":
        options.pop()
    for name, values in given:
        if name not in _OURS:
            options += [f"--{name} {shlex.quote(value)}" for value in values] or [f"--{name}"]
    application, *arguments = map(shlex.quote, words)
    cmd = [_command(), "--fd $(circus.sockets.web)", *options, application, *(["--", *arguments] if arguments else [])]
    lines = [
        "[watcher:web]",
        f"cmd = {' '.join(cmd)}",
        f"working_dir = {os.getcwd()}",
        "use_sockets = True",
        "numprocesses = 1",
        "copy_env = True",
        "stop_signal = TERM",
        f"graceful_timeout = {math.ceil(graceful) + _BEYOND}",
    ]
    if isolation in ("own-gil", "process"):
        lines.append("send_hup = True")
    return "\n".join([*lines, "", "[socket:web]", "host = 127.0.0.1", "port = 8080"]) + "\n"


def _command() -> str:
    program = sys.argv[0]
    if os.path.basename(program) == "chaussette":
        return shlex.quote(os.path.abspath(program))
    return f"{shlex.quote(sys.executable)} -m chaussette"
