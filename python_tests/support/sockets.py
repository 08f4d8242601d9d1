"""Listening sockets as a process manager makes them: bound and listening before the server exists."""

import contextlib
import os
import socket


def listening(kind="tcp", path=None, blocking=False):
    """A listening socket; non-blocking, as Circus leaves them unless told otherwise."""
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
    else:
        family, host = (socket.AF_INET6, "::1") if kind == "tcp6" else (socket.AF_INET, "127.0.0.1")
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, 0))
    made.listen(2048)
    made.setblocking(blocking)
    return made


@contextlib.contextmanager
def inheritable(made):
    """The number of `made` as a descriptor that a child inherits."""
    fd = os.dup(made.fileno())
    os.set_inheritable(fd, True)
    try:
        yield fd
    finally:
        os.close(fd)
