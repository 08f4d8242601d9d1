"""wsgiref.validate around applications that obey PEP 3333: whatever it objects to is the server's fault."""

from wsgiref.validate import validator

from apps.routes import by_path


def get(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"validated"]


def echo(environ, start_response):
    """wsgiref.validate forbids read() without a size."""
    body = b""
    while piece := environ["wsgi.input"].read(7):
        body += piece
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def lines(environ, start_response):
    environ["wsgi.errors"].write("validated\n")
    environ["wsgi.errors"].writelines(["by ", "lines\n"])
    environ["wsgi.errors"].flush()
    body = environ["wsgi.input"].readline() + b"".join(environ["wsgi.input"].readlines())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([body])


def generated(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece for piece in (b"one ", b"two ", b"three"))


def written(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
    return []


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


app = validator(by_path(get, echo, lines, generated, written, no_content))
