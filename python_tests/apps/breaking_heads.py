"""Rows: start_response, status and headers (PEP 3333 "The start_response() Callable")."""

import sys
import threading
from collections import namedtuple

from apps.breaking_rows import (
    CONTENT_LENGTH,
    PLAIN,
    SPECIFICATION,
    START_RESPONSE,
    Closing,
    Rows,
)

rows = Rows()

NO_START = "no start_response before the first part of the body"
AGAIN = "start_response was called again without exc_info"


# Not called, or too late


@rows.add("500", NO_START, SPECIFICATION)
def no_start_list(environ, start_response):
    return [b"no head"]


@rows.add("500", NO_START, SPECIFICATION)
def no_start_two_parts(environ, start_response):
    return [b"no ", b"head"]


@rows.add("500", NO_START, SPECIFICATION)
def no_start_nothing(environ, start_response):
    return []


@rows.add("500", NO_START, SPECIFICATION, closes=True)
def no_start_iterator(environ, start_response):
    return Closing(environ, [b"no head"])


@rows.add("500", NO_START, SPECIFICATION, closes=True)
def no_start_empty_iterator(environ, start_response):
    return Closing(environ, [])


@rows.add("500", "application returned what cannot be iterated over: NoneType: None", SPECIFICATION)
def no_start_none(environ, start_response):
    return None


@rows.add("500", NO_START, SPECIFICATION)
def start_after_the_first_part(environ, start_response):
    yield b"early"
    start_response("200 OK", PLAIN)


@rows.add("500", NO_START, SPECIFICATION)
def start_after_an_empty_part(environ, start_response):
    yield b""
    start_response("200 OK", PLAIN)
    yield b"ok"


# Called again


@rows.add("500", AGAIN, START_RESPONSE)
def start_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"never"]


@rows.add("fine")
def start_twice_caught(environ, start_response):
    """The first head stands."""
    start_response("200 OK", PLAIN)
    try:
        start_response("500 Second", PLAIN)
    except AssertionError:
        pass
    return [b"ok"]


@rows.add("aborted", AGAIN, START_RESPONSE)
def start_twice_after_the_head(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"some bytes"
    start_response("200 OK", PLAIN)


def refused(start_response):
    try:
        start_response("refused", PLAIN)
    except ValueError:
        return sys.exc_info()
    raise AssertionError("a malformed status was taken")


@rows.add("500", AGAIN, START_RESPONSE)
def start_again_after_a_refusal(environ, start_response):
    """PEP 3333: this includes the case where the first call to start_response raised an error."""
    refused(start_response)
    start_response("200 OK", PLAIN)
    return [b"never"]


@rows.add("500", NO_START, SPECIFICATION)
def body_after_a_refusal(environ, start_response):
    refused(start_response)
    return [b"never"]


@rows.add("fine")
def start_again_after_a_refusal_with_exc_info(environ, start_response):
    start_response("200 OK", PLAIN, refused(start_response))
    return [b"ok"]


@rows.add("fine", status=503)
def start_again_with_exc_info(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("503 Changed Its Mind", PLAIN, sys.exc_info())
    return [b"ok"]


@rows.add("500", "status must be three digits", START_RESPONSE)
def start_again_with_exc_info_and_a_bad_head(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("bad", PLAIN, sys.exc_info())
    return [b"never"]


def start_late(start_response, exc_info):
    start_response("500 Late", PLAIN, exc_info)


@rows.add("aborted", "application raised", "ValueError: too late to replace")
def exc_info_after_the_head(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"some bytes"
    try:
        raise ValueError("too late to replace")
    except ValueError:
        start_late(start_response, sys.exc_info())


@rows.add("aborted", "application raised", "in where_it_was_raised")
def exc_info_after_the_head_has_its_traceback(environ, start_response):
    """PEP 3333: raise exc_info[1].with_traceback(exc_info[2])."""

    def where_it_was_raised():
        raise ValueError("too late to replace")

    start_response("200 OK", PLAIN)
    yield b"some bytes"
    try:
        where_it_was_raised()
    except ValueError as error:
        kind, value, traceback = sys.exc_info()
        error.__traceback__ = None
        start_late(start_response, (kind, value, traceback))


@rows.add("aborted", "application raised", "ValueError: too late to replace")
def exc_info_after_the_head_and_a_bad_head(environ, start_response):
    """What is raised again matters more than what is wrong with the new head."""
    start_response("200 OK", PLAIN)
    yield b"some bytes"
    try:
        raise ValueError("too late to replace")
    except ValueError:
        start_response("bad", None, sys.exc_info())


@rows.add("fine", body=b"one two")
def exc_info_after_the_head_caught(environ, start_response):
    """PEP 3333 forbids to catch it; the answer that had begun goes on."""
    start_response("200 OK", PLAIN)
    yield b"one "
    try:
        raise ValueError("too late to replace")
    except ValueError:
        try:
            start_response("500 Late", PLAIN, sys.exc_info())
        except ValueError:
            yield b"two"


@rows.add("aborted", "empty exc_info", START_RESPONSE)
def exc_info_of_nothing_after_the_head(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"some bytes"
    start_response("500 Late", PLAIN, sys.exc_info())


@rows.add("fine")
def exc_info_of_nothing(environ, start_response):
    start_response("500 First", PLAIN)
    start_response("200 OK", PLAIN, sys.exc_info())
    return [b"ok"]


@rows.add("fine")
def exc_info_by_keyword(environ, start_response):
    start_response("200 OK", PLAIN, exc_info=None)
    return [b"ok"]


EXC_INFO = {"true": True, "pair": (ValueError, ValueError("pair")), "exception": ValueError("alone"), "list": [1, 2, 3]}


def with_exc_info(value):
    def started(environ, start_response):
        start_response("200 OK", PLAIN, value)
        return [b"never"]

    return started


for name, value in EXC_INFO.items():
    rows.put(f"exc_info_{name}", with_exc_info(value), "500", "exc_info must be a sys.exc_info() tuple", START_RESPONSE)

CALLS = {
    "no_arguments": lambda start: start(),
    "one_argument": lambda start: start("200 OK"),
    "four_arguments": lambda start: start("200 OK", PLAIN, None, None),
    "keywords": lambda start: start(status="200 OK", response_headers=PLAIN),
    "unknown_keyword": lambda start: start("200 OK", PLAIN, reason="none"),
}


def with_call(call):
    def started(environ, start_response):
        call(start_response)
        return [b"never"]

    return started


for name, call in CALLS.items():
    usage = "start_response takes status, response_headers and exc_info=None, by position"
    rows.put(f"start_{name}", with_call(call), "500", usage, START_RESPONSE)


@rows.add("fine")
def start_in_another_thread(environ, start_response):
    thread = threading.Thread(target=start_response, args=("200 OK", PLAIN))
    thread.start()
    thread.join()
    return [b"ok"]


# What it was called with


def with_status(value):
    def started(environ, start_response):
        start_response(value, PLAIN)
        return [b"ok"]

    return started


def with_headers(value):
    def started(environ, start_response):
        start_response("200 OK", value() if callable(value) else value)
        return [b"ok"]

    return started


NOT_STR = {"number": 200, "bytes": b"200 OK", "none": None, "tuple": (200, "OK")}
MALFORMED = {
    "empty": "",
    "short": "20 OK",
    "long": "2000 OK",
    "bare": "200",
    "words": "OK 200",
    "joined": "200OK",
    "negative": "-20 OK",
    "other_digits": "\u0662\u0660\u0660 OK",
    "space_before": " 200 OK",
    "space_after": "200 OK ",
    "two_spaces": "200  OK",
    "tab": "200\tOK",
    "tab_inside": "200 O\tK",
    "crlf": "200 OK\r\nX-Injected: yes",
    "cr": "200 OK\r",
    "lf": "200 OK\n",
    "nul": "200 O\0K",
    "escape": "200 \x1b[31m",
    "delete": "200 \x7f",
    "wide": "200 \u20ac",
    "surrogate": "200 \udcff",
    "endless": "200 " + "\u20ac" * 100_000,
}
for name, value in NOT_STR.items():
    rows.put(f"status_{name}", with_status(value), "500", "status must be a str", START_RESPONSE)
for name, value in MALFORMED.items():
    rows.put(f"status_{name}", with_status(value), "500", "status must be three digits", START_RESPONSE)
for name, value in {"continue": "100 Continue", "switching": "101 Switching Protocols", "199": "199 x"}.items():
    rows.put(f"status_{name}", with_status(value), "500", "status must be between 200 and 999", START_RESPONSE)
rows.put("status_latin_1", with_status("200 caf\u00e9"), "fine")
rows.put("status_without_reason", with_status("200 "), "fine")
rows.put("status_of_nobody", with_status("799 Of Nobody"), "fine", status=799)


class ListSubclass(list):
    """As frameworks make of their header lists."""


class Text(str):
    """As the safe strings of template languages."""


Pair = namedtuple("Pair", "name value")
NOT_A_LIST = {
    "none": None,
    "dict": {"Content-Type": "text/plain"},
    "tuple": (("Content-Type", "text/plain"),),
    "str": "Content-Type: text/plain",
    "iterator": lambda: iter([("Content-Type", "text/plain")]),
    "items": lambda: {"Content-Type": "text/plain"}.items(),
}
NOT_PAIRS = {
    "str": ["Content-Type: text/plain"],
    "short_str": ["ab"],
    "list": [["Content-Type", "text/plain"]],
    "one": [("Content-Type",)],
    "three": [("Content-Type", "text/plain", "more")],
    "none": [None],
}
NAMES_NOT_STR = {"bytes": (b"X-Bytes", "yes"), "none": (None, "yes"), "number": (1, "yes")}
VALUES_NOT_STR = {"bytes": ("X-Bytes", b"yes"), "number": ("Content-Length", 2), "none": ("X-None", None)}
VALUES = {
    "crlf": "one\r\nX-Injected: yes",
    "cr": "one\rX-Injected: yes",
    "lf": "one\nX-Injected: yes",
    "crlf_at_the_end": "one\r\n",
    "folded": "one\r\n two",
    "nul": "one\0two",
    "escape": "\x1b[31m",
    "delete": "\x7f",
    "wide": "\u20ac",
    "surrogate": "\udcff",
}
NAMES = {
    "empty": "",
    "colon": "X-Colon:",
    "space": "X Space",
    "space_after": "X-Space ",
    "crlf": "X-Split\r\nX-Injected",
    "nul": "X-\0",
    "slash": "X/Y",
    "latin_1": "X-\u00e9",
    "wide": "X-\u20ac",
}
for name, value in NOT_A_LIST.items():
    rows.put(f"headers_{name}", with_headers(value), "500", "response_headers must be a list", START_RESPONSE)
for name, value in NOT_PAIRS.items():
    rows.put(f"pair_{name}", with_headers(value), "500", "response_headers must hold tuples of two", START_RESPONSE)
for name, pair in NAMES_NOT_STR.items():
    rows.put(f"name_{name}", with_headers([pair]), "500", "a header name must be a str", START_RESPONSE)
for name, pair in VALUES_NOT_STR.items():
    rows.put(f"value_{name}", with_headers([pair]), "500", "a header value must be a str", START_RESPONSE)
for name, value in NAMES.items():
    rows.put(f"name_{name}", with_headers([(value, "yes")]), "500", "header name is not a token", START_RESPONSE)
for name, value in VALUES.items():
    rows.put(f"value_{name}", with_headers([("X-V", value)]), "500", "header value holds control", START_RESPONSE)
rows.put("name_surrogate", with_headers([("X-\udcff", "yes")]), "500", "characters beyond latin-1", START_RESPONSE)
rows.put(
    "headers_too_many",
    with_headers(lambda: [(f"X-{n}", "y") for n in range(40_000)]),
    "500",
    "more header names than a response can hold",
    START_RESPONSE,
)
rows.put("headers_of_a_list_subclass", with_headers(ListSubclass(PLAIN)), "fine")
rows.put("headers_of_named_tuples", with_headers([Pair("Content-Type", "text/plain")]), "fine")
rows.put("headers_of_str_subclasses", with_headers([(Text("X-Text"), Text("yes"))]), "fine")
rows.put("headers_empty", with_headers([]), "fine")
rows.put("value_with_a_tab", with_headers([("X-Tab", "one\ttwo")]), "fine")
rows.put("value_with_spaces_around", with_headers([("X-Spaces", "  one  ")]), "fine")

# Connections are the server's

HOP_BY_HOP = {
    "connection_upgrade": ("Connection", "upgrade"),
    "connection_names_a_header": ("Connection", "close, X-Private"),
    "connection_empty": ("Connection", ""),
    "transfer_encoding": ("Transfer-Encoding", "chunked"),
    "transfer_encoding_identity": ("transfer-encoding", "identity"),
    "upgrade": ("Upgrade", "websocket"),
    "trailer": ("Trailer", "X-Late"),
    "te": ("TE", "trailers"),
    "proxy_authenticate": ("Proxy-Authenticate", "Basic"),
    "proxy_authorization": ("Proxy-Authorization", "Basic x"),
    "proxy_connection": ("Proxy-Connection", "keep-alive"),
}
for name, pair in HOP_BY_HOP.items():
    rows.put(name, with_headers([pair]), "500", "hop-by-hop header is the server's to send", START_RESPONSE)
rows.put("connection_close", with_headers([("Connection", "close")]), "fine", last=True)
rows.put("connection_close_as_mercurial_spells_it", with_headers([("Connection", "Close")]), "fine", last=True)
rows.put("connection_both", with_headers([("Connection", "keep-alive, close")]), "fine", last=True)
rows.put("connection_keep_alive", with_headers([("Connection", "keep-alive")]), "fine")
rows.put("keep_alive", with_headers([("Connection", "Keep-Alive"), ("Keep-Alive", "timeout=5")]), "fine")

# Content-Length as a header; the body behind it is in breaking_bodies

LENGTHS = {
    "words": ["two"],
    "empty": [""],
    "negative": ["-2"],
    "signed": ["+2"],
    "list": ["2, 2"],
    "hex": ["0x2"],
    "fraction": ["2.0"],
    "huge": ["99999999999999999999"],
    "twice": ["2", "3"],
}
for name, values in LENGTHS.items():
    given = with_headers([("Content-Length", value) for value in values])
    rows.put(f"length_{name}", given, "500", "Content-Length is not a number", CONTENT_LENGTH)
rows.put("length_said_twice_the_same", with_headers([("Content-Length", "2"), ("content-length", "2")]), "fine")
