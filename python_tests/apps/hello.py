"""Says hello and which interpreter says it; a longer body below /long, one in pieces below /pieces."""

LINE = b"a line of the long body, to see whether it arrives whole\n"
BODIES = {"/long": [LINE * 400], "/pieces": [LINE * 20] * 20}


def app(environ, start_response):
    pieces = BODIES.get(environ["PATH_INFO"], [b"hello from %d\n" % environ["chaussette.interpreter"]])
    headers = [("Content-Type", "text/plain")]
    if len(pieces) == 1:
        headers.append(("Content-Length", str(len(pieces[0]))))
    start_response("200 OK", headers)
    return iter(pieces)
