"""Faults of an application, one a path; `breaking` has the whole table."""

from apps.routes import answer, by_path

PLAIN = [("Content-Type", "text/plain")]


def index(environ, start_response):
    return answer(start_response, {"well": True})


def raises(environ, start_response):
    raise ValueError("raised on purpose")


def raises_base(environ, start_response):
    raise SystemExit(3)


def raises_interrupt(environ, start_response):
    raise KeyboardInterrupt


def raises_unprintable(environ, start_response):
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Unprintable


def raises_surrogate(environ, start_response):
    raise ValueError("not encodable: \udcff \ud800")


def raises_group(environ, start_response):
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


def recurses(environ, start_response):
    return recurses(environ, start_response)


def raises_before_first_block(environ, start_response):
    start_response("200 OK", PLAIN)
    raise ValueError("raised before the first block")
    yield b""


def raises_after_head(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"some bytes "
    raise ValueError("raised after the head")


def raises_after_sized_head(environ, start_response):
    start_response("200 OK", [("Content-Length", "1000")])
    yield b"some bytes "
    raise ValueError("raised after the head")


def raises_after_write(environ, start_response):
    start_response("200 OK", PLAIN)(b"some bytes ")
    raise ValueError("raised after the head")


def raises_in_close(environ, start_response):
    class Body(list):
        def close(self):
            raise ValueError("raised in close")

    start_response("200 OK", [("Content-Length", "5")])
    return Body([b"whole"])


def no_start_response(environ, start_response):
    return [b"no head"]


def no_start_response_generator(environ, start_response):
    yield b"no head"


def returns_none(environ, start_response):
    start_response("200 OK", PLAIN)


def returns_number(environ, start_response):
    start_response("200 OK", PLAIN)
    return 42


def returns_str(environ, start_response):
    start_response("200 OK", PLAIN)
    return "not bytes"


def yields_str(environ, start_response):
    start_response("200 OK", PLAIN)
    return ["not bytes"]


def yields_none(environ, start_response):
    start_response("200 OK", PLAIN)
    return [None]


def yields_str_later(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"bytes first "
    yield "not bytes"


def writes_str(environ, start_response):
    start_response("200 OK", PLAIN)("not bytes")
    return []


#: No byte is out when these fail: the client gets a 500.
ANSWERED_500 = [
    raises,
    raises_base,
    raises_interrupt,
    raises_unprintable,
    raises_surrogate,
    raises_group,
    recurses,
    raises_before_first_block,
    no_start_response,
    no_start_response_generator,
    returns_none,
    returns_number,
    returns_str,
    yields_str,
    yields_none,
    writes_str,
]

#: The head is out when these fail: the client must see that the answer is not whole.
ABORTED = [raises_after_head, raises_after_sized_head, raises_after_write, yields_str_later]

app = by_path(index, raises_in_close, *ANSWERED_500, *ABORTED)
