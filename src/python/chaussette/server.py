"""The server from a program: `make_server`, by the habits of `wsgiref.simple_server`. Main interpreter only.

    from chaussette.server import make_server

    with make_server(app, "127.0.0.1", 8080) as server:
        server.serve_forever()

Owns the object that a program holds. What serves is a backend (`chaussette.backend`), chosen by name.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from chaussette import backend as backends
from chaussette.backend import Backend, Listening, Settings

__all__ = ["Server", "main", "make_server"]

#: As on the command line; see src/config.rs.
DEFAULT_HOST, DEFAULT_PORT, DEFAULT_BACKLOG, DEFAULT_GRACEFUL_TIMEOUT = "localhost", 8080, 2048, 25.0


class Server:
    """One server on one socket: made by `make_server`, it listens; `serve_forever` answers."""

    def __init__(self, backend: Backend, sock: Listening, graceful_timeout: float) -> None:
        self._backend, self._graceful_timeout = backend, graceful_timeout
        self._url = url_of(sock)
        #: Where it listens: (host, port) or (host, port, flow, scope), or the path of a unix socket.
        self.server_address: tuple[str, int] | tuple[str, int, int, int] | str = sock.getsockname()
        self.server_name: str = sock.server_name
        self.server_port: int = self.server_address[1] if isinstance(self.server_address, tuple) else 0
        self._socket = sock
        self._guard = threading.Lock()
        self._serving = False
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """The address as a URL without a path; of a unix socket as `unix:/path`."""
        return self._url

    def serve_forever(self) -> None:
        """Serve on this thread until `shutdown`, or until Ctrl-C raises KeyboardInterrupt here. Once only."""
        with self._guard:
            if self._serving:
                raise RuntimeError("a server serves once: make another one")
            self._serving = True
        try:
            self._backend.serve_forever()
        finally:
            self._socket.close()
            self._ended.set()

    def shutdown(self, timeout: float | None = None) -> None:
        """Stop `serve_forever`, from another thread: requests in flight have `timeout` seconds (graceful_timeout).

        Returns when `serve_forever` has; before it was called, nothing is waited for.
        """
        self._backend.stop(self._graceful_timeout if timeout is None else timeout)
        with self._guard:
            serving = self._serving
        if serving:
            self._ended.wait()

    def close(self) -> None:
        """Close the socket; where a thread still serves, shut it down before."""
        with self._guard:
            serving, self._serving = self._serving, True
        if serving:
            if not self._ended.is_set():
                self.shutdown()
            return
        self._backend.stop(0.0)
        self._socket.close()
        self._ended.set()

    #: As socketserver calls it.
    server_close = close

    def fileno(self) -> int:
        """Return the descriptor of the listening socket."""
        return self._socket.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def url_of(sock: socket.socket) -> str:
    """Return the URL, without a path, at which a listening socket can be reached from this machine."""
    address = sock.getsockname()
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = str({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]))
    return f"http://{f'[{host}]' if ':' in host else host}:{address[1]}"


def make_server(
    app: object,
    host: str | None = None,
    port: int | None = None,
    backend: str = "interpreters",
    backlog: int = DEFAULT_BACKLOG,
    spawn: int | None = None,
    logger: logging.Logger | None = None,
    address_family: int | None = None,
    socket_type: int = socket.SOCK_STREAM,
    graceful_timeout: float | None = None,
    disable_monkeypatch: bool = False,
    *,
    threads: int | None = None,
    interpreters: int | None = None,
    options: Sequence[str] = (),
) -> Server:
    """Return a server for `app`, listening already.

    `app` is a WSGI application, or an import string as on the command line. With the backend `interpreters` an object
    is called in the main interpreter, where it is, on `threads` threads; an import string is loaded in `interpreters`
    interpreters of its own, which share nothing with the program. Every other backend runs in the main interpreter.

    `host` may be `unix:/path` or `fd://N`; port 0 is any free one. `options` are further words of the command line, for
    the backend `interpreters` alone. The program keeps its signals.

    Raises `chaussette.backend.BackendError` for a backend that cannot be had, ValueError and OSError for the socket,
    `chaussette.util.ImportStringError` for an import string that leads nowhere.
    """
    from chaussette.util import create_socket

    graceful = DEFAULT_GRACEFUL_TIMEOUT if graceful_timeout is None else float(graceful_timeout)
    words = [f"--graceful-timeout={graceful}", *options]
    if interpreters is not None:
        words.append(f"--interpreters={interpreters}")
    settings = Settings(threads, spawn, not disable_monkeypatch, tuple(words))
    found = backends.prepare(backend, settings)
    if backend != "interpreters":
        app = _load(app)
    elif not isinstance(app, str) and not callable(app):
        raise TypeError(f"{app!r} is not callable: a WSGI application or an import string is wanted")
    where, number = host or DEFAULT_HOST, DEFAULT_PORT if port is None else port
    sock = create_socket(where, number, address_family, socket_type, backlog, blocking=False)
    assert isinstance(sock, Listening)
    try:
        made = found(app, [sock], settings)
    except BaseException:
        sock.close()
        raise
    if logger is not None:
        logger.info("Application is %r", app)
        logger.info("Serving on %s", sock.described)
        logger.info("Using %r as a backend", found)
    return Server(made, sock, graceful)


def _load(app: object) -> object:
    from chaussette import _interpreter

    if isinstance(app, str):
        return _interpreter.load(app, False)
    if not callable(app):
        raise TypeError(f"{app!r} is not callable: a WSGI application or an import string is wanted")
    return app


def main() -> int:
    """Run the command, as `python -m chaussette` does: what 1.3's console script called."""
    from chaussette.__main__ import main as run

    return run()


if __name__ == "__main__":
    # 1.3 was started by `python -m chaussette.server`.
    sys.exit(main())
