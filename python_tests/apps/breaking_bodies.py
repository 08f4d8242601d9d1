"""Rows: what the application returns and writes, and what it raises on the way."""

import array
import asyncio
import warnings

from apps.breaking_rows import (
    CONTENT_LENGTH,
    PLAIN,
    SPECIFICATION,
    WRITE,
    Closing,
    Rows,
    tell_closed,
)

rows = Rows()

NOT_BYTES = "a part of the body is not bytes: "
NOT_ITERABLE = "application returned what cannot be iterated over: "
NO_ITERABLE_OF_BYTES = "application returned a string, not an iterable of bytes: "


def started(start_response, *headers, status="200 OK"):
    return start_response(status, PLAIN + list(headers))


# What it returns


def returning(value):
    def returned(environ, start_response):
        started(start_response)
        return value() if callable(value) else value

    return returned


async def coroutine():
    pass


async def async_generator():
    yield b"never"


rows.put("returns_none", returning(None), "500", NOT_ITERABLE + "NoneType: None", SPECIFICATION)
rows.put("returns_number", returning(42), "500", NOT_ITERABLE + "int: 42", SPECIFICATION)
rows.put("returns_object", returning(object), "500", NOT_ITERABLE + "object", SPECIFICATION)
rows.put("returns_coroutine", returning(coroutine), "500", NOT_ITERABLE + "coroutine", SPECIFICATION)
rows.put("returns_async_generator", returning(async_generator), "500", NOT_ITERABLE + "async_generator", SPECIFICATION)
rows.put("returns_str", returning("text"), "500", NO_ITERABLE_OF_BYTES + "str: 'text'", SPECIFICATION)
rows.put("returns_bytes", returning(b"bytes"), "500", NO_ITERABLE_OF_BYTES + "bytes: b'bytes'", SPECIFICATION)
rows.put("returns_dict", returning({"a": 1}), "500", NOT_BYTES + "str: 'a'", SPECIFICATION)
rows.put("returns_bytearray", returning(bytearray(b"ab")), "500", NOT_BYTES + "int: 97", SPECIFICATION)
# They yield no part at all, and so none that is wrong.
rows.put("returns_empty_str", returning(""), "fine", body=b"")
rows.put("returns_empty_bytes", returning(b""), "fine", body=b"")
rows.put("returns_empty_dict", returning({}), "fine", body=b"")


class Sequence:
    def __getitem__(self, place):
        return [b"o", b"k"][place]


@rows.add("fine")
def returns_an_old_sequence(environ, start_response):
    """An object that only has __getitem__ is iterable."""

    started(start_response)
    return Sequence()


class BytesSubclass(bytes):
    def __len__(self):
        return 1000


PARTS = {
    "str": "text",
    "none": None,
    "number": 7,
    "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"ab"),
    "array": array.array("B", b"ab"),
    "list": [b"ab"],
}
for kind, part in PARTS.items():
    says = NOT_BYTES + type(part).__name__
    rows.put(f"{kind}_in_a_list", returning([part]), "500", says, SPECIFICATION)
    rows.put(f"{kind}_second_in_a_list", returning([b"first", part]), "500", says, SPECIFICATION)

    def yields_first(environ, start_response, part=part):
        started(start_response)
        return Closing(environ, [part])

    def yields_later(environ, start_response, part=part):
        started(start_response)
        return Closing(environ, [b"bytes first", part])

    rows.put(f"{kind}_yielded_first", yields_first, "500", says, SPECIFICATION, closes=True)
    rows.put(f"{kind}_yielded_later", yields_later, "aborted", says, SPECIFICATION, closes=True)

rows.put("bytes_subclass", returning([BytesSubclass(b"ok")]), "fine")
rows.put("bytes_subclass_yielded", returning(lambda: iter([BytesSubclass(b"o"), BytesSubclass(b"k")])), "fine")
rows.put("empty_parts", returning(lambda: iter([b"", b"o", b"", b"", b"k", b""])), "fine")


class Unrepresentable:
    def __repr__(self):
        raise RuntimeError("no repr")


rows.put("part_without_repr", returning([Unrepresentable()]), "500", NOT_BYTES + "Unrepresentable", SPECIFICATION)


# How it iterates


def fails(text):
    raise ValueError(text)


@rows.add("500", "application raised", "TypeError: ", closes=True)
def iter_gives_no_iterator(environ, start_response):
    started(start_response)
    return Closing(environ, [], at_iter=lambda: 5)


class Short(Closing):
    def __len__(self):
        return 1


class Long(list):
    """With a close() that is told of."""

    environ = None

    def __len__(self):
        return 5

    def close(self):
        tell_closed(self.environ)


class Lengthless(Closing):
    def __len__(self):
        raise ValueError("no length")


@rows.add("fine", body=b"one two three", closes=True)
def len_is_too_small(environ, start_response):
    """PEP 3333 lets a server rely on len(); what is iterated over counts here."""
    started(start_response)
    return Short(environ, [b"one ", b"two ", b"three"])


@rows.add("fine", closes=True)
def len_is_too_large(environ, start_response):
    started(start_response)
    body = Long([b"o", b"k"])
    body.environ = environ
    return body


@rows.add("fine", closes=True)
def len_raises(environ, start_response):
    started(start_response)
    return Lengthless(environ, [b"ok"])


# close()


def closing_with(close):
    body = type("Body", (Closing,), {"close": close})

    def closing(environ, start_response):
        started(start_response, ("Content-Length", "2"))
        return body(environ, [b"ok"])

    return closing


def close_wants_more(self, more):
    raise AssertionError("unreachable")


def close_without_looking(self):
    raise LookupError("close cannot be found")


AFTER = " after its response was complete"
rows.put("close_wants_more", closing_with(close_wants_more), "fine", "application raised" + AFTER, "missing 1")
rows.put("close_hides", closing_with(property(close_without_looking)), "fine", "application raised" + AFTER, "Lookup")
NO_METHOD = "close of the returned iterable cannot be called: "
rows.put("close_number", closing_with(5), "fine", NO_METHOD + "int: 5", SPECIFICATION)
rows.put("close_none", closing_with(None), "fine", NO_METHOD + "NoneType: None", SPECIFICATION)


@rows.add("500", "application raised", "then, while its iterable was closed", closes=True)
def close_raises_after_a_failure(environ, start_response):
    started(start_response)
    return Closing(environ, [], at_iter=lambda: fails("in iter"), at_close=lambda: fails("in close"))


@rows.add("aborted", NOT_BYTES + "str", "ValueError: in close", closes=True)
def close_raises_after_an_abort(environ, start_response):
    started(start_response)
    return Closing(environ, [b"some bytes", "text"], at_close=lambda: fails("in close"))


@rows.add("fine", "application raised", WRITE, closes=True)
def close_writes(environ, start_response):
    """write() after the end of the iterable: the response is over."""
    write = started(start_response)
    return Closing(environ, [b"ok"], at_close=lambda: write(b"late"))


@rows.add("aborted", NOT_BYTES + "int", SPECIFICATION, closes=True)
def generator_is_closed_after_an_abort(environ, start_response):
    started(start_response)
    try:
        yield b"some bytes"
        yield 5
    finally:
        tell_closed(environ)


@rows.add("aborted", NOT_BYTES + "int", "generator ignored GeneratorExit")
def generator_that_does_not_end(environ, start_response):
    started(start_response)
    yield b"some bytes"
    try:
        yield 5
    except GeneratorExit:
        yield b"still here"


# Content-Length and the body

TOO_LONG = "response body is longer than its Content-Length, and was cut"
TOO_SHORT = "response body ended before its Content-Length"


def of_length(length, parts, **more):
    def sized(environ, start_response):
        started(start_response, ("Content-Length", str(length)), **more)
        return parts if isinstance(parts, list) else Closing(environ, parts)

    return sized


for name, length, parts in [
    ("list", 2, [b"ok, and more"]),
    ("list_of_two", 2, [b"ok", b"more"]),
    ("iterator", 2, (b"ok, and more",)),
    ("at_a_boundary", 2, (b"o", b"k", b"more", b"and more")),
    ("across_a_boundary", 2, (b"o", b"k, and more", b"and more")),
]:
    more = {"closes": isinstance(parts, tuple)}
    rows.put(f"too_long_{name}", of_length(length, parts), "fine", TOO_LONG, CONTENT_LENGTH, **more)
rows.put("too_long_for_zero", of_length(0, (b"more",)), "fine", TOO_LONG, CONTENT_LENGTH, body=b"", closes=True)
rows.put("too_short_list", of_length(10, [b"five!"]), "aborted", TOO_SHORT, CONTENT_LENGTH)
rows.put("too_short_iterator", of_length(10, (b"five", b"!")), "aborted", TOO_SHORT, CONTENT_LENGTH, closes=True)
rows.put("too_short_nothing", of_length(10, []), "aborted", TOO_SHORT, CONTENT_LENGTH)
rows.put("exact_with_empty_parts", of_length(2, (b"", b"ok", b"", b"")), "fine", closes=True)


@rows.add("fine", "application raised: write() was given more than the Content-Length", CONTENT_LENGTH)
def too_long_written(environ, start_response):
    write = started(start_response, ("Content-Length", "2"))
    write(b"ok, and more")
    return []


@rows.add("fine", "application raised: write() was given more than the Content-Length", CONTENT_LENGTH)
def too_long_written_at_a_boundary(environ, start_response):
    write = started(start_response, ("Content-Length", "2"))
    write(b"ok")
    write(b"")
    write(b"more")
    return []


@rows.add("fine", TOO_LONG, CONTENT_LENGTH)
def too_long_written_and_returned(environ, start_response):
    started(start_response, ("Content-Length", "2"))(b"ok")
    return [b"more"]


@rows.add("fine", "application raised" + AFTER, "ValueError: with all of it sent")
def raises_with_all_of_it_sent(environ, start_response):
    started(start_response, ("Content-Length", "2"))
    yield b"ok"
    raise ValueError("with all of it sent")


# Statuses without a body (RFC 9110 section 6.4.1)

for code in (204, 205, 304):
    status, none = f"{code} Without Body", {"status": code, "body": b""}
    rows.put(f"body_with_{code}", of_length(9, [b"unwelcome"], status=status), "fine", **none)
    rows.put(f"parts_with_{code}", of_length(9, (b"un", b"welcome"), status=status), "fine", closes=True, **none)
    rows.put(f"length_with_{code}", of_length(9, [], status=status), "fine", **none)

    def written(environ, start_response, status=status):
        write = started(start_response, status=status)
        write(b"unwelcome")
        return []

    rows.put(f"write_with_{code}", written, "fine", **none)


# write()

WRITES = {
    "str": lambda write: write("text"),
    "none": lambda write: write(None),
    "number": lambda write: write(7),
    "bytearray": lambda write: write(bytearray(b"ab")),
    "nothing": lambda write: write(),
    "two": lambda write: write(b"one", b"two"),
}


def writing(call, *, first=b""):
    def wrote(environ, start_response):
        write = started(start_response)
        write(first)
        call(write)
        return []

    return wrote


for name, call in WRITES.items():
    says = "application raised: write() takes one bytes object"
    rows.put(f"write_{name}", writing(call), "500", says, WRITE)
    rows.put(f"write_{name}_later", writing(call, first=b"bytes"), "aborted", "application raised", WRITE)
rows.put("write_by_keyword", writing(lambda write: write(data=b"x")), "500", "application raised", "keyword")


@rows.add("fine", body=b"written, then returned")
def write_and_return(environ, start_response):
    write = started(start_response)
    write(b"written, ")
    return [b"then ", b"returned"]


@rows.add("fine", body=b"one two three")
def write_within_the_iterable(environ, start_response):
    """PEP 3333 forbids it; what is sent is in the order of time."""
    write = started(start_response)
    yield b"one "
    write(b"two ")
    yield b"three"


@rows.add("500", NOT_ITERABLE + "NoneType", SPECIFICATION)
def write_of_nothing_and_no_iterable(environ, start_response):
    started(start_response)(b"")


@rows.add("aborted", NOT_ITERABLE + "NoneType", SPECIFICATION)
def write_and_no_iterable(environ, start_response):
    started(start_response)(b"some bytes")


@rows.add("fine")
def write_returns_none(environ, start_response):
    write = started(start_response)
    return [b"ok" if write(b"") is None else b"something"]


# What is raised, and where


class Own(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Exiting(Exception):
    def __str__(self):
        raise SystemExit("from __str__")


def recursion():
    return recursion()


def warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn("a warning as an error", UserWarning, stacklevel=1)


def raising(kind, *arguments):
    def raised():
        raise kind(*arguments)

    return raised


#: What happens, and what the log has of it.
EVENTS = {
    "exception": (raising(ValueError, "on purpose"), "ValueError: on purpose"),
    "system_exit": (raising(SystemExit, 3), "SystemExit: 3"),
    "keyboard_interrupt": (raising(KeyboardInterrupt), "KeyboardInterrupt"),
    "generator_exit": (raising(GeneratorExit), "GeneratorExit"),
    "cancelled": (raising(asyncio.CancelledError), "CancelledError"),
    "base_exception": (raising(Own), "Own"),
    "memory_error": (raising(MemoryError), "MemoryError"),
    "recursion": (recursion, "RecursionError"),
    "group": (raising(ExceptionGroup, "several", [ValueError("one"), KeyError("two")]), "KeyError: 'two'"),
    "unprintable": (raising(Unprintable), "Unprintable: <exception str() failed>"),
    "exiting": (raising(Exiting), "Exiting: <exception str() failed>"),
    "surrogate": (raising(ValueError, "not in UTF-8: \udcff"), r"ValueError: not in UTF-8: \udcff"),
    "nul": (raising(ValueError, "a NUL: \0"), "ValueError: a NUL: "),
    "warning": (warning, "UserWarning: a warning as an error"),
    "stop_iteration": (raising(StopIteration), "StopIteration"),
}


def in_call(event):
    def app(environ, start_response):
        event()

    return app


def after_write(event):
    def app(environ, start_response):
        started(start_response)(b"some bytes")
        event()

    return app


def within(parts, **events):
    def app(environ, start_response):
        started(start_response)
        return Closing(environ, parts, **events)

    return app


#: Exceptions that end programs are named in the line itself.
ENDING = {
    "system_exit": "SystemExit",
    "keyboard_interrupt": "KeyboardInterrupt",
    "memory_error": "MemoryError",
    "recursion": "RecursionError",
}

for name, (event, text) in EVENTS.items():
    raised = f"application raised {ENDING[name]} (the interpreter goes on)" if name in ENDING else "application raised"
    rows.put(f"{name}_in_call", in_call(event), "500", raised, text)
    rows.put(f"{name}_after_write", after_write(event), "aborted", raised + " after its response had", text)
    rows.put(f"{name}_in_iter", within([], at_iter=event), "500", raised, text, closes=True)
    rows.put(f"{name}_in_close", within([b"ok"], at_close=event), "fine", raised + AFTER, text, closes=True)
    if name == "stop_iteration":
        # The end of an iterator, whoever raises it.
        rows.put(f"{name}_in_next", within([b"o", b"k"], at_end=event), "fine", closes=True)
        continue
    rows.put(f"{name}_in_next", within([], at_end=event), "500", raised, text, closes=True)
    rows.put(
        f"{name}_in_next_later",
        within([b"bytes"], at_end=event),
        "aborted",
        raised + " after",
        text,
        closes=True,
    )
