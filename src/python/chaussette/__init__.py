"""Chaussette: a WSGI server on an adopted socket, one process with N CPython interpreters.

Owns the version, and what applications import by name. Imported in every interpreter that serves, so it stays light
and never imports `chaussette._native`: that extension module belongs to the main interpreter and refuses a second one.
`chaussette.circus` is imported by other Pythons too, from 3.8 on.
"""

import sys

__all__ = ["RequestTimeout", "__version__", "interpreter_id", "request_timeout"]

__version__ = "2.0.0a1"


class RequestTimeout(BaseException):
    """A request has taken longer than `--timeout`: raised in the thread that serves it, wherever that is then.

    Its client has been answered already. It is no `Exception`, as `KeyboardInterrupt` is none, so that code that
    catches whatever fails and tries again does not catch this. Clean up in `finally`, and let it pass.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or ("the request took longer than --timeout",)))


def interpreter_id() -> "int | None":  # quoted for Python 3.8
    """Return the number of the interpreter that calls, from 0, as the log and the control port tell it.

    Never given twice in a process, unlike `environ["chaussette.interpreter"]`, which an interpreter takes over from
    the one that it replaces. Also while the application is imported, but for worker processes, which are forked from
    one that has imported it. None where nothing serves: in a script, say.
    """
    support = sys.modules.get("chaussette._interpreter")
    return None if support is None else support.number


def request_timeout() -> float | None:
    """Return the seconds that a request may take, `--timeout`: for the waits of an application that must end before.

        connection = connect(timeout=chaussette.request_timeout() or 60)

    The same in a request and outside of one, also while the application is imported. None where nothing limits a
    request: without `--timeout`, with another backend, in a script.
    """
    support = sys.modules.get("chaussette._interpreter")
    return None if support is None else support.request_timeout
