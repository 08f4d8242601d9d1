"""The smallest application that shows where it runs."""

import os


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello from interpreter {environ['chaussette.interpreter']} of {os.uname().nodename}\n".encode()]
