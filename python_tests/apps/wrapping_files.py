"""wsgi.file_wrapper around the file that the query names, opened in the ways an application may open one."""

import gzip
import io
import os

from apps.routes import answer, by_path, query

closed = []


class Closing(io.FileIO):
    """A real file whose reads are its own: its bytes are not the ones on the disk."""

    def read(self, size=-1):
        return super().read(size).upper()

    def close(self):
        if not self.closed:
            closed.append("Closing")
        super().close()


class Duck:
    """Only what PEP 3333 asks of a file-like object: read(size), and close() because it is there."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size):
        return self.data.read(size)

    def close(self):
        closed.append("Duck")


def wrap(environ, start_response, file, headers=(), **arguments):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), *headers])
    return environ["wsgi.file_wrapper"](file, *arguments.values())


def content(environ):
    with open(path(environ), "rb") as real:
        return real.read()


def path(environ):
    return query(environ)["file"]


def whole(environ, start_response):
    return wrap(environ, start_response, open(path(environ), "rb"))


def sized(environ, start_response):
    length = [("Content-Length", str(os.path.getsize(path(environ))))]
    return wrap(environ, start_response, open(path(environ), "rb"), length)


def block_size(environ, start_response):
    return wrap(environ, start_response, open(path(environ), "rb"), size=10)


def unbuffered(environ, start_response):
    return wrap(environ, start_response, open(path(environ), "rb", buffering=0))


def after_seek(environ, start_response):
    file = open(path(environ), "rb")  # noqa: SIM115 (file_wrapper closes it)
    file.seek(1000)
    return wrap(environ, start_response, file)


def after_read(environ, start_response):
    """The buffer has read ahead: the file's offset is not where the application is."""
    file = open(path(environ), "rb")  # noqa: SIM115 (file_wrapper closes it)
    file.read(10)
    return wrap(environ, start_response, file)


def first_1000(environ, start_response):
    return wrap(environ, start_response, open(path(environ), "rb"), [("Content-Length", "1000")])


def too_short(environ, start_response):
    length = os.path.getsize(path(environ)) + 10
    return wrap(environ, start_response, open(path(environ), "rb"), [("Content-Length", str(length))])


def bytes_io(environ, start_response):
    file = io.BytesIO(content(environ))
    file.seek(5)
    return wrap(environ, start_response, file)


def gzipped(environ, start_response):
    return wrap(environ, start_response, gzip.open(path(environ), "rb"))


def subclass(environ, start_response):
    return wrap(environ, start_response, Closing(path(environ)))


def duck(environ, start_response):
    return wrap(environ, start_response, Duck(content(environ)))


def text(environ, start_response):
    return wrap(environ, start_response, open(path(environ), encoding="latin-1", newline=""))


def pipe(environ, start_response):
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    return wrap(environ, start_response, open(reading, "rb"))


def iterated(environ, start_response):
    """A middleware may iterate the wrapper itself instead of returning it."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [piece.lower() for piece in environ["wsgi.file_wrapper"](open(path(environ), "rb"), 100)]


def state(environ, start_response):
    fds = os.listdir("/proc/self/fd")
    targets = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")]
    return answer(start_response, {"closed": closed, "held": [target for target in targets if "wrapped" in target]})


app = by_path(
    whole,
    sized,
    block_size,
    unbuffered,
    after_seek,
    after_read,
    first_1000,
    too_short,
    bytes_io,
    gzipped,
    subclass,
    duck,
    text,
    pipe,
    iterated,
    state,
)
