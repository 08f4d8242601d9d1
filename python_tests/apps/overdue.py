"""Every way to take too long; /raised tells what reached the application, /finished what it did all the same."""

import ctypes
import os
import threading
import time

from chaussette import RequestTimeout

from apps.routes import answer, by_path, query, stand_at_gate

libc = ctypes.PyDLL(None)  # PyDLL: the GIL stays held during the call
raised, finished = [], []


class Noted:
    """Notes in `raised` what leaves its block."""

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            raised.append(kind.__name__)


def spin(environ, start_response):
    with Noted():
        while True:
            pass


def retry(environ, start_response):
    """Tries again whatever fails, as clients of flaky services do."""
    with Noted():
        while True:
            try:
                sum(range(1000))
                raise ConnectionError
            except Exception:
                continue


def swallow(environ, start_response):
    """Catches it and answers all the same."""
    try:
        while True:
            pass
    except RequestTimeout as error:
        raised.append(str(error))
    finished.append("swallow")
    return answer(start_response, {"late": True})


def swallow_and_read(environ, start_response):
    try:
        while True:
            pass
    except RequestTimeout:
        raised.append("RequestTimeout")
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        finished.append(str(error))
    try:
        start_response("200 OK", [])(b"late")
        finished.append("written")
    except OSError as error:
        finished.append(str(error))
    return []


def fail_in_finally(environ, start_response):
    try:
        while True:
            pass
    finally:
        raise LookupError("while it cleaned up")


def sleep(environ, start_response):
    time.sleep(1e9)


def deadlock(environ, start_response):
    lock = threading.Lock()
    with lock, lock:
        pass


def wait(environ, start_response):
    """Waits in C with the GIL released, until the test lets it go."""
    with Noted():
        stand_at_gate(environ)
        return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def hold(environ, start_response):
    """Waits in C with the GIL held, until the test lets it go."""
    gate = os.fsencode(query(environ)["gate"])
    with Noted():
        descriptor = libc.open(gate, os.O_RDONLY)
        libc.read(descriptor, ctypes.create_string_buffer(1), 1)
        libc.close(descriptor)
        return answer(start_response, {})


def compute():
    """Take some time oneself: the time that the client takes for what is sent does not count."""
    sum(range(10_000))


def endless_generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    with Noted():
        while True:
            compute()
            yield b"x" * 1024


def endless_write(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    with Noted():
        while True:
            compute()
            write(b"x" * 1024)


def stalls(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    with Noted():
        yield b"first"
        while True:
            pass


class SlowToClose(list):
    def close(self):
        with Noted():
            while True:
                pass


def close(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return SlowToClose([b"done"])


def read(environ, start_response):
    with Noted():
        size = len(environ["wsgi.input"].read())
    return answer(start_response, {"size": size})


def download(environ, start_response):
    start_response("200 OK", [("Content-Length", "40000000")])
    return (b"x" * 100_000 for _ in range(400))


def brink(environ, start_response):
    """Takes as long as is allowed, more or less."""
    time.sleep(float(query(environ)["s"]))
    return answer(start_response, {})


def limit(environ, start_response):
    return answer(start_response, environ["chaussette.request_timeout"])


def told(environ, start_response):
    return answer(start_response, {"raised": raised, "finished": finished})


def where(environ, start_response):
    return answer(start_response, environ["chaussette.interpreter"])


app = by_path(
    *(spin, retry, swallow, swallow_and_read, fail_in_finally, sleep, deadlock, wait, hold),
    *(endless_generator, endless_write, stalls, close, read, download, brink, limit, told, where),
)
