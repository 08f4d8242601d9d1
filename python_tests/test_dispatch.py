"""The queue between connections and interpreters: bounded, and nothing in it for a client that has left."""

import contextlib
import select

import pytest
from support.waiting import soon


@pytest.fixture
def busy(server, gate):
    """A function that starts a server whose only interpreter is held at a gate."""
    with contextlib.ExitStack() as stack:

        def start(*options):
            here = gate()
            site = server("apps.waiting:app", "--interpreters", "1", "--threads", "1", *options)
            holder = stack.enter_context(site.connect())
            holder.ask("GET", f"/wait/holder?{here.query}")
            here.wait()
            return site, here, holder

        yield start


def test_a_full_queue_is_answered_503_with_retry_after(busy):
    site, here, holder = busy("--queue", "1")
    others = [site.connect() for _ in range(6)]
    for n, other in enumerate(others):
        other.ask("GET", f"/mark/{n}")
    refused = soon(lambda: (r := select.select([o.socket for o in others], [], [], 0)[0])[4:] and r)
    answers = {}
    for other in others:
        if other.socket in refused:
            answers[other] = other.response()
            assert answers[other].status == 503
            assert answers[other]["Retry-After"].isdigit()
    here.open()
    assert holder.response().status == 200
    for other in others:
        if other not in answers:
            answers[other] = other.response()
    statuses = sorted(answer.status for answer in answers.values())
    assert statuses == [200, 503, 503, 503, 503, 503]
    reached = site.get("/list_seen").json()
    assert len(reached) == 2, "a request that was refused has reached Python"
    for other in others:
        other.close()


def test_the_queue_takes_requests_again_once_it_has_room(busy):
    site, here, holder = busy("--queue", "1")
    with site.connect() as waiting, site.connect() as refused:
        waiting.ask("GET", "/mark/waiting")
        soon(lambda: refused.get("/mark/refused").status == 503, what="a refusal")
        here.open()
        assert (holder.response().status, waiting.response().status) == (200, 200)
        assert refused.get("/mark/again").status == 200


def test_a_refused_request_leaves_its_connection_usable_or_says_that_it_does_not(busy):
    site, here, _ = busy("--queue", "1")
    with site.connect() as waiting, site.connect() as refused:
        waiting.ask("GET", "/mark/waiting")
        answer = soon(lambda: (a := refused.get("/mark/refused")).status == 503 and a, what="a refusal")
        here.open()
        assert waiting.response().status == 200
        if answer["Connection"] == "close":
            assert refused.ended()
        else:
            assert refused.get("/list_seen").status == 200


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_queued_request_whose_client_has_left_never_reaches_python(busy, leave):
    site, here, holder = busy()
    leavers = [site.connect() for _ in range(5)]
    ports = [leaver.port for leaver in leavers]
    with site.connect() as stays:
        for n, leaver in enumerate(leavers):
            leaver.ask("GET", f"/mark/left/{n}")
        stays.ask("GET", "/mark/stays")
        for port in ports:
            soon(lambda port=port: site.has_connection_from(port), what="the requests to be read")
        for leaver in leavers:
            getattr(leaver, leave)()
        soon(lambda: not any(site.has_connection_from(port) for port in ports), what="the server to see them leave")
        here.open()
        assert (holder.response().status, stays.response().status) == (200, 200)
    assert site.get("/list_seen").json() == ["/wait/holder", "/mark/stays"]


def test_every_queued_request_is_served_once(busy):
    site, here, holder = busy()
    connections = []
    for n in range(10):
        connections.append(site.connect())
        connections[-1].ask("GET", f"/mark/{n}")
        port = connections[-1].port
        soon(lambda port=port: site.has_connection_from(port), what="the connection to be taken")
    here.open()
    for connection in [holder, *connections]:
        assert connection.response().status == 200
        connection.close()
    reached = site.get("/list_seen").json()
    assert sorted(reached) == sorted(["/wait/holder", *(f"/mark/{n}" for n in range(10))])


def test_the_default_queue_holds_hundreds_of_requests(busy):
    """--queue 1024: more connections than that would meet the limit of open files first."""
    site, here, holder = busy()
    connections = [site.connect() for _ in range(300)]
    for n, connection in enumerate(connections):
        connection.ask("GET", f"/mark/{n}")
    here.open()
    assert holder.response().status == 200
    for connection in connections:
        assert connection.response().status == 200
        connection.close()
