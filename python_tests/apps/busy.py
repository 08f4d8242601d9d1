"""Computes without a pause from its import on, and answers all the same."""

import threading


def compute():
    while True:
        sum(range(1000))


threading.Thread(target=compute, daemon=True).start()


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"busy\n"]
