"""Stands at a gate while it is imported; the gate is named in the environment."""

import os

with open(os.environ["GATE"]) as gate:
    gate.read()


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"imported"]
