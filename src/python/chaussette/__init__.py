"""Chaussette: a WSGI server on an adopted socket, one process with N CPython interpreters.

Owns the version, and nothing else. Imported in every interpreter that serves, so it stays light and never imports
`chaussette._native`: that extension module belongs to the main interpreter and refuses a second one.
"""

__all__ = ["__version__"]

__version__ = "2.0.0a1"
