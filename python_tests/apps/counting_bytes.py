"""Reads a body of any size in pieces of 64 KiB; answers with its length and digest, and what ended the reading."""

import hashlib

from apps.routes import answer, by_path

PIECE = 64 * 1024
last = {}


def upload(environ, start_response):
    digest, size = hashlib.sha256(), 0
    last.clear()
    last["state"] = "reading"
    try:
        while piece := environ["wsgi.input"].read(PIECE):
            digest.update(piece)
            size += len(piece)
            last["size"] = size
    except Exception as error:
        last["state"] = f"error: {isinstance(error, OSError)} {type(error).__name__}"
        raise
    last["state"] = "end of body"
    return answer(start_response, {"size": size, "digest": digest.hexdigest()})


def state(environ, start_response):
    return answer(start_response, last)


app = by_path(upload, state)
