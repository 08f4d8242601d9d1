"""Applications in the forms an application spec can name."""

from apps.routes import answer


def app(environ, start_response):
    return answer(start_response, "function")


class Callable:
    def __call__(self, environ, start_response):
        return answer(start_response, "instance")

    def method(self, environ, start_response):
        return answer(start_response, "method")


class Iterable:
    """A class whose instances are the iterable, PEP 3333's own example."""

    def __init__(self, environ, start_response):
        self.body = answer(start_response, "class")

    def __iter__(self):
        return iter(self.body)


class Holder:
    inner = Callable()

    class deeper:
        app = staticmethod(app)


instance = Callable()
holder = Holder()
calls = []


def make_app():
    calls.append("made")

    def made(environ, start_response):
        return answer(start_response, f"factory, called {len(calls)} time")

    return made


def make_nothing():
    return None


def make_error():
    raise RuntimeError("the factory failed on purpose")


not_callable = "a string"
