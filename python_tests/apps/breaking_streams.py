"""Rows: environ, wsgi.input, wsgi.errors and wsgi.file_wrapper. Every request has the body `BODY`."""

import io
import tempfile

from apps.breaking_rows import PLAIN, SPECIFICATION, STREAMS, Rows, tell_closed

rows = Rows()

BODY = b"one\ntwo\nthree"


def ok(start_response, body=b"ok"):
    start_response("200 OK", PLAIN)
    return [body]


# environ is the application's to change


def changing(change):
    def changed(environ, start_response):
        change(environ)
        return ok(start_response)

    return changed


CHANGES = {
    "clears": lambda environ: environ.clear(),
    "deletes_the_input": lambda environ: environ.pop("wsgi.input"),
    "replaces_the_streams": lambda environ: environ.update({"wsgi.input": None, "wsgi.errors": 5}),
    "adds_odd_keys": lambda environ: environ.update({None: object(), 5: 6, "x": environ}),
    "changes_types": lambda environ: environ.update(dict.fromkeys(environ, 7)),
}
for name, change in CHANGES.items():
    rows.put(f"environ_{name}", changing(change), "fine")


# wsgi.input


def reading(read):
    def readed(environ, start_response):
        value = read(environ["wsgi.input"])
        return ok(start_response, value if isinstance(value, bytes) else b"".join(value))

    return readed


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        if self.value is None:
            raise ValueError("no index")
        return self.value


SIZE = "application raised: a size for wsgi.input must be an int, not "
ODD_SIZES = {"float": 2.5, "str": "5", "bytes": b"5", "list": [5], "complex": 5j}
for name, size in ODD_SIZES.items():
    for method in ("read", "readline", "readlines"):
        call = reading(lambda stream, method=method, size=size: getattr(stream, method)(size))
        rows.put(f"input_{method}_{name}", call, "500", SIZE + type(size).__name__, STREAMS)
for name, size in {"huge": 10**30, "negative": -1, "very_negative": -(10**30), "index": Index(100)}.items():
    rows.put(f"input_read_{name}", reading(lambda stream, size=size: stream.read(size)), "fine", body=BODY)
rows.put("input_read_bool", reading(lambda stream: stream.read(True)), "fine", body=b"o")
rows.put("input_read_index_raises", reading(lambda s: s.read(Index(None))), "500", "application raised", "no index")
MORE = "application raised: methods of wsgi.input take one size at most"
rows.put("input_read_two", reading(lambda stream: stream.read(1, 2)), "500", MORE, STREAMS)
rows.put("input_readline_two", reading(lambda stream: stream.readline(1, 2)), "500", MORE, STREAMS)
rows.put("input_read_keyword", reading(lambda s: s.read(size=1)), "500", "application raised", "keyword arguments")
rows.put("input_readlines_keyword", reading(lambda s: s.readlines(hint=1)), "500", "application raised", "keyword")
rows.put("input_seek", reading(lambda s: s.seek(0)), "500", "application raised", "no attribute 'seek'")
rows.put("input_tell", reading(lambda s: s.tell()), "500", "application raised", "no attribute 'tell'")
rows.put("input_write", reading(lambda s: s.write(b"x")), "500", "application raised", "no attribute 'write'")
rows.put("input_len", reading(lambda s: len(s)), "500", "application raised", "has no len()")
rows.put("input_set", reading(lambda s: setattr(s, "size", 5)), "500", "application raised", "AttributeError")
rows.put("input_made", reading(lambda s: type(s)()), "500", "application raised", "cannot create")


@rows.add("fine", body=BODY)
def input_closed(environ, start_response):
    """PEP 3333: applications must not close it. It stays open."""
    environ["wsgi.input"].close()
    return ok(start_response, environ["wsgi.input"].read())


@rows.add("fine", body=b"")
def input_read_past_its_end(environ, start_response):
    stream = environ["wsgi.input"]
    stream.read()
    rest = [stream.read(), stream.read(5), stream.readline(), *stream.readlines(), *stream]
    return ok(start_response, b"".join(rest))


@rows.add("fine", body=b"one\n")
def input_read_within_the_iterable(environ, start_response):
    start_response("200 OK", PLAIN)
    yield environ["wsgi.input"].readline()


# wsgi.errors


def writing(write):
    def wrote(environ, start_response):
        write(environ["wsgi.errors"])
        return ok(start_response)

    return wrote


for name, text in {"bytes": b"x", "number": 5, "none": None, "list": ["x"]}.items():
    says = f"application raised: wsgi.errors takes str, not {type(text).__name__}"
    rows.put(f"errors_write_{name}", writing(lambda errors, text=text: errors.write(text)), "500", says, STREAMS)
rows.put("errors_writelines_bytes", writing(lambda e: e.writelines([b"x"])), "500", "application raised", STREAMS)
rows.put("errors_write_nothing", writing(lambda errors: errors.write()), "500", "application raised", "TypeError")
rows.put("errors_write_surrogate", writing(lambda errors: errors.write("\udcff\0\u20ac\n")), "fine")


@rows.add("fine", closes=True)
def errors_closed(environ, start_response):
    """PEP 3333: applications must not close it. It stays open, for this request and the next."""
    environ["wsgi.errors"].close()
    tell_closed(environ)
    return ok(start_response)


# wsgi.file_wrapper


def wrapping(make, *sizes):
    def wrapped(environ, start_response):
        start_response("200 OK", PLAIN)
        return environ["wsgi.file_wrapper"](*make(), *sizes)

    return wrapped


def temporary(mode, content=b"ok", buffering=-1):
    with tempfile.NamedTemporaryFile() as named:
        named.write(content)
        named.flush()
        return open(named.name, mode, buffering)


class Reading:
    """A file-like object whose reads give these values, or raise them."""

    def __init__(self, *values):
        self.values = iter(values)

    def read(self, size):
        value = next(self.values, b"")
        if isinstance(value, BaseException):
            raise value
        return value


def closed_file():
    file = temporary("rb")
    file.close()
    return file


class BadClose(Reading):
    close = 5


class RaisingClose(Reading):
    def close(self):
        raise ValueError("in close")


NO_BYTES = "a part of the body is not bytes: "
rows.put("wrapper_of_nothing", wrapping(lambda: ()), "500", "application raised", "TypeError")
rows.put("wrapper_of_none", wrapping(lambda: (None,)), "500", "application raised", "no attribute 'read'")
rows.put("wrapper_of_text", wrapping(lambda: (io.StringIO("text"),)), "500", NO_BYTES + "str", SPECIFICATION)
rows.put("wrapper_of_a_text_file", wrapping(lambda: (temporary("r"),)), "500", NO_BYTES + "str", SPECIFICATION)
rows.put("wrapper_of_numbers", wrapping(lambda: (Reading(5),)), "500", NO_BYTES + "int: 5", SPECIFICATION)
rows.put("wrapper_of_numbers_later", wrapping(lambda: (Reading(b"x", 5),)), "aborted", NO_BYTES + "int", SPECIFICATION)
rows.put("wrapper_of_a_closed_file", wrapping(lambda: (closed_file(),)), "500", "application raised", "closed file")
rows.put("wrapper_for_writing", wrapping(lambda: (temporary("ab"),)), "500", "application raised", "UnsupportedOp")
rows.put(
    "wrapper_for_raw_writing",
    wrapping(lambda: (temporary("ab", buffering=0),)),
    "500",
    "application raised",
    "UnsupportedOp",
)
rows.put("wrapper_raises", wrapping(lambda: (Reading(ValueError("in read")),)), "500", "application raised", "in read")
rows.put(
    "wrapper_raises_later",
    wrapping(lambda: (Reading(b"x", ValueError("in read")),)),
    "aborted",
    "application raised after",
    "in read",
)
rows.put("wrapper_with_bad_close", wrapping(lambda: (BadClose(b"ok"),)), "fine", "close of", SPECIFICATION)
rows.put(
    "wrapper_with_raising_close", wrapping(lambda: (RaisingClose(b"ok"),)), "fine", "application raised", "in close"
)
rows.put("wrapper_of_a_bad_size", wrapping(lambda: (temporary("rb"),), "5"), "fine")
rows.put("wrapper_of_a_file", wrapping(lambda: (temporary("rb"),)), "fine")
rows.put("wrapper_of_bytes", wrapping(lambda: (io.BytesIO(b"ok"),), 1), "fine")


@rows.add("500", "no start_response before the first part", SPECIFICATION)
def wrapper_without_start_response(environ, start_response):
    return environ["wsgi.file_wrapper"](temporary("rb"))
