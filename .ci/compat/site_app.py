"""The WSGI application of a trial: it uses the package in each request, and tells where that was."""

import importlib
import json
import os


def make():
    module = importlib.import_module(f"apps.{os.environ['COMPAT_APP']}")
    use = getattr(module, "use", None)

    def app(environ, start_response):
        if use is not None:
            use()
        else:
            ask(module.app, environ)
        from chaussette import _interpreter

        told = {
            "place": environ["chaussette.interpreter"],
            "refused": [name for name, _ in _interpreter.refused],
            "rescued": _interpreter.rescued,
            "gil_enabled_by": _interpreter.gil_enabled_by,
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]

    return app


def ask(app, environ):
    """Call an application of a framework: it says hello."""
    heads = []

    def start_response(status, headers, exc_info=None):
        heads.append(status)

    answer = app(environ, start_response)
    try:
        body = b"".join(answer)
    finally:
        getattr(answer, "close", lambda: None)()
    assert heads[0].startswith("200"), (heads, body)
    assert b"hello" in body, body
