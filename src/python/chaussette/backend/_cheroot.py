"""cheroot, the server of CherryPy: threads behind a loop, pure Python."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, BackendError, Listening, Settings


class CherootBackend(Backend):
    """cheroot on one socket. `--threads` are its own (10 unless said)."""

    package = "cheroot"
    heeds = frozenset({"threads", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import cheroot.wsgi  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        if len(sockets) != 1:
            raise BackendError(f"backend cheroot: it serves one socket, not {len(sockets)}: leave the others out")
        self._sock = sockets[0]
        self._server = _server(application, self._sock, settings)
        # Waits for the threads of requests, which `stop` itself must not do.
        self._ender: threading.Thread | None = None

    def serve_forever(self) -> None:
        if self._ender is None:
            self._server.prepare()
            if self._ender is None:
                self._server.serve()
            else:
                self._server.stop()
        if self._ender is not None:  # `serve` ends by `stop` alone
            self._ender.join()
        self._sock.close()

    def stop(self, seconds: float) -> None:
        if self._ender is None:
            self._server.shutdown_timeout = seconds
            self._ender = threading.Thread(target=self._server.stop, name="cheroot stops")
            self._ender.start()


def _server(application: object, sock: Listening, settings: Settings) -> Any:
    from cheroot import wsgi

    # Of a unix socket the path, of TCP the first two.
    name = sock.getsockname()
    address = name[:2] if isinstance(name, tuple) else name

    class Server(wsgi.Server):
        def bind(self, family: int, type: int, proto: int = 0) -> Listening:
            self.socket = sock
            self.bind_addr = address
            return sock

        def bind_unix_socket(self, bind_addr: str | bytes) -> Listening:
            return self.bind(0, 0)

        def stop(self) -> None:
            # It would connect to a TCP socket to wake itself, and may wake another process that shares it.
            self.bind_addr = "adopted"
            super().stop()

    options: dict[str, Any] = {} if settings.threads is None else {"numthreads": settings.threads}
    server = Server(address, application, server_name=sock.server_name, **options)
    # Seconds between two looks at `ready`.
    server.expiration_interval = 0.1
    return server
