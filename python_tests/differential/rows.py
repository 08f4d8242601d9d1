"""What a row of the table is: a known difference between this server and its peers, with its reason.

Kinds of outcomes: "app" (the application is asked), a status, "closed" (without an answer), "waits" (for more bytes),
"junk" (what is no answer, or one with a body after HEAD).
"""

from collections.abc import Callable
from dataclasses import dataclass

ALL = ("waitress", "gunicorn", "cheroot")


@dataclass(frozen=True)
class Verdict:
    """Requests with one of `marks`, and all of `also`, get `ours` here, and one of `peers[name]` there."""

    name: str
    marks: frozenset
    ours: frozenset
    peers: dict
    why: str
    also: frozenset = frozenset()
    #: The marks are those of the request before: it decided what happens to this one.
    after: bool = False


@dataclass(frozen=True)
class View:
    """Both ask the application, and it sees another value of `key`: `peers[name]` makes it from (ours, request)."""

    name: str
    marks: frozenset
    key: str
    ours: str
    peers: dict
    #: How the document tells what the peers show.
    told: dict
    why: str


def verdict(name, marks, ours, why, *, also="", after=False, **peers):
    """A row of words: marks and kinds are separated by spaces."""
    split = {peer: words(kinds) for peer, kinds in peers.items()}
    return Verdict(name, words(marks), words(ours), split, why, words(also), after)


def words(text):
    return frozenset(text.split())


def view(name, marks, key, ours, why, **peers):
    """`peers`: name=(how it is told, the function that makes the value)."""
    made: dict[str, Callable] = {peer: function for peer, (_, function) in peers.items()}
    told = {peer: text for peer, (text, _) in peers.items()}
    return View(name, words(marks), key, ours, made, told, why)


def everywhere(kinds):
    return dict.fromkeys(ALL, kinds)
