"""Names the modules of its interpreter. Imports nothing that Python has not imported itself."""

import sys


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(sys.modules).encode()]
