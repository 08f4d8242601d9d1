"""How a row of the table in `breaking` is written: `@rows.add(sees, …)` above the function that misbehaves."""

from dataclasses import dataclass

#: Sections of PEP 3333, as the log names them.
APPLICATION = '(PEP 3333, "The Application/Framework Side")'
SPECIFICATION = '(PEP 3333, "Specification Details")'
STREAMS = '(PEP 3333, "Input and Error Streams")'
START_RESPONSE = '(PEP 3333, "The start_response() Callable")'
CONTENT_LENGTH = '(PEP 3333, "Handling the Content-Length Header")'
WRITE = '(PEP 3333, "The write() Callable")'

PLAIN = [("Content-Type", "text/plain")]


@dataclass
class Row:
    name: str
    function: object
    #: What the client sees: "500"; "aborted", an answer that visibly does not end; "fine", a whole answer.
    sees: str
    #: In the first line of the log's error, with the path. None: nothing at level ERROR.
    says: str | None = None
    #: Somewhere in the log's error.
    also: str | None = None
    #: The body of an answer that is fine.
    body: bytes = b"ok"
    status: int = 200
    #: Whether the answer says that it is the connection's last one.
    last: bool = False
    #: Whether close() of the iterable is told of by `Closing` and the like: then it must be, once.
    closes: bool = False


class Rows(list):
    def add(self, sees, says=None, also=None, **more):
        def take(function):
            self.put(function.__name__, function, sees, says, also, **more)
            return function

        return take

    def put(self, name, function, sees, says=None, also=None, **more):
        self.append(Row(name, function, sees, says, also, **more))


def tell_closed(environ):
    """Leave a line in the log that is this request's own."""
    environ["wsgi.errors"].write(f"closed {environ['QUERY_STRING']}\n")
    environ["wsgi.errors"].flush()


def nothing():
    pass


class Closing:
    """An iterator over `parts` whose close() is told of. What it shall break is called in iter(), at the end, in close.

    Its subclasses are made once: a free-threaded 3.13 never frees a class.
    """

    def __init__(self, environ, parts, *, at_iter=nothing, at_end=nothing, at_close=nothing):
        self.environ, self.parts = environ, iter(parts)
        self.at_iter, self.at_end, self.at_close = at_iter, at_end, at_close

    def __iter__(self):
        return self.at_iter() or self

    def __next__(self):
        for part in self.parts:
            return part
        self.at_end()
        raise StopIteration

    def close(self):
        tell_closed(self.environ)
        self.at_close()
