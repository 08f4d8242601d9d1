"""Does to wsgi.input what the query string says (do=read:5&do=readline …) and answers with what each step gave."""

from urllib.parse import parse_qs

from apps.routes import answer


def step(stream, what):
    name, *arguments = what.split(":")
    if name == "iterate":
        return list(stream)
    if name == "next":
        return next(stream, b"")
    return getattr(stream, name)(*[None if text == "None" else int(text) for text in arguments])


def text(value):
    return [line.decode("latin-1") for line in value] if isinstance(value, list) else value.decode("latin-1")


def app(environ, start_response):
    steps = parse_qs(environ["QUERY_STRING"]).get("do", [])
    return answer(start_response, [text(step(environ["wsgi.input"], what)) for what in steps])
