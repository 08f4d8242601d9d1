"""The measured applications. Each server imports this file by itself, in each of its processes or interpreters.

Owns the work that one request costs an application, the same under every server. Knows no server: the one name of
ours is the environ key by which benches/parallel.py sees where a request ran.

    hello        13 bytes
    flask_hello  the same through Flask
    cpu1ms       about 1 ms of pure Python, GIL held
    cpu300ms     about 300 ms of it
    echo         the request's body
    mb           1 MB
    chunks       100 KB in 100 chunks of a generator
    mixed        13 bytes; at /slow after 200 ms of waiting, as for a database
    stamped      after 5 ms of waiting: where this ran, and from when to when
"""

import os
import time
from collections.abc import Iterator
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GREETING = b"Hello, World!"
# Iterations of `busy` that take 1 ms here. The measuring program calibrates once and tells all servers, so that all
# of them do the same work; the default is for trying an application by hand.
LOOPS_VARIABLE = "BENCH_LOOPS_PER_MS"
LOOPS_PER_MS = int(os.environ.get(LOOPS_VARIABLE, "30000"))


def busy(loops: int) -> int:
    """Keep one CPU in the bytecode loop, with nothing allocated that outlives an iteration."""
    total = 0
    for number in range(loops):
        total += number & 7
    return total


def calibrate() -> int:
    """Return how many iterations of `busy` take 1 ms: of the quickest try in a second, since noise only adds time."""
    loops = 10_000
    quickest = float("inf")
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        began = time.perf_counter()
        busy(loops)
        quickest = min(quickest, time.perf_counter() - began)
    return round(loops * 0.001 / quickest)


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _plain(start_response, GREETING)


def cpu1ms(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    busy(LOOPS_PER_MS)
    return _plain(start_response, GREETING)


def cpu300ms(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    busy(300 * LOOPS_PER_MS)
    return _plain(start_response, str(environ.get("chaussette.interpreter", "?")).encode())


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _plain(start_response, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


MEGABYTE = bytes(1_000_000)
KILOBYTE = bytes(1_000)


def mb(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _plain(start_response, MEGABYTE)


def chunks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100000")])
    for _ in range(100):
        yield KILOBYTE


SLOW_SECONDS = 0.2


def mixed(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    if environ["PATH_INFO"] == "/slow":
        time.sleep(SLOW_SECONDS)
    return _plain(start_response, GREETING)


STAMPED_SECONDS = 0.005


def stamped(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Reply with: process-interpreter, nanoseconds of entering, of leaving; by the clock that the whole machine shares.

    Waiting, not computing: a worker without a CPU of its own would look like one that the server left idle.
    """
    entered = time.monotonic_ns()
    time.sleep(STAMPED_SECONDS)
    worker = f"{os.getpid()}-{environ.get('chaussette.interpreter', 0)}"
    return _plain(start_response, f"{worker} {entered} {time.monotonic_ns()}".encode())


def _plain(start_response: StartResponse, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _flask_hello() -> WSGIApplication:
    from flask import Flask, Response

    app = Flask("apps")

    @app.get("/")
    def greet() -> Response:
        return Response(GREETING, mimetype="text/plain")

    return app


def __getattr__(name: str) -> WSGIApplication:
    # Made when asked for: the memory of the other applications is measured without Flask in it.
    if name == "flask_hello":
        globals()[name] = app = _flask_hello()
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
