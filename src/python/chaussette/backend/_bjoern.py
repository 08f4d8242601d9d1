"""bjoern: a small server in C on libev; one request at a time.

Owns how its loop is ended, for which it has no function: libev takes SIGINT, accepts no more, and returns once every
connection is closed. Python's own handlers do not run from then on.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaussette.backend import Backend, BackendError, Listening, Settings

#: Seconds between two looks whether its loop is to be ended.
_LOOK = 0.05

# A real thread that really sleeps, whatever has been patched.
_start_thread, _sleep = _thread.start_new_thread, time.sleep


class BjoernBackend(Backend):
    """bjoern on one socket, on the main thread."""

    package = "bjoern"
    heeds = frozenset({"graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import bjoern  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        if len(sockets) != 1:
            raise BackendError(f"backend bjoern: it serves one socket, not {len(sockets)}: leave the others out")
        self._application, self._sock = application, sockets[0]
        self._name = self._sock.getsockname()
        self._stopping = self._serving = False

    def serve_forever(self) -> None:
        import bjoern

        if threading.current_thread() is not threading.main_thread():
            raise BackendError("backend bjoern: it serves on the main thread only: use another one in a thread")
        if self._sock.family != socket.AF_UNIX:
            # What it accepts has it from here. It writes head and body apart, so that without it an answer on a
            # kept-alive connection takes the 40 ms of a delayed acknowledgement.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # libev takes the signal over. Ignored, it does no harm before and after.
        before: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._serving = True
        try:
            if not self._stopping:
                _start_thread(self._watch, ())
                bjoern.server_run(self._sock, self._application)
        finally:
            self._serving = False
            signal.signal(signal.SIGINT, before)
            self._sock.close()
        if not self._stopping and before is signal.default_int_handler:
            raise KeyboardInterrupt

    def stop(self, seconds: float) -> None:
        self._stopping = True

    def _watch(self) -> None:
        while self._serving and _is_in("SigIgn", signal.SIGINT):
            _sleep(_LOOK)
        # A SIGINT from outside is libev's: it tells nobody, but gives the signal back to the system.
        while self._serving and not self._stopping and _is_in("SigCgt", signal.SIGINT):
            _sleep(_LOOK)
        if self._serving and _is_in("SigCgt", signal.SIGINT):
            # Once: after that the system's way with it is to end the process.
            os.kill(os.getpid(), signal.SIGINT)
        while self._serving:
            self._end_reading()
            _sleep(_LOOK)

    def _end_reading(self) -> None:
        """Let each connection of a client read an end of file: an idle one is closed, any other after its answer."""
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError), _duplicate(int(name)) as connection:
                mine = connection.family == self._sock.family and self._is_mine(connection.getsockname())
                if mine and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    connection.shutdown(socket.SHUT_RD)

    def _is_mine(self, name: Any) -> bool:
        # The listening socket may be bound to every interface: the port tells.
        return bool(name[1] == self._name[1] if isinstance(name, tuple) else name == self._name)


def _duplicate(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _is_in(which: str, number: signal.Signals) -> bool:
    """Tell whether a signal is in one of this process's sets: proc(5), SigIgn or SigCgt. Caught, where nobody tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return which == "SigCgt"
    line = next(line for line in status.splitlines() if line.startswith(f"{which}:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
