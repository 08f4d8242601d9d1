"""What applications, programs and command lines of Chaussette 1.3 import by name: `hello_app`, `import_string`,
`create_socket`, `configure_logger`.

Owns finding an object by its import string. Runs in every interpreter that serves, so it imports next to nothing
before it is called; only `create_socket`, which is for the main interpreter, needs `chaussette._native`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the name alone tells a type checker; `typing` would cost each interpreter its import
    import logging
    import socket
    from types import ModuleType
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["ImportStringError", "configure_logger", "create_socket", "hello_app", "import_string"]

#: Each log line, and the time in it.
LOG_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
LOG_TIME = "%Y-%m-%d %H:%M:%S"


class ImportStringError(ImportError):
    """An import string that leads to no object: which one, and where its path ends."""

    def __init__(self, import_name: str, reason: str) -> None:
        super().__init__(f"cannot import {import_name!r}: {reason}")
        self.import_name = import_name
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImportStringError], tuple[str, str]]:
        return (type(self), (self.import_name, self.reason))


def import_string(import_name: str) -> object:
    """Return the object that `import_name` leads to.

    Two forms, with any number of attributes::

        package.module:attribute.attribute     the colon says where the module ends
        package.module.attribute.attribute     the longest importable prefix is the module

    In the dotted form the last name is an attribute whenever there is one by that name, and a module otherwise: a
    package that binds `app` over its own submodule `app` means the object, as in 1.3.

    Raises `ImportStringError` when a module or an attribute does not exist. What a module raises while it runs comes
    through as it is: its traceback is what the reader needs.
    """
    module_name, colon, attribute_path = import_name.partition(":")
    names = module_name.split(".")
    attributes = attribute_path.split(".") if colon else []
    if not all(names + attributes):
        raise ImportStringError(import_name, "expected package.module:attribute or package.module.attribute")
    if colon:
        module, rest = _import_longest(import_name, names)
        if rest:
            raise ImportStringError(import_name, f"there is no module {module_name!r}")
        return _follow(import_name, module, attributes)
    if len(names) == 1:
        module, _ = _import_longest(import_name, names)
        return module
    module, rest = _import_longest(import_name, names[:-1])
    if not rest and not hasattr(module, names[-1]) and _is_module(module, import_name):
        return importlib.import_module(import_name)
    return _follow(import_name, module, [*rest, names[-1]])


def _import_longest(import_name: str, names: list[str]) -> tuple[ModuleType, list[str]]:
    """Import the longest prefix of `names` that is a module; return it and the names that are left."""
    if not _is_module(None, names[0]):
        raise ImportStringError(import_name, f"there is no module {names[0]!r} on sys.path")
    module = importlib.import_module(names[0])
    for depth in range(1, len(names)):
        path = ".".join(names[: depth + 1])
        if not _is_module(module, path):
            return module, names[depth:]
        module = importlib.import_module(path)
    return module, []


def _is_module(parent: ModuleType | None, path: str) -> bool:
    # Asked before importing: a ModuleNotFoundError caught afterwards could as well be the module's own.
    if path in sys.modules:
        return True
    if parent is not None and not hasattr(parent, "__path__"):
        return False
    return importlib.util.find_spec(path) is not None


def _follow(import_name: str, module: ModuleType, attributes: list[str]) -> object:
    found: object = module
    path = module.__name__
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ImportStringError(import_name, f"{path!r} has no attribute {attribute!r}") from error
        path = f"{path}.{attribute}"
    return found


def hello_app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer `hello world`, whatever is asked. The application that is served when none is named."""
    start_response("200 OK", [("Content-type", "text/plain")])
    return [b"hello world"]


def create_socket(
    host: str,
    port: int = 8080,
    family: int | None = None,
    type: int | None = None,
    backlog: int = 2048,
    blocking: bool = True,
) -> socket.socket:
    """Return a listening socket: bound to `host` and `port` or to `unix:/path`, or adopted from `fd://N`.

    `family` chooses among a host's addresses; the family of an adopted socket is its own. A socket that waits does so
    in Python only (`blocking`): O_NONBLOCK stays, because it belongs to all who share the socket. Closing it removes
    the file of a unix socket that was made here.

    Raises ValueError for what is no address, OSError for one that cannot be had.
    """
    import contextlib
    import os
    import socket

    from chaussette import _native
    from chaussette.backend import Listening

    if type not in (None, socket.SOCK_STREAM):
        raise ValueError(f"{host}: HTTP needs a byte stream: use socket.SOCK_STREAM")
    names: dict[int | None, str | None] = {
        socket.AF_INET: "AF_INET",
        socket.AF_INET6: "AF_INET6",
        socket.AF_UNIX: None,
        None: None,
    }
    if family not in names:
        raise ValueError(f"{host}: use AF_INET, AF_INET6 or AF_UNIX, not {family!r}")
    with contextlib.ExitStack() as stack:
        where = host
        if host.startswith("fd://") and host[5:].isdigit():
            # Adopting takes an inherited descriptor over; in a program it is somebody's who will close it.
            with contextlib.suppress(OSError):
                copy = os.dup(int(host[5:]))
                stack.callback(os.close, copy)
                where = f"fd://{copy}"
        made = Listening(_native.Listener(where, port or 0, names[family], backlog))
    if where != host:
        made.described = host
    if family == socket.AF_UNIX and made.family != socket.AF_UNIX:
        made.close()
        raise ValueError(f"{host}: a unix socket is written unix:/path")
    made.setblocking(blocking)
    return made


def configure_logger(logger: logging.Logger, level: str = "INFO", output: str = "-") -> None:
    """Send the lines of `logger` to standard error (`-`) or to a file, in the form that all of Chaussette's have."""
    import logging
    import sys

    # Like `open`, a handler's file is closed on exec.
    handler = logging.StreamHandler(sys.stderr) if output == "-" else logging.FileHandler(output, encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT, LOG_TIME))
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
