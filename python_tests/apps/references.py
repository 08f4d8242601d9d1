"""Exercises each kind of answer, and /count says how many objects its interpreter holds.

Reference counts of what every request passes through tell of leaks that the number of objects hides.
"""

import gc
import io
import sys

from apps.routes import answer, by_path

seen_types = {}


def note(environ, start_response):
    for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
        value = environ[name]
        seen_types[name] = value if isinstance(value, type) else type(value)
    seen_types["start_response"] = type(start_response)
    seen_types["errors object"] = environ["wsgi.errors"]
    seen_types["app"] = app


def plain(environ, start_response):
    note(environ, start_response)
    return answer(start_response, {"a": 1})


def body(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def body_unread(environ, start_response):
    return answer(start_response, {})


def lines(environ, start_response):
    return answer(start_response, b"".join(environ["wsgi.input"]))


LARGE = b"x" * 100_000


def large(environ, start_response):
    seen_types["LARGE"] = LARGE
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100000")])
    return [LARGE]


def large_parts(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "400000")])
    yield LARGE
    yield bytes(300_000)


def generated(environ, start_response):
    start_response("200 OK", [("X-One", environ["HTTP_X_ONE"])])
    yield b"one"
    yield b"two"


def written(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
    return []


def wrapped(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"wrapped"))


def wrapped_file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def exc_info(environ, start_response):
    try:
        raise ValueError("for exc_info")
    except ValueError:
        start_response("200 OK", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"exc_info"]


def raises(environ, start_response):
    raise ValueError("raised on purpose")


def refused(environ, start_response):
    try:
        start_response("200 OK", [("Upgrade", "websocket")])
    except Exception:
        start_response("200 OK", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"refused"]


def count(environ, start_response):
    gc.collect()
    gc.collect()
    references = {name: sys.getrefcount(value) for name, value in seen_types.items()}
    values = {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "references": references,
        "interpreter": environ["chaussette.interpreter"],
    }
    return answer(start_response, values)


app = by_path(
    plain,
    body,
    body_unread,
    lines,
    large,
    large_parts,
    generated,
    written,
    wrapped,
    wrapped_file,
    exc_info,
    raises,
    refused,
    count,
)
