"""gevent's pywsgi: a greenlet for each connection, in one thread.

`fastgevent` was gevent.wsgi, which gevent has no more: it is pywsgi now, too. `geventwebsocket` adds
`environ["wsgi.websocket"]`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, Listening, Settings

#: Seconds between two looks at pending signals.
_LOOK = 0.5


class GeventBackend(Backend):
    """pywsgi on our sockets."""

    package = "gevent"
    heeds = frozenset({"spawn", "no-monkey", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import gevent  # noqa: F401

        if settings.monkey:
            from gevent import monkey

            monkey.patch_all()

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        self._application, self._sockets, self._spawn = application, sockets, settings.spawn
        self._seconds: float | None = None
        # Of the thread that serves: gevent has a hub a thread.
        self._hub: Any = None
        self._pool: Any = None
        self._asked: Any = None

    def handler(self) -> type[Any]:
        """Return the class of the handler of a connection."""
        from gevent.pywsgi import WSGIHandler

        return watched(WSGIHandler)

    def serve_forever(self) -> None:
        from gevent.event import Event
        from gevent.hub import get_hub
        from gevent.pool import Pool

        # The greenlets of all sockets. Without a pool gevent forgets at its end the requests in flight.
        self._pool, self._asked, self._hub = Pool(self._spawn), Event(), get_hub()
        servers = [self._server(sock) for sock in self._sockets]
        for server in servers:
            server.start()
        # A signal that comes just before the loop sleeps is seen when it wakes.
        ticks = self._hub.loop.timer(_LOOK, _LOOK, ref=False)
        ticks.start(lambda: None)
        if self._seconds is None:
            self._asked.wait()
        ticks.close()
        for server in servers:
            server.close()
        self._drain(self._seconds or 0.0)
        for sock in self._sockets:
            sock.close()

    def stop(self, seconds: float) -> None:
        self._seconds = seconds
        if self._hub is not None:
            # From a signal handler the hub may be current, and from another thread nothing else is allowed.
            self._hub.loop.run_callback_threadsafe(self._end)

    def _end(self) -> None:
        import gevent

        self._asked.set()
        if self._seconds == 0:
            gevent.spawn(self._pool.kill, block=False)

    def _server(self, sock: Listening) -> Any:
        from gevent import socket as green
        from gevent.pywsgi import WSGIServer

        listener = green.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        environ = {"SERVER_NAME": sock.server_name, "SERVER_PORT": sock.server_port}
        options = {"spawn": self._pool, "handler_class": self.handler(), "environ": environ, "log": None}
        return WSGIServer(listener, self._application, **options)

    def _drain(self, seconds: float) -> None:
        for greenlet in list(self._pool):
            if getattr(greenlet, "chaussette_idle", True):
                greenlet.kill(block=False)
            else:
                greenlet.chaussette_leaves = True
        self._pool.join(timeout=seconds)
        self._pool.kill(block=True, timeout=1)


def watched(handler: type[Any]) -> type[Any]:
    """Return a handler that notes on its greenlet whether it waits for a request, and asks no more once told to leave.

    An idle kept-alive connection would hold the end for as long as requests in flight may.
    """

    class Watched(handler):  # type: ignore[misc]
        def __init__(self, sock: Any, address: Any, server: Any, *rest: Any) -> None:
            # pywsgi writes head and body apart, and counts on a listener that it has made itself: without this each
            # answer on a kept-alive connection takes the 40 ms of a delayed acknowledgement.
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().__init__(sock, address, server, *rest)

        def read_requestline(self) -> str:
            from gevent import getcurrent

            greenlet = getcurrent()
            if getattr(greenlet, "chaussette_leaves", False):
                return ""
            greenlet.chaussette_idle = True
            line: str = super().read_requestline()
            greenlet.chaussette_idle = False
            return line

    return Watched


class FastGeventBackend(GeventBackend):
    """The same; says so."""

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        super().prepare(settings)
        logging.getLogger("chaussette").info(
            "fastgevent was gevent.wsgi, which gevent has no more: gevent.pywsgi serves"
        )


class GeventWebSocketBackend(GeventBackend):
    """pywsgi with the websockets of gevent-websocket."""

    package = "gevent-websocket"

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        super().prepare(settings)
        import geventwebsocket  # noqa: F401

    def handler(self) -> type[Any]:
        from geventwebsocket.handler import WebSocketHandler

        return watched(WebSocketHandler)
