"""Keeps what belongs to one request and uses it later, or elsewhere: from the next request, or from other threads."""

import threading

from apps.routes import answer, by_path

kept = {}


def index(environ, start_response):
    return answer(start_response, {"well": True})


def attempt(action):
    """What `action` gave, or the name of the exception: anything but a crash is fine."""
    try:
        return repr(action())
    except BaseException as error:
        return type(error).__name__


def keep(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"")
    kept.update(environ=environ, input=environ["wsgi.input"], errors=environ["wsgi.errors"], write=write)
    kept.update(start_response=start_response)
    return [b"kept"]


def use(environ, start_response):
    results = {
        "read": attempt(lambda: kept["input"].read()),
        "readline": attempt(lambda: kept["input"].readline()),
        "iterate": attempt(lambda: list(kept["input"])),
        "errors": attempt(lambda: kept["errors"].write("kept\n")),
        "write": attempt(lambda: kept["write"](b"late")),
        "start_response": attempt(lambda: kept["start_response"]("200 OK", [("X-Late", "yes")])),
        "wrapper": attempt(lambda: kept["environ"]["wsgi.file_wrapper"](kept["input"])),
    }
    return answer(start_response, results)


def keep_one(environ, start_response):
    """Only one of them is kept: the others are free to serve the next request."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    all_of_them = {"input": environ["wsgi.input"], "hints": environ["wsgi.early_hints"]}
    all_of_them |= {"start_response": start_response, "write": write}
    kept["one"] = all_of_them[environ["QUERY_STRING"]]
    return [b"kept"]


def beside_one(environ, start_response):
    """What another request has kept is used before this one's own."""
    one = kept.pop("one")
    late = {
        "input": lambda: one.read(),
        "hints": lambda: one([("Link", "</late>")]),
        "start_response": lambda: one("500 Late", []),
        "write": lambda: one(b"late"),
    }
    results = {
        "is mine": any(one is mine for mine in (environ["wsgi.input"], environ["wsgi.early_hints"], start_response)),
        "late": attempt(late[environ["QUERY_STRING"]]),
        "body": environ["wsgi.input"].read().decode(),
    }
    return answer(start_response, results)


def in_thread(action):
    results = []
    thread = threading.Thread(target=lambda: results.append(attempt(action)))
    thread.start()
    thread.join()
    return results[0]


def other_thread(environ, start_response):
    """A thread of the application's own reads the body and starts the response."""
    body = in_thread(lambda: environ["wsgi.input"].read())
    in_thread(lambda: start_response("200 OK", [("X-Thread", "other")]))
    return [body.encode()]


def two_readers(environ, start_response):
    """Two threads read one body: each byte goes to one of them."""
    parts, lock = [], threading.Lock()

    def read():
        while part := environ["wsgi.input"].read(100):
            with lock:
                parts.append(part)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    body = b"".join(parts)
    return answer(start_response, {"size": len(body), "x": body.count(b"x")})


def write_in_generator(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    write(b"two ")
    yield b"three"


def next_in_thread(environ, start_response):
    """The block is made by another thread while this one waits, as thread pools do."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for text in ("one ", "two"):
        yield in_thread(lambda text=text: text).strip("'").encode()


def start_in_close(environ, start_response):
    class Body(list):
        def close(self):
            kept["in close"] = attempt(lambda: start_response("500 Late", []))

    start_response("200 OK", [("Content-Length", "4")])
    return Body([b"body"])


def self_reference(environ, start_response):
    """Garbage that only the collector finds, with the request's objects inside."""
    cycle = [environ, start_response, environ["wsgi.input"]]
    cycle.append(cycle)
    return answer(start_response, {})


app = by_path(
    index,
    keep,
    use,
    keep_one,
    beside_one,
    other_thread,
    two_readers,
    write_in_generator,
    next_in_thread,
    start_in_close,
    self_reference,
)
