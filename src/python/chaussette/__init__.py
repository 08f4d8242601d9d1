"""Chaussette: a WSGI server on an adopted socket, one process with N CPython interpreters.

Owns the version, and what applications import by name. Imported in every interpreter that serves, so it stays light and never imports
`chaussette._native`: that extension module belongs to the main interpreter and refuses a second one.
"""

__all__ = ["RequestTimeout", "__version__"]

__version__ = "2.0.0a1"


class RequestTimeout(BaseException):
    """A request has taken longer than `--timeout`: raised in the thread that serves it, wherever that is then.

    Its client has been answered already. It is no `Exception`, as `KeyboardInterrupt` is none, so that code that
    catches whatever fails and tries again does not catch this. Clean up in `finally`, and let it pass.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or ("the request took longer than --timeout",)))
