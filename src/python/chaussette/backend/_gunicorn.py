"""gunicorn's gthread worker, in this process: without its arbiter, so without a second process and a fork."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, Listening, Settings, Stuck


class GunicornBackend(Backend):
    """One gthread worker on our sockets. `--threads` are its own (1 unless said)."""

    package = "gunicorn"
    heeds = frozenset({"threads", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import gunicorn.workers.gthread  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        from gunicorn.config import Config
        from gunicorn.glogging import Logger

        self._config = Config()
        self._config.set("threads", settings.threads or 1)
        self._config.set("loglevel", "warning")
        log = Logger(self._config)
        self._worker = _worker_class()(
            1, os.getppid(), list(sockets), _Loaded(application, self._config), 30, self._config, log
        )
        self._sockets = sockets

    def serve_forever(self) -> None:
        self._worker.init_process()
        self._worker.tmp.close()
        for sock in self._sockets:
            sock.close()
        # What is left beside connections that wait for a request is with a thread.
        if self._worker.nr_conns > len(self._worker.pending_conns):
            raise Stuck

    def stop(self, seconds: float) -> None:
        # At least 1: a connection whose answer is out may still be with its thread for a moment.
        self._config.set("graceful_timeout", max(1, math.ceil(seconds)))
        self._worker.alive = False
        if self._worker.booted:
            # Its loop looks at `alive` once a second by itself.
            self._worker.method_queue.defer(lambda: None)


class _Loaded:
    """What gunicorn calls an application: something that gives the callable."""

    def __init__(self, application: object, config: Any) -> None:
        self._application, self.cfg = application, config

    def wsgi(self) -> object:
        return self._application


def _worker_class() -> Any:
    from gunicorn.workers.gthread import ThreadWorker

    class Worker(ThreadWorker):  # type: ignore[misc]
        def init_signals(self) -> None:
            """Take none: they are ours, or the program's."""

        def is_parent_alive(self) -> bool:
            """There is no arbiter whose end would matter."""
            return True

    return Worker
