"""The standard library's `wsgiref`: one request at a time. For debugging, as in 1.3.

Owns what 1.3 had wrong around it: REMOTE_ADDR, SERVER_NAME and SERVER_PORT are true, the environment of the process
is not in the environ.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Sequence
from socketserver import BaseServer
from typing import IO, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from chaussette.backend import Backend, Listening, Settings
from chaussette.backend._socket import Wake

#: Seconds of a wait for requests at most: CPython calls no signal handler for a signal that comes between its last look
#: and the wait, before the wait has ended.
LOOK_AGAIN = 1.0


class _Answer(ServerHandler):
    # What the process inherited is nobody's business in a request (PEP 3333 allows it, CGI needed it).
    os_environ = {}

    def handle_error(self) -> None:
        # wsgiref takes Ctrl-C for an error of the application, answers 500 and serves on.
        if isinstance(sys.exception(), KeyboardInterrupt):
            raise KeyboardInterrupt
        super().handle_error()


class _Request(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        if isinstance(self.client_address, tuple):
            environ["REMOTE_PORT"] = str(self.client_address[1])
        else:
            environ["REMOTE_ADDR"] = ""
        return environ

    def address_string(self) -> str:
        return self.client_address[0] if isinstance(self.client_address, tuple) else "-"

    def handle(self) -> None:
        # wsgiref's own, with `_Answer` in place of its class.
        self.raw_requestline = self.rfile.readline(65537)
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        wfile = cast("IO[bytes]", self.wfile)
        handler = _Answer(self.rfile, wfile, self.get_stderr(), self.get_environ(), multithread=False)
        handler.request_handler = self  # type: ignore[attr-defined]
        handler.run(self.server.get_app())  # type: ignore[attr-defined]


class _Server(WSGIServer):
    """A `WSGIServer` that is given its socket."""

    #: `handle_request` waits no time: it is called when there is something.
    timeout = 0

    def __init__(self, sock: Listening, application: WSGIApplication) -> None:
        BaseServer.__init__(self, sock.getsockname(), _Request)
        self.socket: socket.socket = sock
        self.address_family = sock.family
        self.server_name, port = sock.server_name, sock.server_port
        self.server_port = int(port)
        self.setup_environ()
        self.set_app(application)

    def get_request(self) -> tuple[socket.socket, Any]:
        # Another process may have been quicker: BlockingIOError, which socketserver takes for nothing to do.
        connection, address = self.socket.accept()
        connection.setblocking(True)
        # A unix socket's client has no name, which wsgiref would index.
        return connection, address or "-"


class WsgirefBackend(Backend):
    """One thread, HTTP/1.0, one request a connection."""

    heeds = frozenset({"graceful-timeout"})

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        assert callable(application)
        self._wake = Wake()
        self._stopping = False
        self._servers = [_Server(sock, application) for sock in sockets]

    def serve_forever(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for server in self._servers:
                selector.register(server, selectors.EVENT_READ, server)
            while not self._stopping:
                for key, _ in selector.select(LOOK_AGAIN):
                    if key.data is not None and not self._stopping:
                        key.data.handle_request()
        for server in self._servers:
            server.server_close()
        self._wake.close()

    def stop(self, seconds: float) -> None:
        # The one request that may be in flight is on the thread that serves: it is over before the flag is looked at.
        self._stopping = True
        self._wake.set()
