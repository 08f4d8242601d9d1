"""What an application may do with `wsgi.early_hints`: one path for each."""

STYLE = ("Link", "</style.css>; rel=preload; as=style")
SCRIPT = ("Link", "</script.js>; rel=preload; as=script")


def app(environ, start_response):
    hint = environ["wsgi.early_hints"]
    act = globals()[environ["PATH_INFO"].strip("/")]
    try:
        body = act(hint, start_response)
    except (TypeError, ValueError) as error:
        body = f"{type(error).__name__}: {error}"
    if not isinstance(body, str):
        return body
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


def twice(hint, start_response):
    return repr([hint([STYLE]), hint([SCRIPT, ("X-More", "1")])])


def nothing(hint, start_response):
    return repr(hint([]))


def after_start_response(hint, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    hint([STYLE])
    return [b"late"]


def late(hint, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"begun, ")
    try:
        hint([STYLE])
    except ValueError as error:
        write(str(error).encode())
    return []


def no_list(hint, start_response):
    return hint((STYLE,))


def no_strings(hint, start_response):
    return hint([(b"Link", b"</a>")])


def injected(hint, start_response):
    return hint([("Link", "</a>\r\n\r\nHTTP/1.1 200 OK")])


def framed(hint, start_response):
    return hint([STYLE, ("Content-Length", "3")])


def hop_by_hop(hint, start_response):
    return hint([("Transfer-Encoding", "chunked")])


def endless(hint, start_response):
    while True:
        hint([("Link", "x" * 1000)])


def raising(hint, start_response):
    hint([STYLE])
    raise RuntimeError("after its hint")
