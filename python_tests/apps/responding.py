"""The ways PEP 3333 gives an application to respond."""

import sys

from apps.routes import answer, by_path, query, stand_at_gate


def index(environ, start_response):
    return answer(start_response, {})


def written(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written ")
    write(b"")
    write(b"before ")
    return [b"and ", b"returned"]


def write_only(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"all written")
    return []


def write_shown(environ, start_response):
    """The first block is with the client before the application goes on."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"first")
    stand_at_gate(environ)
    write(b"second")
    return []


def yield_shown(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    stand_at_gate(environ)
    yield b"second"


def generator(environ, start_response):
    """start_response is called at the first next() only."""
    start_response("201 Created", [("X-Lazy", "yes")])
    yield b"lazily "
    yield b"made"


def generator_empty_first(environ, start_response):
    start_response("200 OK", [("X-First", "empty")])
    yield b""
    yield b""
    yield b"after nothing"


def generator_of_nothing(environ, start_response):
    start_response("200 OK", [("X-Nothing", "yes")])
    return
    yield b""


def nothing(environ, start_response):
    start_response("200 OK", [("X-Nothing", "yes")])
    return []


def tuple_of_two(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"one ", b"two")


def keyword_free(environ, start_response):
    """exc_info may be given positionally, and None means: none."""
    start_response("200 OK", [("Content-Type", "text/plain")], None)
    return [b"none"]


def status(environ, start_response):
    start_response(query(environ)["status"], [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def bodiless(environ, start_response):
    """A status that allows no body, and an application that sends one."""
    start_response(query(environ)["status"], [("X-Bodiless", "yes")])
    return [b"this must not be on the wire"]


def not_modified_sized(environ, start_response):
    start_response("304 Not Modified", [("Content-Length", "1234"), ("ETag", '"x"')])
    return []


def headers(environ, start_response):
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/plain; charset=latin-1"),
            ("Set-Cookie", "b=2; Path=/"),
            ("X-Latin", "caf\u00e9 \u00ff"),
            ("Set-Cookie", "a=1; Path=/"),
            ("X-Empty", ""),
            ("X-Echo", environ.get("HTTP_X_LATIN", "")),
        ],
    )
    return [b"headers"]


def own_date(environ, start_response):
    start_response("200 OK", [("Date", "Mon, 01 Jan 2024 00:00:00 GMT"), ("Server", "mine/1.0")])
    return [b"dated"]


def sized(environ, start_response):
    size = int(query(environ)["size"])
    start_response("200 OK", [("Content-Length", str(size))])
    for start in range(0, size, 1000):
        yield b"x" * min(1000, size - start)


def replaced(environ, start_response):
    """exc_info before any byte is out: the second head replaces the first."""
    start_response("200 OK", [("X-First", "yes")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("503 Changed Its Mind", [("X-Second", "yes")], sys.exc_info())
    return [b"second thoughts"]


def replaced_after_empty(environ, start_response):
    """An empty block sends no head, so it may still be replaced."""
    start_response("200 OK", [("X-First", "yes")])
    yield b""
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("500 Late", [("X-Second", "yes")], sys.exc_info())
    yield b"second thoughts"


def replaced_too_late(environ, start_response):
    """exc_info after the head is out: start_response raises it again."""
    start_response("200 OK", [("X-First", "yes")])
    yield b"first "
    try:
        raise ValueError("too late to replace")
    except ValueError:
        start_response("500 Late", [("X-Second", "yes")], sys.exc_info())
    yield b"never sent"


def started_twice(environ, start_response):
    """A second start_response without exc_info is refused; the first one stands."""
    start_response("200 OK", [("X-First", "yes")])
    try:
        start_response("201 Created", [("X-Second", "yes")])
    except Exception as error:
        return [b"refused: " + type(error).__name__.encode()]
    return [b"accepted"]


def own_headers_later(environ, start_response):
    """The list may be changed once start_response has returned: what was given counts."""
    given = [("X-Given", "yes")]
    start_response("200 OK", given)
    given.append(("X-Later", "yes"))
    return [b"given"]


app = by_path(
    index,
    written,
    write_only,
    write_shown,
    yield_shown,
    generator,
    generator_empty_first,
    generator_of_nothing,
    nothing,
    tuple_of_two,
    keyword_free,
    status,
    bodiless,
    not_modified_sized,
    headers,
    own_date,
    sized,
    replaced,
    replaced_after_empty,
    replaced_too_late,
    started_twice,
    own_headers_later,
)
