"""Flask with a report that needs numpy, which is imported only where CHAUSSETTE_POOL allows it."""

import os
import sys

import flask

AT_LOAD = os.environ.get("CHAUSSETTE_POOL")

if AT_LOAD != "interpreters":
    import numpy

app = flask.Flask(__name__)


def told(**more):
    environ = flask.request.environ
    return {
        "pool": environ.get("CHAUSSETTE_POOL"),
        "pool_at_load": AT_LOAD,
        "pid": os.getpid(),
        "place": environ["chaussette.interpreter"],
        "numpy": "numpy" in sys.modules,
        "multiprocess": environ["wsgi.multiprocess"],
        "version": os.environ.get("VERSION"),
        **more,
    }


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def index(path):
    return told()


@app.get("/report", defaults={"path": ""})
@app.get("/report/<path:path>")
def report(path):
    return told(sum=int(numpy.arange(5).sum()))
