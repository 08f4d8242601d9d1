"""Our own front end as a part of somebody's program: what `make_server` gives when no other backend is named.

An application that is an object lives in the main interpreter, like everything of the program's, and is called there on
`threads` threads. One that is named by an import string is loaded in interpreters of its own.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Sequence
from types import SimpleNamespace

from chaussette import _native
from chaussette.backend import Backend, BackendError, Listening, Settings

#: Objects of the program under names by which the server, which loads by name, finds them.
objects = SimpleNamespace()

_numbers = itertools.count()

#: Seconds for the server's thread to end after it was asked to, beyond the time for requests: see server.rs.
_PATIENCE = 5.0


def named(application: object) -> str:
    """Return an import string, of this process, for an object."""
    name = f"application_{next(_numbers)}"
    setattr(objects, name, application)
    return f"{__name__}:objects.{name}"


class Interpreters(Backend):
    """The front end, without signals of its own."""

    heeds = frozenset({"threads", "graceful-timeout"})

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        options = ["--log-level=warning"]
        options += [f"--bind=fd://{sock.fileno()}" for sock in sockets]
        options += [] if settings.threads is None else [f"--threads={settings.threads}"]
        if isinstance(application, str):
            spec = application
        else:
            spec = named(application)
            options += ["--isolation=main"]
        argv = [sys.argv[0] or "chaussette", *options, *settings.words, spec, "--", *sys.argv[1:]]
        try:
            self._program = _native.Program(argv)
        except ValueError as error:
            raise BackendError(str(error).removeprefix("chaussette: error: ")) from None
        self._spec, self._sockets = spec, sockets
        self._outcome: tuple[int, bool] | None = None
        self._timer: threading.Timer | None = None

    def serve_forever(self) -> None:
        # On a thread of its own, so that Ctrl-C reaches a program whose main thread is here.
        thread = threading.Thread(target=self._serve, name="chaussette", daemon=True)
        thread.start()
        try:
            thread.join()
        except BaseException:
            self._program.stop()
            self._program.stop_at_once()
            thread.join(_PATIENCE)
            raise
        finally:
            self._forget()
        status, orderly = self._outcome or (1, False)
        if not orderly and status == 0:
            logging.getLogger("chaussette").warning("interpreters are left that could not be ended")
        if status:
            raise BackendError(f"the server ended with status {status}: see its log")

    def stop(self, seconds: float) -> None:
        self._program.stop()
        if seconds <= 0:
            self._program.stop_at_once()
        elif self._timer is None:
            self._timer = threading.Timer(seconds, self._program.stop_at_once)
            self._timer.daemon = True
            self._timer.start()

    def _serve(self) -> None:
        self._outcome = self._program.serve()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._spec.startswith(f"{__name__}:objects."):
            vars(objects).pop(self._spec.rpartition(".")[2], None)
        for sock in self._sockets:
            sock.close()
