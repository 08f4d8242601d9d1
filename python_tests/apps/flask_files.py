"""Flask as a file server: ranges, large uploads, streams, and a session. Serves the folder FILES."""

import hashlib
import os

import flask

app = flask.Flask(__name__)
app.secret_key = "a secret for the tests"

PIECE = 64 * 1024


@app.get("/")
def index():
    return "hello\n"


@app.get("/files/<name>")
def file(name):
    return flask.send_from_directory(os.environ["FILES"], name, conditional=True)


@app.route("/upload", methods=["PUT", "POST"])
def upload():
    digest, size = hashlib.sha256(), 0
    while data := flask.request.stream.read(PIECE):
        digest.update(data)
        size += len(data)
    return {"size": size, "sha256": digest.hexdigest()}


@app.post("/form")
def form():
    sent = flask.request.files["file"]
    return {"name": sent.filename, "sha256": hashlib.file_digest(sent.stream, "sha256").hexdigest()}


@app.get("/stream/<int:count>")
def stream(count):
    return app.response_class((f"line {n}\n" for n in range(count)), mimetype="text/plain")


@app.get("/visits")
def visits():
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return str(flask.session["visits"])
