"""What would end a program, one a row, done wherever the path says: /NAME/call, /NAME/iterable, /NAME/close; and while
this is imported, if the first argument after the application names a row.

docs/operations.md has the same table; test_leaving.py compares.
"""

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass

from apps.routes import answer

ROWS = {}

#: Bytes that no machine has.
TOO_MUCH = 1 << 62


@dataclass
class Row:
    name: str
    function: object
    #: In the document: what is done, and what comes of it.
    title: str
    at_load: str
    in_a_request: str
    #: What the log has of it: at level ERROR with the request, or CRITICAL. None: nobody can say it any more.
    says: str | None
    #: The exit status of the process if that ends it in a request (negative: a signal), and while it is loaded.
    ends: int | None = None
    load_status: int = 4

    def cells(self):
        said = f"`{self.says}`" if self.says else "nothing: see below"
        return [self.title, self.at_load, self.in_a_request, said, f"`{self.name}`"]


def row(title, at_load, in_a_request, says, **more):
    def take(function):
        name = function.__name__
        ROWS[name] = Row(name, function, title, at_load, in_a_request, says, **more)
        return function

    return take


#: What becomes of an exception, whichever it is.
LOADING, SERVING = "status 4, with the traceback", "500, or the connection is aborted"


@row("`sys.exit()`, `SystemExit`", LOADING, SERVING, "raised SystemExit (the interpreter goes on)")
def system_exit():
    sys.exit("enough")


@row("`KeyboardInterrupt`", LOADING, SERVING, "raised KeyboardInterrupt (the interpreter goes on)")
def keyboard_interrupt():
    raise KeyboardInterrupt


@row("`MemoryError`", LOADING, SERVING, "raised MemoryError (the interpreter goes on)")
def memory_error():
    return bytearray(TOO_MUCH)


@row("recursion without an end", LOADING, SERVING, "raised RecursionError (the interpreter goes on)")
def recursion():
    return recursion()


@row(
    "the same, with `sys.setrecursionlimit(100_000)`",
    LOADING,
    SERVING,
    "raised RecursionError (the interpreter goes on)",
)
def deep_recursion():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        return recursion()
    finally:
        sys.setrecursionlimit(limit)


@row(
    "`os._exit(7)`",
    "the process ends, with that status",
    "the same; all requests in flight are lost",
    "the application called os._exit(7) at",
    ends=7,
    load_status=7,
)
def exit_at_once():
    os._exit(7)


@row(
    "`os.abort()`",
    "the process ends by SIGABRT",
    "the same; all requests in flight are lost",
    "the application called os.abort() at",
    ends=-signal.SIGABRT,
    load_status=-signal.SIGABRT,
)
def abort():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


@row(
    "a crash in C, a SIGKILL for want of memory",
    "the process ends by that signal",
    "the same; all requests in flight are lost",
    None,
    ends=-signal.SIGSEGV,
    load_status=-signal.SIGSEGV,
)
def crash():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@row(
    "`os.kill(os.getpid(), SIGTERM)`, `signal.raise_signal`",
    "stops, status 0",
    "stops as the signal does: what is in flight is answered",
    "stopping",
    ends=0,
    load_status=0,
)
def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Body:
    def __init__(self, where, function):
        self.where, self.function, self.parts = where, function, [b"a", b"b"]

    def __iter__(self):
        return self

    def __next__(self):
        if not self.parts:
            raise StopIteration
        if self.where == "iterable" and len(self.parts) == 1:
            self.function()
        return self.parts.pop(0)

    def close(self):
        if self.where == "close":
            self.function()


def app(environ, start_response):
    name, _, where = environ["PATH_INFO"].strip("/").partition("/")
    if not name:
        return answer(start_response, {"well": True})
    if where == "call":
        ROWS[name].function()
        return answer(start_response, {})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body(where, ROWS[name].function)


for wanted in sys.argv[1:]:
    ROWS[wanted].function()
