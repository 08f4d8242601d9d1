"""Listening sockets as backends get them: adopted or bound by the same code as for our own front end.

Owns the rule that a socket which others share is left as it is. Imports `chaussette._native`, which is for the main
interpreter.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from chaussette import _native

#: Seconds that stand for "no timeout": a socket with a timeout is non-blocking for the kernel, whose flag all share.
_A_YEAR = 365 * 24 * 3600.0


# Before any monkey-patching: eventlet's may not be called in a signal handler.
_write = os.write


class Listening(socket.socket):
    """A listening socket that may be shared with other processes.

    O_NONBLOCK, the backlog and the socket itself are one thing for all who share it, so `listen` and `shutdown` do
    nothing, and a call that would make it blocking makes it wait in Python only.
    """

    __slots__ = ("_listener", "described", "server_name", "server_port")

    def __init__(self, listener: _native.Listener) -> None:
        super().__init__(fileno=os.dup(listener.fileno()))
        super().setblocking(False)
        self.set_inheritable(False)
        self._listener = listener
        #: What stands after `Serving on` in the log.
        self.described = listener.describe()
        #: SERVER_NAME and SERVER_PORT for a server that has no better ones.
        self.server_name, self.server_port = listener.server_name_port()

    def listen(self, backlog: int = 0, /) -> None:
        """Do nothing: it listens already, and its backlog is everybody's."""

    def shutdown(self, how: int, /) -> None:
        """Do nothing: it would end the listening of all who share the socket."""

    def settimeout(self, value: float | None, /) -> None:
        """As of any socket; None stands for a wait that is long, and non-blocking for the kernel."""
        super().settimeout(_A_YEAR if value is None else value)

    def setblocking(self, flag: bool, /) -> None:
        """As of any socket, but for the kernel it stays non-blocking."""
        self.settimeout(None if flag else 0.0)

    def accept(self) -> tuple[socket.socket, Any]:
        """As of any socket. Servers that write head and body apart count on TCP_NODELAY of a listener of their own."""
        connection, address = super().accept()
        if self.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # gone already
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def close(self) -> None:
        """Close it here, and remove the file of a unix socket that was made here."""
        super().close()
        self._listener.close()

    def detach(self) -> int:
        """Give the descriptor away; a file that was made for it stays until `close`."""
        return super().detach()


class Wake:
    """What a loop waits on to be woken by another thread or a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._reader

    def set(self) -> None:
        """Wake the loop. Never waits; does nothing once it is closed."""
        with contextlib.suppress(OSError):  # full, so awake; or closed
            _write(self._writer, b"!")

    def close(self) -> None:
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        for end in (reader, writer):
            if end >= 0:
                os.close(end)
