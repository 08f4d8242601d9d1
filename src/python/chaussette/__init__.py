"""Chaussette: a WSGI server on an adopted socket, one process with N CPython interpreters.

Owns the version and what an application may ask. Imported in every interpreter that serves, so it stays light and
never imports `chaussette._native`: that extension module belongs to the main interpreter and refuses a second one.
"""

import sys

__all__ = ["__version__", "interpreter_id"]

__version__ = "2.0.0a1"


def interpreter_id() -> int | None:
    """Return the number of the interpreter that calls, from 0, as `environ["chaussette.interpreter"]` has it.

    Also while the application is imported. None where nothing serves: in a test, in a script.
    """
    support = sys.modules.get("chaussette._interpreter")
    return None if support is None else support.place
