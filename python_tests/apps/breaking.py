"""What an application can break: the table of all rows, and the application that plays one row a path.

A row is a function that misbehaves in one way, with what must come of it. The rows are in `breaking_heads`,
`breaking_bodies` and `breaking_streams`.
"""

import gc
import itertools

from apps import breaking_bodies, breaking_heads, breaking_streams
from apps.routes import answer

ROWS = {row.name: row for row in itertools.chain(breaking_heads.rows, breaking_bodies.rows, breaking_streams.rows)}


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if not name:
        return answer(start_response, {"well": True})
    if name == "objects":
        gc.collect()
        gc.collect()
        return answer(start_response, {"objects": len(gc.get_objects())})
    return ROWS[name].function(environ, start_response)


def of_one(environ):
    """Not an application: it takes one argument."""
    raise AssertionError("unreachable")


async def of_three(scope, receive, send):
    """Not an application: it is ASGI's."""
    raise AssertionError("unreachable")
