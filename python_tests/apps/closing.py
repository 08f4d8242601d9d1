"""Iterables with close(): /closed says how often each has been closed, and in which order things happened."""

from apps.routes import answer, by_path, stand_at_gate

events = []


class Body:
    def __init__(self, name, pieces):
        self.name, self.pieces = name, iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.pieces)
        except StopIteration:
            events.append(f"{self.name} exhausted")
            raise

    def close(self):
        events.append(f"{self.name} closed")


def closed(environ, start_response):
    return answer(start_response, events)


def normal(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("normal", [b"one ", b"two"])


def sized(environ, start_response):
    start_response("200 OK", [("Content-Length", "7")])
    return Body("sized", [b"one ", b"two"])


def empty(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("empty", [])


def a_list(environ, start_response):
    class List(list):
        def close(self):
            events.append("list closed")

    start_response("200 OK", [("Content-Type", "text/plain")])
    return List([b"one ", b"two"])


def failing(environ, start_response):
    def pieces():
        yield b"one "
        raise ValueError("while iterating")

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("failing", pieces())


def failing_early(environ, start_response):
    def pieces():
        raise ValueError("while iterating")
        yield b""

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("failing_early", pieces())


def headless(environ, start_response):
    return Body("headless", [b"no head"])


def not_iterable(environ, start_response):
    class NotIterable:
        def __iter__(self):
            raise ValueError("not iterable after all")

        def close(self):
            events.append("not_iterable closed")

    start_response("200 OK", [("Content-Type", "text/plain")])
    return NotIterable()


def endless(environ, start_response):
    def pieces():
        while True:
            yield b"x" * 1000

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("endless", pieces())


def endless_generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        while True:
            yield b"x" * 1000
    finally:
        events.append("endless_generator closed")


def endless_empty(environ, start_response):
    """Yields nothing to send, for ever: only a look at the connection tells that the client is gone."""

    def pieces():
        yield b"x"
        while True:
            yield b""

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("endless_empty", pieces())


def gated(environ, start_response):
    def pieces():
        yield b"one "
        stand_at_gate(environ)
        while True:
            yield b"two"

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body("gated", pieces())


app = by_path(
    closed,
    normal,
    sized,
    empty,
    a_list,
    failing,
    failing_early,
    headless,
    not_iterable,
    endless,
    endless_generator,
    endless_empty,
    gated,
)
