"""Flask: templates, JSON, forms, sessions, streaming and an error page."""

import flask

app = flask.Flask(__name__)
app.secret_key = "a secret for the tests"


@app.get("/")
def index():
    return flask.render_template_string("hello {{ name }} & co", name=flask.request.args.get("name", "nobody"))


@app.post("/form")
def form():
    file = flask.request.files["file"]
    return {"name": flask.request.form["name"], "size": len(file.read()), "filename": file.filename}


@app.get("/interpreter")
def interpreter():
    return {"interpreter": flask.request.environ["chaussette.interpreter"]}


@app.get("/session")
def session():
    flask.session["count"] = flask.session.get("count", 0) + 1
    return str(flask.session["count"])


@app.get("/stream")
def stream():
    return app.response_class((f"line {n}\n" for n in range(100)), mimetype="text/plain")


@app.get("/file")
def file():
    return flask.send_file(__file__)


@app.get("/boom")
def boom():
    raise RuntimeError("Flask's own error page answers this")
