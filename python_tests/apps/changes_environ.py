"""Changes its environ, as PEP 3333 allows; answers with what an earlier request has left in it."""

from apps.routes import answer


def app(environ, start_response):
    left = sorted(key for key in environ if key.startswith("left."))
    environ["left.behind"] = "by an earlier request"
    environ["wsgi.url_scheme"] = "changed"
    scheme_seen = environ.pop("SERVER_NAME")
    return answer(start_response, {"left": left, "server_name": scheme_seen})
