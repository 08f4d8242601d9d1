"""Generates request streams: RFC 9112's grammar, and one deliberate step away from it at a time, or two.

Owns the streams and their marks. A mark names what is unusual about a request, valid or not; a request without marks is
one that every server takes alike. Sends nothing.
"""

import random
from dataclasses import dataclass, field

from .unusual import CHUNKS, CUTS, FIRST, PLACES

#: All marks, with their places.
EVERY = [(place, mark) for place, table in PLACES.items() for mark in table]

#: Those of which a request may have two. A cut's mark says how the body is framed, and whoever reads HTTP/1.2 as 1.0
#: knows no chunks: what stands beside these would not be what it says.
TOGETHER = [(place, mark) for place, mark in EVERY if place != "cut" and mark != "version-1.2"]

TOKENS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"]


@dataclass
class Request:
    method: bytes
    target: bytes
    data: bytes
    marks: frozenset = frozenset()


@dataclass
class Stream:
    """Some requests of one connection, sent at once."""

    requests: list = field(default_factory=list)

    @property
    def is_cut(self):
        """Whether the last of them is not whole, so that nothing can follow it."""
        return any(request.marks & CUTS.keys() for request in self.requests)

    @property
    def data(self):
        return b"".join(request.data for request in self.requests)

    @property
    def methods(self):
        return [request.method.decode("latin-1") for request in self.requests]


def streams(seed, count):
    """`count` streams, the same ones for the same seed. Every entry of every table is in them; one in eight has two."""
    chance = random.Random(seed)
    chosen = [{place: (mark, entry)} for place, mark in EVERY for entry in PLACES[place][mark]]
    while len(chosen) < count:
        marks = chance.sample(TOGETHER, 2) if chance.random() < 0.125 else [chance.choice(EVERY)]
        chosen.append({place: (mark, chance.choice(PLACES[place][mark])) for place, mark in marks})
    chance.shuffle(chosen)
    return [stream(chance, marked) for marked in chosen]


def stream(chance, marked):
    """One to three requests; one of them carries the marks."""
    length = chance.choice([1, 1, 2, 3])
    which = length - 1 if "cut" in marked else chance.randrange(length)
    which = 0 if FIRST & {mark for mark, _ in marked.values()} else which
    return Stream([request(chance, marked if n == which else {}) for n in range(length)])


def request(chance, marked):
    """A request that is usual but for `marked`: {place: (mark, what stands there)}."""

    def pick(place, usual):
        return marked[place][1] if place in marked else usual

    chosen = {mark for mark, _ in marked.values()}

    is_chunked = marked.keys() & {"chunk", "coding"} or "cut-chunks" in chosen
    # Alone it frames nothing, beside chunks it does.
    is_chunked = is_chunked or ("field-underscore-length" in chosen and chance.random() < 0.5)
    is_old = any(mark.endswith("-in-1.0") for mark in chosen)
    often = 0.5 if "version-1.2" in chosen else 0.15
    is_chunked = is_chunked or (not (is_old or marked.keys() & {"length", "cut"}) and chance.random() < often)
    has_body = is_chunked or marked.keys() & {"length", "cut"} or chance.random() < 0.2
    is_1_0 = is_old or (not is_chunked and "version" not in marked and chance.random() < 0.1)
    method = pick("method", chance.choice([b"POST", b"PUT", b"PATCH"] if has_body else [t.encode() for t in TOKENS]))
    target = pick("target", b"/" + b"abcdefgh"[: chance.randrange(1, 9)])
    if not target.startswith(b"/") and "method" not in marked and chance.random() < 0.4:
        method = b"OPTIONS"
    version = pick("version", b"HTTP/1.0" if is_1_0 else b"HTTP/1.1")
    before, first, second, after, end = pick("line", (b"", b" ", b" ", b"", b"\r\n"))
    lines = pick("host", [b"Host: x.test"]) + pick("field", [])
    body = b""
    if is_chunked:
        lines = lines + pick("coding", [b"Transfer-Encoding: chunked"])
        body = pick("chunk", chance.choice(CHUNKS["chunk-plain"]))
    elif has_body:
        lines = lines + pick("length", [b"Content-Length: 5"])
        body = b"hello"
    body = body[: len(body) - pick("cut", 0)]
    marks = chosen | ({"1.0"} if is_1_0 else set()) | ({"chunked"} if is_chunked else set())
    marks |= {"coding-in-1.0"} if is_1_0 and is_chunked else set()
    marks |= {method.decode("latin-1").lower()} & {"head", "options"}
    head = before + method + first + target + second + version + after + end
    data = head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body
    return Request(method, target, data, frozenset(marks))
