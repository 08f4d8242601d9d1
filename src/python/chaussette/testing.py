"""A server for the time of a test.

    from chaussette.testing import serve

    def test_hello():
        with serve(app) as url:
            assert urlopen(url).read() == b"hello"

Owns the thread or the process in which the server runs. An object is served in the test's own process, on a thread: it
may be a closure, and what the test patches is patched. An import string is served by the command in a process of its
own, with real interpreters: a test that leaves one stuck is not stuck with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO

from chaussette.server import Server, make_server, url_of
from chaussette.util import create_socket

__all__ = ["ServerFailed", "serve"]

#: Seconds for a start, the import of the application included.
START = 30.0

#: Seconds for an end, beyond those for requests in flight.
END = 10.0


class ServerFailed(RuntimeError):
    """The server did not start, or not end, as it should: its log."""


@contextlib.contextmanager
def serve(
    app: object,
    *,
    host: str = "127.0.0.1",
    backend: str = "interpreters",
    threads: int = 4,
    interpreters: int = 1,
    graceful_timeout: float = 5.0,
    options: Sequence[str] = (),
) -> Iterator[str]:
    """Serve `app`, an object or an import string, on a free port; give its URL, without a path: `http://127.0.0.1:N`.

    At the end requests in flight have `graceful_timeout` seconds. `host` may be `unix:/path`: then the URL is that.
    """
    words = [f"--threads={threads}", f"--graceful-timeout={graceful_timeout}", *options]
    if isinstance(app, str):
        words += [f"--backend={backend}"] + ([f"--interpreters={interpreters}"] if backend == "interpreters" else [])
        with _process(app, host, words, graceful_timeout) as url:
            yield url
        return
    server = make_server(
        app, host, 0, backend, threads=threads, graceful_timeout=graceful_timeout, options=tuple(options)
    )
    with _thread(server, graceful_timeout):
        yield server.url


@contextlib.contextmanager
def _thread(server: Server, graceful_timeout: float) -> Iterator[None]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.serve_forever()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="chaussette.testing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopper = threading.Thread(target=server.shutdown, daemon=True)
        stopper.start()
        thread.join(graceful_timeout + END)
    if thread.is_alive():
        raise ServerFailed("the server did not end: a thread is still in the application's code")
    if failures:
        raise ServerFailed(f"the server failed: {failures[0]}") from failures[0]


@contextlib.contextmanager
def _process(spec: str, host: str, words: list[str], graceful_timeout: float) -> Iterator[str]:
    with create_socket(host, 0, blocking=False) as listener, tempfile.TemporaryFile("w+b") as log:
        url = url_of(listener)
        command = [sys.executable, "-m", "chaussette", f"--fd={listener.fileno()}", *words, spec]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[listener.fileno()],
            # What the test can import, the server can.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
        )
        try:
            _wait_ready(process, log)
            yield url
        finally:
            status = _end(process, graceful_timeout)
        if status != 0:
            raise ServerFailed(f"the server ended with status {status}; its log was:\n{_text(log)}")


def _wait_ready(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START
    while "] ready: " not in _text(log):
        if process.poll() is not None:
            raise ServerFailed(f"{process.args!r} ended with status {process.returncode}; its log was:\n{_text(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{process.args!r} is not ready after {START:g} s; its log was:\n{_text(log)}")
        time.sleep(0.01)


def _text(log: IO[bytes]) -> str:
    # Not read through the file object: its position is the one that the server writes at.
    return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")


def _end(process: subprocess.Popen[bytes], graceful_timeout: float) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(graceful_timeout + END)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
