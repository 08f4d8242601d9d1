"""An application's code that changes on disk while a server runs it."""

import re

APP = """
import atexit, os, sys

VERSION = {version!r}
LONG = (VERSION + ".") * 20_000


def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("X-Version", VERSION), ("X-Place", str(environ["chaussette.interpreter"]))])
    if path == "/pieces":
        return (LONG[at : at + 1000].encode() for at in range(0, len(LONG), 1000))
    if path == "/gate":
        with open(environ["QUERY_STRING"]) as gate:
            gate.read()
    return [VERSION.encode()]
"""


class Code:
    """A module in a folder of its own, for `--python-path`."""

    def __init__(self, folder, version="1"):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path, self.written = folder, folder / "changing.py", 0
        self.serve(version)

    @property
    def options(self):
        return ["--python-path", str(self.folder)]

    def serve(self, version, more=""):
        """From the next import on it is this version, with `more` executed after it."""
        self.write(APP.format(version=version) + more)

    def write(self, text):
        # Python takes a compiled file for the source's if time in seconds and size are the same.
        self.written += 1
        self.path.write_text(f"{text}\n#{'#' * self.written}\n")


def version(site):
    return site.get()["X-Version"]


def reload(site, signal, deadline=60.0):
    """Send HUP and wait for the reload's end; returns how it ended."""
    mark = site.mark()
    site.signal(signal)
    ended = site.wait_for_log(r"\] (reloaded: .*|reload failed, .*)$", mark, deadline)
    return re.sub(r"\s+", " ", ended.group(1))
