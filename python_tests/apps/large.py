"""Bodies too large to be copied at once, and heads for bodies that nobody gets."""

LARGE = bytes(range(256)) * 40_000  # 10 MB


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/written":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(2000):
            write(b"x" * 1000)
        return [b"end"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return {"/list": [LARGE], "/tuple": (LARGE,), "/parts": iter([LARGE, LARGE])}[path]
