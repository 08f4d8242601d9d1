"""meinheld: a server in C with greenlets. Its last release, 1.0.2 of 2020, does not build on CPython 3.11 and later."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaussette.backend import Backend, Listening, Settings


class MeinheldBackend(Backend):
    """meinheld on our sockets, where somebody has made it importable."""

    package = "meinheld"
    heeds = frozenset({"graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import meinheld.server  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        from meinheld import server

        self._application, self._sockets = application, sockets
        self._stopped = False
        server.set_listen_socket([sock.fileno() for sock in sockets])

    def serve_forever(self) -> None:
        from meinheld import server

        if not self._stopped:
            server.run(self._application)
        for sock in self._sockets:
            sock.close()

    def stop(self, seconds: float) -> None:
        from meinheld import server

        self._stopped = True
        server.stop(math.ceil(seconds))
