"""What an application must not do, one way a path."""

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


def with_status(value):
    def started(environ, start_response):
        start_response(value, PLAIN)
        return [b"ok"]

    return started


def with_headers(value):
    def started(environ, start_response):
        start_response("200 OK", value)
        return [b"ok"]

    return started


STATUSES = {
    "status_number": 200,
    "status_bytes": b"200 OK",
    "status_none": None,
    "status_short": "20 OK",
    "status_long": "2000 OK",
    "status_words": "OK 200",
    "status_joined": "200OK",
    "status_newline": "200 OK\r\nX-Injected: yes",
    "status_wide": "200 \u20ac",
    "status_interim": "100 Continue",
    "status_negative": "-20 OK",
    "status_empty": "",
}
HEADERS = {
    "headers_none": None,
    "headers_dict": {"Content-Type": "text/plain"},
    "headers_pair_of_three": [("A", "b", "c")],
    "headers_string": ["Content-Type: text/plain"],
    "header_name_bytes": [(b"X-Bytes", "yes")],
    "header_value_bytes": [("X-Bytes", b"yes")],
    "header_value_number": [("Content-Length", 2)],
    "header_value_none": [("X-None", None)],
    "header_value_newline": [("X-Split", "one\r\nX-Injected: yes")],
    "header_value_bare_cr": [("X-Split", "one\rX-Injected: yes")],
    "header_value_bare_lf": [("X-Split", "one\nX-Injected: yes")],
    "header_value_nul": [("X-Nul", "one\0two")],
    "header_value_wide": [("X-Wide", "\u20ac")],
    "header_name_newline": [("X-Split\r\nX-Injected", "yes")],
    "header_name_colon": [("X:Colon", "yes")],
    "header_name_space": [("X Space", "yes")],
    "header_name_empty": [("", "yes")],
    "header_name_wide": [("X-\u20ac", "yes")],
    "header_connection": [("Connection", "close")],
    "header_keep_alive": [("Keep-Alive", "timeout=5")],
    "header_transfer_encoding": [("Transfer-Encoding", "chunked")],
    "header_upgrade": [("Upgrade", "websocket")],
    "header_trailer": [("Trailer", "X-Late")],
    "header_te": [("TE", "trailers")],
    "header_proxy_authenticate": [("Proxy-Authenticate", "Basic")],
    "content_length_words": [("Content-Length", "two")],
    "content_length_negative": [("Content-Length", "-2")],
    "content_length_signed": [("Content-Length", "+2")],
    "content_lengths_differ": [("Content-Length", "2"), ("Content-Length", "3")],
}


def named(name, function):
    function.__name__ = name
    return function


REFUSED_AT_START = [named(name, with_status(value)) for name, value in STATUSES.items()] + [
    named(name, with_headers(value)) for name, value in HEADERS.items()
]

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
    *REFUSED_AT_START,
]

#: The head is out when these fail: the client must see that the answer is not whole.
ABORTED = [raises_after_head, raises_after_sized_head, raises_after_write, yields_str_later]

app = by_path(index, raises_in_close, *ANSWERED_500, *ABORTED)
