"""What goes wrong in production, on demand; and a module that cannot be imported while the file BROKEN exists."""

import os
import time
from pathlib import Path
from urllib.parse import parse_qs

BROKEN = os.environ.get("FAULTY_BROKEN", "")
if BROKEN and Path(BROKEN).exists():
    raise RuntimeError("the deploy is broken")

BODY = b"".join(b"%06d\n" % number for number in range(2_000))


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    seconds = float(query.get("seconds", ["0"])[0])
    return ACTIONS[environ["PATH_INFO"]](environ, start_response, seconds)


def _ok(start_response, length):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(length))])


def hello(environ, start_response, seconds):
    _ok(start_response, len(BODY))
    return [BODY]


def echo(environ, start_response, seconds):
    body = environ["wsgi.input"].read()
    _ok(start_response, len(body))
    return [body]


def pieces(environ, start_response, seconds):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (BODY[at : at + 1_000] for at in range(0, len(BODY), 1_000))


def sleeps(environ, start_response, seconds):
    time.sleep(seconds)
    return hello(environ, start_response, seconds)


def spins(environ, start_response, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return hello(environ, start_response, seconds)


def raises(environ, start_response, seconds):
    raise LookupError("as asked")


def breaks_off(environ, start_response, seconds):
    _ok(start_response, len(BODY))
    yield BODY[:1_000]
    raise LookupError("as asked, after the head")


ACTIONS = {
    "/hello": hello,
    "/echo": echo,
    "/pieces": pieces,
    "/sleeps": sleeps,
    "/spins": spins,
    "/raises": raises,
    "/breaks_off": breaks_off,
}
