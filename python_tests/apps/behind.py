"""What tests of proxies need: who asked, bodies of any size both ways, answers without bodies, and who left."""

import hashlib

from apps.routes import answer, by_path, query

PIECE = bytes(range(256)) * 256
last = {}


def index(environ, start_response):
    """What a health check asks for."""
    return answer(start_response, {})


def who(environ, start_response):
    if environ["HTTP_HOST"] == "check":
        last.setdefault("check", []).append(environ["REMOTE_ADDR"])
    keys = [
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "SERVER_NAME",
        "SERVER_PORT",
        "SCRIPT_NAME",
        "PATH_INFO",
        "wsgi.url_scheme",
        "HTTP_HOST",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PORT",
        "HTTP_X_FORWARDED_PREFIX",
        "HTTP_FORWARDED",
    ]
    return answer(start_response, {key: environ[key] for key in keys if key in environ})


def upload(environ, start_response):
    digest, size = hashlib.sha256(), 0
    last.update(upload="reading", size=0)
    try:
        while piece := environ["wsgi.input"].read(len(PIECE)):
            digest.update(piece)
            size += len(piece)
            last["size"] = size
    except OSError:
        last["upload"] = "broken off"
        raise
    last["upload"] = "whole"
    return answer(start_response, {"size": size, "digest": digest.hexdigest()})


class Pieces:
    def __init__(self, count):
        self.left = count

    def __iter__(self):
        last["download"] = "sending"
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return PIECE

    def close(self):
        last["download"] = "closed early" if self.left else "whole"


def download(environ, start_response):
    """Chunked, or with `sized` in the query of a length that is told."""
    asked = query(environ)
    count = int(asked["pieces"])
    headers = [("Content-Type", "application/octet-stream")]
    if "sized" in asked:
        headers.append(("Content-Length", str(count * len(PIECE))))
    start_response("200 OK", headers)
    return Pieces(count)


def bodiless(environ, start_response):
    start_response(query(environ)["status"], [("ETag", '"x"')])
    return []


def state(environ, start_response):
    return answer(start_response, last)


app = by_path(index, who, upload, download, bodiless, state)
