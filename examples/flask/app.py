"""A Flask application. Each interpreter imports this file by itself, so `visits` counts one interpreter's visits.

pip install -r examples/flask/requirements.txt
chaussette --interpreters 2 --python-path examples/flask app:app
"""

from flask import Flask, Response, jsonify, request, stream_with_context

app = Flask(__name__)
visits = 0


@app.get("/")
def hello() -> Response:
    global visits
    visits += 1
    return jsonify(interpreter=request.environ.get("chaussette.interpreter"), visits=visits)


@app.post("/echo")
def echo() -> Response:
    """Send the body back as it arrives: neither side holds it whole."""
    chunks = iter(lambda: request.stream.read(64 * 1024), b"")
    return Response(stream_with_context(chunks), mimetype="application/octet-stream")


@app.get("/boom")
def boom() -> Response:
    """The traceback is in the log, with the interpreter and the request line before it."""
    raise RuntimeError("boom")
