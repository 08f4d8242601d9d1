"""How a row of the tables of uses is written: `@uses.row(title, …)` above the function that does it.

docs/operations.md has the same tables; test_threads_and_processes.py compares.
"""

from dataclasses import dataclass


@dataclass
class Works:
    #: What the use returns.
    result: object = None
    shown: str = "yes"

    def __str__(self):
        return self.shown


@dataclass
class Refused:
    #: The exception's type.
    kind: str
    #: Words of its text: CPython's, and of the cure, if we name one.
    words: tuple[str, ...]

    def __str__(self):
        return f"no: `{self.kind}`"


@dataclass
class Ends:
    """The process is no server any more."""

    def __str__(self):
        return "it ends the server"


@dataclass
class Row:
    name: str
    function: object
    #: What is done, in the document.
    title: str
    #: In own-GIL interpreters; in the main interpreter, free-threaded builds included.
    own: object
    main: object
    remark: str

    def cells(self):
        return [self.title, str(self.own), str(self.main), self.remark, f"`{self.name}`"]


class Rows(dict):
    def row(self, title, own, main=None, remark=""):
        def take(function):
            name = function.__name__
            self[name] = Row(name, function, title, own, own if main is None else main, remark)
            return function

        return take
