"""Prints to stdout, stderr and wsgi.errors."""

import sys

from apps.routes import answer, query

print("printed on import")


def app(environ, start_response):
    word = query(environ).get("word", "nothing")
    print(f"out: {word}")
    print(f"err: {word}", file=sys.stderr)
    environ["wsgi.errors"].write(f"errors: {word} \u20ac\n")
    environ["wsgi.errors"].flush()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})
