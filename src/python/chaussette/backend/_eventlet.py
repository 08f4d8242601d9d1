"""eventlet's wsgi: a green thread for each connection, in one thread. Its authors advise against new uses of it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, Listening, Settings
from chaussette.backend._socket import Wake

#: Green threads when nobody says: as many as come, within what descriptors a process may have.
_MANY = 100_000


#: Seconds between two looks at pending signals.
_LOOK = 0.5


class EventletBackend(Backend):
    """eventlet.wsgi on our sockets."""

    package = "eventlet"
    heeds = frozenset({"spawn", "no-monkey", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own deprecation, which docs/migration.md tells
            import eventlet

            # Here, on the main thread: what it imports of eventlet asks for that.
            import eventlet.wsgi
        if settings.monkey:
            eventlet.monkey_patch()

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        import eventlet

        self._application, self._sockets = application, sockets
        self._pool = eventlet.GreenPool(settings.spawn or _MANY)
        self._wake = Wake()
        self._seconds: float | None = None

    def serve_forever(self) -> None:
        import eventlet
        from eventlet.hubs import trampoline

        loops = [eventlet.spawn(self._serve, sock) for sock in self._sockets]
        while self._seconds is None:
            # A signal that comes just before the hub sleeps is seen when it wakes.
            with contextlib.suppress(TimeoutError):
                trampoline(self._wake, read=True, timeout=_LOOK, timeout_exc=TimeoutError)
        for loop in loops:
            # What eventlet.wsgi takes for "accept no more": it closes idle connections and waits for the others.
            eventlet.spawn(loop.throw, SystemExit)
        with eventlet.Timeout(self._seconds or None, False):
            while self._seconds and self._pool.running():
                eventlet.sleep(0.02)
        for sock in self._sockets:
            sock.close()
        self._wake.close()

    def stop(self, seconds: float) -> None:
        self._seconds = seconds
        self._wake.set()

    def _serve(self, sock: Listening) -> None:
        from eventlet import wsgi
        from eventlet.greenio import GreenSocket

        log = logging.getLogger("chaussette.eventlet")
        log.setLevel(logging.WARNING)  # it tells its own start and each request
        listener: Any = GreenSocket(sock)
        names = {"SERVER_NAME": sock.server_name, "SERVER_PORT": sock.server_port}
        wsgi.server(
            listener,
            self._application,
            custom_pool=self._pool,
            log=log,
            log_output=False,
            debug=False,
            environ=names,
        )
