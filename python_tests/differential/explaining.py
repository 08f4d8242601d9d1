"""Compares two servers' outcomes of a stream, and finds the row that explains what differs.

Pure: knows the table's shape, not its content. Says of each difference which row explains it, or none.
"""

from dataclasses import dataclass

from .grammar import Request
from .peers import Entry

#: Marks that say what a request is, not what is unusual about it.
ORDINARY = frozenset({"1.0", "chunked", "head", "options"})

#: What stands for the requests that the generator did not make: the last one, and any that a server saw beyond.
BEYOND = Request(b"GET", b"/last", b"", frozenset())


@dataclass(frozen=True)
class Found:
    """A difference at request number `at`, and the name of the row that explains it (None: a finding)."""

    at: int
    what: str
    row: str | None


def compare(stream, ours, theirs, peer, table):
    """All differences up to the first that leaves the two at different requests."""
    verdicts, views = table
    found = []
    for at, (here, there) in enumerate(zip(ours, theirs, strict=False)):
        request = stream.requests[at] if at < len(stream.requests) else BEYOND
        before = stream.requests[at - 1] if 0 < at <= len(stream.requests) else BEYOND
        if here.kind != there.kind:
            row = explain_kind(verdicts, (request, before), (here.kind, there.kind), peer)
            return [*found, Found(at, f"{here.kind} / {there.kind}", row)]
        if peer == MIXER and mixes_up(request, here, there):
            return [*found, Found(at, "two requests in one", MIXED)]
        for key in sorted(here.seen.keys() | there.seen.keys()):
            if here.seen.get(key) != there.seen.get(key):
                row = explain_value(views, request, key, (here, there), peer)
                found.append(Found(at, f"{key}: {here.seen.get(key)!r} / {there.seen.get(key)!r}", row))
                if key == "body":
                    return found
    return found


#: The one difference whose values depend on the request behind: its row is a verdict's.
MIXED = "request behind one that expected 100-continue"
MIXER = "waitress"


def mixes_up(request, here: Entry, there: Entry):
    """Whether the peer made one request of two: the Host lines of both are joined."""
    if "field-expect-continue" not in request.marks:
        return False
    return there.seen.get("HTTP_HOST", "").startswith(here.seen.get("HTTP_HOST", "") + ", ")


def explain_kind(verdicts, requests, kinds, peer):
    request, before = requests
    here, there = kinds
    for row in verdicts:
        marked = before if row.after else request
        concerns = marked.marks & row.marks and marked.marks >= row.also
        if concerns and here in row.ours and there in row.peers.get(peer, ()):
            return row.name
    if len(request.marks - ORDINARY) > 1 and is_refusal(here):
        rows = [row for row in verdicts if row.marks & request.marks and not row.after]
        if is_refusal(there) or (there != "app" and any(there in row.peers.get(peer, ()) for row in rows)):
            return TWO_FAULTS
    return None


#: A request with two faults may be refused for either; the statuses then differ.
TWO_FAULTS = "two faults in one request"


def is_refusal(kind):
    return kind.isdigit() and kind[0] in "45"


def explain_value(views, request, key, entries, peer):
    here, there = entries
    for row in views:
        concerns = row.key == key and request.marks & row.marks and peer in row.peers
        if concerns and row.peers[peer](here.seen, request) == there.seen.get(key):
            return row.name
    return None
