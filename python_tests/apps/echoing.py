"""Answers with the request as it arrived, and notes each request in the file that SEEN names.

The file is how a test knows what reached the application, whichever interpreter took it. Paths below /reply choose
another answer.
"""

import base64
import json
import os

from apps.routes import by_path, query

seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if "SEEN" in os.environ else None


def note(environ):
    """One write on a descriptor opened to append: no two interpreters mix their lines."""
    if seen is not None:
        os.write(seen, f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']}\n".encode("latin-1"))


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    strings = {key: value for key, value in environ.items() if type(value) is str}
    data = json.dumps({"environ": strings, "body": base64.b64encode(body).decode()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def status(environ, start_response):
    """Any status, with a body that it may not be allowed to have."""
    start_response(query(environ)["is"] + " Said", [("Content-Type", "text/plain")])
    return [b"body"]


def streamed(environ, start_response):
    """A length that nobody knows beforehand, and more than waits anywhere on the way."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(10):
        yield b"x" * 100_000


def sized(environ, start_response):
    size = int(query(environ)["is"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    block = b"x" * 65536
    while size > 0:
        yield block[:size]
        size -= len(block)


def unread(environ, start_response):
    """Leaves the body where it is."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"unread"]


def failing(environ, start_response):
    raise ValueError("an application that fails")


def breaking(environ, start_response):
    """Fails when the answer has begun."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    yield b"begun"
    raise ValueError("an application that fails late")


def named(environ, start_response):
    """Says who it is by itself."""
    given = [("Date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("Server", "mine"), ("Content-Length", "0")]
    start_response("200 OK", given)
    return []


reply = by_path(status, streamed, sized, unread, failing, breaking, named)


def app(environ, start_response):
    note(environ)
    path = environ["PATH_INFO"]
    if path.startswith("/reply/"):
        return reply(environ | {"PATH_INFO": path.removeprefix("/reply")}, start_response)
    return echo(environ, start_response)
