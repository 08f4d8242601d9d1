"""Does to its interpreter what real applications do now and then: none of it may hurt the server."""

import asyncio
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings

from apps.routes import answer, by_path


class Text(str):
    """As the safe strings of template languages: a str, but not exactly one."""


def index(environ, start_response):
    return answer(start_response, {"well": True})


def str_subclasses(environ, start_response):
    start_response(Text("201 Sub Class"), [(Text("X-Sub"), Text("class")), ("Content-Length", Text("2"))])
    return [b"ok"]


def deep_in_c(environ, start_response):
    """Recursion in C needs stack: 3.13 counts it, and takes a large stack for granted."""
    nested = []
    for _ in range(1_000_000):
        nested = [nested]
    results = []
    # Not repr(): it looks through all that it is in, at each depth.
    for action in (lambda: json.loads("[" * 1_000_000), lambda: json.dumps(nested)):
        try:
            action()
        except RecursionError as error:
            results.append(type(error).__name__)
    while nested:  # freed layer by layer: no deep chain of deallocations
        nested = nested[0]
    return answer(start_response, results)


def forks(environ, start_response):
    try:
        if os.fork() == 0:
            os._exit(0)
    except RuntimeError as error:
        return answer(start_response, {"refused": str(error)})
    return answer(start_response, {"refused": None})


def spawns(environ, start_response):
    out = subprocess.run([sys.executable, "-c", "print('spawned')"], capture_output=True, text=True, check=True)
    return answer(start_response, {"out": out.stdout})


def sets_signal_handlers(environ, start_response):
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except ValueError as error:
        return answer(start_response, {"refused": str(error)})
    return answer(start_response, {"refused": None})


def breaks_stdio(environ, start_response):
    sys.stdout.close()
    sys.stderr = sys.stdout = None
    return answer(start_response, {})


def replaces_stdio(environ, start_response):
    sys.stdout = sys.stderr = io.StringIO()
    return answer(start_response, {})


def breaks_traceback(environ, start_response):
    """What logs the next fault may find its own modules changed."""
    sys.modules["traceback"] = None
    sys.modules.pop("logging", None)
    sys.excepthook = None
    return answer(start_response, {})


def raises(environ, start_response):
    raise ValueError("raised on purpose")


def warns_as_error(environ, start_response):
    warnings.simplefilter("error")
    return answer(start_response, {})


def collects(environ, start_response):
    gc.disable()
    gc.collect()
    gc.set_debug(0)
    return answer(start_response, {})


def runs_asyncio(environ, start_response):
    async def main():
        return await asyncio.to_thread(sum, [1, 2])

    return answer(start_response, asyncio.run(main()))


def traces(environ, start_response):
    events = []
    sys.settrace(lambda frame, event, argument: events.append(event))
    len([])
    sys.settrace(None)
    return answer(start_response, {})


def writes_odd_errors(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("a lone surrogate: \udcff, a NUL: \0, no end of line")
    errors.flush()
    try:
        errors.write(b"bytes")
    except TypeError:
        return answer(start_response, {"bytes": "refused"})
    return answer(start_response, {"bytes": "taken"})


def exits_thread(environ, start_response):
    """SystemExit in a thread of the application ends that thread alone."""
    thread = threading.Thread(target=sys.exit, args=[7])
    thread.start()
    thread.join()
    return answer(start_response, {})


def large_block(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 30_000_000]


def many_headers(environ, start_response):
    start_response("200 OK", [(f"X-{n}", "y" * 100) for n in range(500)])
    return [b"many"]


def many_blocks(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"x" for _ in range(100_000))


app = by_path(
    index,
    str_subclasses,
    deep_in_c,
    forks,
    spawns,
    sets_signal_handlers,
    breaks_stdio,
    replaces_stdio,
    breaks_traceback,
    raises,
    warns_as_error,
    collects,
    runs_asyncio,
    traces,
    writes_odd_errors,
    exits_thread,
    large_block,
    many_headers,
    many_blocks,
)
