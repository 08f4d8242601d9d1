"""Several behaviours behind one server: the first segment of the path names the function that answers."""

import json
from urllib.parse import parse_qs


def by_path(*functions):
    named = {function.__name__: function for function in functions}

    def app(environ, start_response):
        name = environ["PATH_INFO"].strip("/").partition("/")[0] or "index"
        return named[name](environ, start_response)

    return app


def query(environ):
    """The query string as a dict of single values."""
    return {key: values[-1] for key, values in parse_qs(environ["QUERY_STRING"]).items()}


def answer(start_response, value, status="200 OK"):
    """Answer with `value` as JSON (bytes as they are)."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def stand_at_gate(environ):
    """Wait until the test opens the gate named by the query string."""
    with open(query(environ)["gate"]) as gate:
        gate.read()
