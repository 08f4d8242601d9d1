"""bjoern: a small server in C on libev; one request at a time."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from chaussette.backend import Backend, BackendError, Listening, Settings

#: Whose handler ends bjoern's loop. It has no function for that; SIGWINCH is ignored by whoever does not draw.
_SIGNAL = signal.SIGWINCH

#: Seconds between two attempts.
_AGAIN = 0.05

# The thread that ends the loop must be a real one, whatever has been patched.
_start_thread, _sleep = _thread.start_new_thread, time.sleep


class _Ended(BaseException):
    """Raised through bjoern's loop to end it."""


class BjoernBackend(Backend):
    """bjoern on one socket, on the main thread: nothing else ends its loop but a signal handler that raises."""

    package = "bjoern"
    heeds = frozenset({"graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import bjoern  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        if len(sockets) != 1:
            raise BackendError(f"backend bjoern: it serves one socket, not {len(sockets)}: leave the others out")
        self._application, self._sock = application, sockets[0]
        self._frame: FrameType | None = None
        self._stopping = self._serving = False

    def serve_forever(self) -> None:
        import bjoern

        if threading.current_thread() is not threading.main_thread():
            raise BackendError("backend bjoern: it serves on the main thread only: use another one in a thread")
        before: Any = signal.signal(_SIGNAL, self._handle)
        self._frame = sys._getframe()
        self._serving = True
        try:
            if not self._stopping:
                bjoern.server_run(self._sock, self._application)
        except _Ended:
            pass
        finally:
            self._serving = False
            signal.signal(_SIGNAL, before or signal.SIG_DFL)
            self._sock.close()

    def stop(self, seconds: float) -> None:
        if not self._stopping:
            self._stopping = True
            _start_thread(self._end, ())

    def _end(self) -> None:
        while self._serving:
            _thread.interrupt_main(_SIGNAL)
            _sleep(_AGAIN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # In the application's code it would be the application that ends: another attempt finds the loop.
        if self._stopping and self._serving and frame is self._frame:
            raise _Ended
