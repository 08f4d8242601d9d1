"""An extension that crashes while it is imported."""

import ctypes

ctypes.string_at(0)


def app(environ, start_response):
    """Never there."""
