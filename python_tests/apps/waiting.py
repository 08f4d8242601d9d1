"""Waits at the gate that the query names; /seen lists the paths that have reached Python."""

import threading

from apps.routes import answer, by_path, query, stand_at_gate

seen = []


def wait(environ, start_response):
    seen.append(environ["PATH_INFO"])
    stand_at_gate(environ)
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"], "thread": threading.get_ident()})


def mark(environ, start_response):
    seen.append(environ["PATH_INFO"])
    return answer(start_response, {})


def together(environ, start_response):
    """Counts, under no lock, who is here at once: two threads of one interpreter see each other."""
    inside.add(threading.get_ident())
    try:
        stand_at_gate(environ)
        return answer(start_response, {"inside": len(inside), "interpreter": environ["chaussette.interpreter"]})
    finally:
        arrived.add(threading.get_ident())
        if arrived >= inside:
            inside.clear()
            arrived.clear()


inside, arrived = set(), set()


def list_seen(environ, start_response):
    return answer(start_response, seen)


def long(environ, start_response):
    """A large answer after the gate."""
    stand_at_gate(environ)
    return answer(start_response, b"z" * int(query(environ).get("size", "1000000")))


app = by_path(wait, mark, together, list_seen, long)
