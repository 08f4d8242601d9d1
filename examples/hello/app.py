"""The smallest application that shows something: which interpreter answered.

chaussette --interpreters 2 --python-path examples/hello app:app
curl http://localhost:8080/        # several times, or several at once
"""

from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    # Set by Chaussette alone: the same file runs under any other WSGI server.
    interpreter = environ.get("chaussette.interpreter", "?")
    body = f"hello from interpreter {interpreter}, you asked for {environ['PATH_INFO']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
