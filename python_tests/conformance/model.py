"""What a case is: bytes sent, and what must come back.

Plain data and the few words it is written in. Opens no connection and knows no server.
"""

from dataclasses import dataclass, field
from enum import Enum, auto


class Step(Enum):
    """What a client does between two pieces of bytes."""

    #: Waits for the interim answer 100.
    CONTINUE = auto()
    #: Shuts its sending side, and still reads.
    HALF_CLOSE = auto()
    #: Reads the next answer of those expected.
    ANSWER = auto()
    #: Breaks the connection off with a RST.
    RESET = auto()


class End(Enum):
    """What becomes of the connection after the last answer."""

    #: Another request on it is answered.
    ALIVE = auto()
    #: The server closes it, and nothing more is answered on it.
    CLOSED = auto()
    #: The client left first. Others are served as before.
    LEFT = auto()


@dataclass(frozen=True)
class Answer:
    """One answer. `None`, in any field: whatever it may be."""

    status: int = 200
    #: The method it answers, which decides whether it has a body.
    method: str = "GET"
    #: The request as it reached the application, "METHOD target"; None: it did not.
    reached: str | None = None
    #: Keys of the environ with their values; a value of None: the key is not there.
    environ: dict = field(default_factory=dict)
    #: The request's body as the application read it.
    body: bytes | None = None
    #: Headers of the answer with their values; a value of None: the header is not there.
    headers: dict = field(default_factory=dict)
    #: The answer's own body.
    text: bytes | None = None
    #: Statuses of the interim answers before it.
    interim: tuple | None = ()
    version: str | None = None


@dataclass(frozen=True)
class Case:
    name: str
    #: The clause that says so.
    rule: str
    #: Bytes and steps, in order.
    sends: tuple
    answers: tuple
    end: End = End.ALIVE
    #: Sent in the same packet as the last piece: nobody may take it for anything but what `answers` says it is.
    follow: bytes = b""


#: Behind each request that is refused. It is never answered, and never reaches the application.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

#: Behind each request that is served, in the same packet: it is answered if the first one ended where it should.
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT_ANSWER = Answer(reached="GET /next", environ={"PATH_INFO": "/next"}, body=b"")


#: What /reply/streamed answers.
STREAM = b"x" * 1_000_000


def head(*lines):
    """The bytes of a head: its lines, each ended by CRLF, and the empty line."""
    return b"".join(as_bytes(line) + b"\r\n" for line in (*lines, b""))


def get(*lines, target="/"):
    """A GET with a Host and these header lines."""
    return head(f"GET {target} HTTP/1.1", "Host: x", *lines)


def post(*lines, body=b""):
    """A POST with a Host, these header lines and, behind the head, these bytes."""
    return head("POST / HTTP/1.1", "Host: x", *lines) + body


def chunked(body, *lines):
    """A POST whose chunked body is these bytes."""
    return post("Transfer-Encoding: chunked", *lines, body=body)


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def refused(name, rule, status, *sends, method="GET", before=(), follow=SMUGGLED, **answer):
    """The last request is answered with `status`, the application does not see it, and the connection closes.

    `before`: the answers to requests that come before it.
    """
    last = Answer(status=status, method=method, headers={"Connection": "close"}, **answer)
    return Case(f"{name}: {status}", rule, sends, (*before, last), End.CLOSED, follow)


def served(name, rule, *sends, method="GET", target="/", end=End.ALIVE, follow=None, **answer):
    """The request reaches the application as said and is answered 200, and so is what is pipelined behind it."""
    first = Answer(method=method, reached=f"{method} {target}", **answer)
    if end is End.CLOSED:
        # What comes behind the last request of a connection is for nobody (RFC 9112 section 9.6).
        return Case(name, rule, sends, (first,), end, SMUGGLED if follow is None else follow)
    follow = NEXT if follow is None else follow
    return Case(name, rule, sends, (first, NEXT_ANSWER) if follow else (first,), end, follow)


def silent(name, rule, *sends):
    """The connection ends without an answer, and the application sees nothing."""
    return Case(f"{name}: closed", rule, sends, (), End.CLOSED)


def refusals(rule, status, table, **given):
    """Requests that are refused for one reason: `table` has the bytes by name."""
    return [refused(name, rule, status, data, **given) for name, data in table.items()]
