"""Answers under any WSGI server: it needs nothing of the environ that PEP 3333 leaves to the server."""

import os
import socket
import sys
import threading

import chaussette

from apps.routes import answer, by_path, query, stand_at_gate

#: Chaussette 1.3 has none.
interpreter_id = getattr(chaussette, "interpreter_id", lambda: None)
request_timeout = getattr(chaussette, "request_timeout", lambda: None)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "11")])
    return [b"hello world"]


def index(environ, start_response):
    strings = {key: value for key, value in environ.items() if type(value) is str}
    return answer(start_response, {"strings": strings, "argv": sys.argv, "interpreter": interpreter_id()})


def echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def wait(environ, start_response):
    """Stands at the gate that the query names."""
    stand_at_gate(environ)
    return answer(start_response, {"thread": threading.get_ident()})


def process(environ, start_response):
    """What the server has made of the process."""
    kind = f"{socket.socket.__module__}.{socket.socket.__name__}"
    return answer(start_response, {"socket": kind, "pid": os.getpid(), "path": sys.path, "query": query(environ)})


app = by_path(hello, index, echo, wait, process)

#: What these say while the application is imported.
number_at_import = interpreter_id()
timeout_at_import = request_timeout()


def timeouts(environ, start_response):
    return answer(start_response, [timeout_at_import, request_timeout(), environ.get("chaussette.request_timeout")])


def numbers(environ, start_response):
    return answer(start_response, [number_at_import, interpreter_id()])


def make_app():
    return app
