"""tornado: its HTTP server in front of the application, which is called on the loop, or on `--threads` of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, Listening, Settings, Stuck

#: Seconds between two looks whether the last answer is out, once it is time to stop.
_LOOK = 0.02


class TornadoBackend(Backend):
    """tornado.httpserver on our sockets. As in 1.3 it takes a `tornado.web.Application`, too."""

    package = "tornado"
    heeds = frozenset({"threads", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import tornado.httpserver  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        self._application, self._sockets = application, sockets
        self._threads = settings.threads or 0
        self._loop = asyncio.new_event_loop()
        self._asked = asyncio.Event()
        self._seconds: float | None = None
        self._in_flight = 0

    def serve_forever(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()
        for sock in self._sockets:
            sock.close()
        if self._in_flight > 0:
            raise Stuck

    def stop(self, seconds: float) -> None:
        self._seconds = seconds
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._asked.set)

    async def _serve(self) -> None:
        from tornado.httpserver import HTTPServer

        server = HTTPServer(self._callback())
        server.add_sockets(list(self._sockets))
        if self._seconds is None:
            await self._asked.wait()
        server.stop()
        deadline = self._loop.time() + (self._seconds or 0)
        while self._is_busy(server) and self._loop.time() < deadline and self._seconds:
            await asyncio.sleep(_LOOK)
        await server.close_all_connections()

    def _is_busy(self, server: Any) -> bool:
        return self._in_flight > 0 or any(connection.stream.writing() for connection in server._connections)

    def _callback(self) -> Any:
        from tornado.web import Application
        from tornado.wsgi import WSGIContainer

        if isinstance(self._application, Application):
            return self._application
        backend = self

        class Counting(WSGIContainer):  # type: ignore[misc]
            async def handle_request(self, request: Any) -> None:
                backend._in_flight += 1
                try:
                    await super().handle_request(request)
                finally:
                    backend._in_flight -= 1

        executor = concurrent.futures.ThreadPoolExecutor(self._threads) if self._threads else None
        return Counting(self._application, executor)
