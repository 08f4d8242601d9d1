"""Tells what it was given, in one response header, so that a HEAD request's answer tells it, too.

Runs under any WSGI server: it reads no further than PEP 3333 allows, and answers HEAD without a body by itself.
"""

import base64
import json
from hashlib import sha256

#: Strings of the environ that a server must get from the request, beside HTTP_*.
CGI = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "SERVER_PROTOCOL",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
)


def app(environ, start_response):
    seen = {key: value for key, value in environ.items() if key in CGI or key.startswith("HTTP_")}
    seen["wsgi.url_scheme"] = environ["wsgi.url_scheme"]
    # The target as it was sent, whichever of the two usual names a server has for it.
    seen["target"] = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    body = read_body(environ)
    # A header has no room for a large one.
    seen["body"] = base64.b64encode(body).decode() if len(body) < 1000 else f"{len(body)}: {sha256(body).hexdigest()}"
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/plain"),
            ("Content-Length", "2"),
            ("X-Seen", base64.b64encode(json.dumps(seen).encode()).decode()),
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]


def read_body(environ):
    """The body, without a read behind its end: PEP 3333 leaves open what that does where it has no length."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return environ["wsgi.input"].read(int(length))
    if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ:
        return environ["wsgi.input"].read()
    return b""
