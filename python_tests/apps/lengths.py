"""Says one Content-Length and sends another."""

from apps.routes import answer, by_path


def index(environ, start_response):
    return answer(start_response, {"well": True})


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"1234567890"]


def too_long_in_pieces(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return iter([b"1234", b"5678", b"90"])


def too_long_written(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "5")])
    write(b"1234")
    write(b"5678")
    return []


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"12345"]


def too_short_in_pieces(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return iter([b"12", b"34"])


def too_short_empty(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return []


app = by_path(index, too_long, too_long_in_pieces, too_long_written, too_short, too_short_in_pieces, too_short_empty)
