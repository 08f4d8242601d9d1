"""Flask: what runs when a view is interrupted by --timeout. /seen tells."""

from flask import Flask, g, jsonify

app = Flask(__name__)
seen = []


@app.before_request
def open_connection():
    g.connection = "open"


@app.teardown_request
def close_connection(error):
    seen.append([g.connection, type(error).__name__])


@app.errorhandler(Exception)
def whatever_fails(error):
    seen.append("error handler")
    raise error


@app.get("/spin")
def spin():
    while True:
        pass


@app.get("/seen")
def told():
    return jsonify(seen)
