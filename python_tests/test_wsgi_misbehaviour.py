"""All that an application can break (apps/breaking.py), row by row: what the client sees, what the log says, and that
the worker, and the connection where it lives, go on. On one interpreter, on four, and in the main one."""

import re
from itertools import count

import pytest
from apps.breaking import ROWS
from apps.breaking_rows import APPLICATION, START_RESPONSE
from apps.breaking_streams import BODY
from support.isolation import EVERYWHERE, SEVERAL, turns
from support.waiting import soon
from support.wire import Closed, Truncated

numbers = count(1)


#: One, and four where there can be.
PLACES = [
    (isolation, count) for isolation in turns() for count in ("1", "4") if count == "1" or isolation in SEVERAL.args
]


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def site(request, module_server):
    isolation, count = request.param
    return module_server("apps.breaking:app", "--isolation", isolation, "--interpreters", count)


def seen(connection, row, target, method="GET", version="1.1"):
    """Ask for the row; returns what the client sees of it, and the answer."""
    connection.ask(method, target, body=BODY, version=version)
    answer = connection.head()
    try:
        connection.read_body(answer, method)
    except Truncated:
        return "aborted", answer
    return ("500" if answer.status == 500 and row.status != 500 else "fine"), answer


def well(connection):
    return connection.get("/").json() == {"well": True}


def errors(log):
    return re.findall(r"^.*\[(?:ERROR|CRITICAL)\].*$", log, re.MULTILINE)


@pytest.mark.parametrize("name", ROWS)
def test_what_an_application_breaks_is_answered_logged_and_over(site, name):
    row, mark, number = ROWS[name], site.mark(), next(numbers)
    target = f"/{name}?{number}"
    with site.connect() as connection:
        sees, answer = seen(connection, row, target)
        assert sees == row.sees
        assert "injected" not in str(answer.headers).lower()
        assert not {"Keep-Alive", "Upgrade", "Trailer"} & {key.title() for key, _ in answer.headers}
        if sees == "500":
            assert b"Traceback" not in answer.body
        if sees == "fine":
            assert (answer.status, answer.body) == (row.status, row.body)
        assert answer["Connection"] == ("close" if row.last else None)
        if sees == "aborted" or row.last:
            assert connection.ended()
        else:
            assert well(connection)
    if row.says is not None:
        line = rf"^.*\[ERROR\] (interpreter \d+: )?GET {re.escape(target)}: .*{re.escape(row.says)}"
        site.wait_for_log(line, mark)
        site.wait_for_log(re.escape(row.also), mark)
    with site.connect() as connection:
        assert well(connection)
    if row.closes:
        closed = f"closed {number}\n"
        soon(lambda: closed in site.log[mark:], what=f"the iterable of {name} to be closed")
        assert site.log[mark:].count(closed) == 1
    if row.says is None:
        assert errors(site.log[mark:]) == []


def test_what_breaks_in_answer_to_head_never_shows_in_the_next_answer(site):
    for name, row in ROWS.items():
        with site.connect() as connection:
            sees, answer = seen(connection, row, f"/{name}?head", "HEAD")
            # With the head out nothing can break any more that a client of HEAD would see.
            wanted = {"500": 500, "aborted": 200, "fine": row.status}[row.sees]
            assert (answer.status, answer.body) == (wanted, b""), name
            assert sees != "aborted", name
            try:
                assert well(connection), name
            except Closed:
                assert answer["Connection"] == "close" or row.sees == "aborted", name


def ends_with_a_reset(connection):
    """Read until the peer ends the connection; returns whether it did so without a proper end."""
    try:
        while connection.socket.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


def test_what_breaks_for_a_1_0_client_never_looks_whole(site):
    """Without chunks, a missing end of a said length or a reset tells (RFC 9112 section 8)."""
    for name, row in ROWS.items():
        with site.connect() as connection:
            connection.ask("GET", f"/{name}?old", body=BODY, version="1.0")
            if row.sees != "aborted":
                answer = connection.response()
                assert answer.status == (500 if row.sees == "500" else row.status), name
                assert row.sees == "500" or answer.body == row.body, name
                continue
            answer = connection.head()
            if answer["Content-Length"]:
                with pytest.raises(Truncated):
                    connection.read_body(answer)
            else:
                assert ends_with_a_reset(connection), name


@EVERYWHERE
def test_nothing_that_breaks_leaves_an_object_behind(server):
    site = server("apps.breaking:app")

    def all_rows(rounds):
        for _ in range(rounds):
            for name in ROWS:
                with site.connect() as connection:
                    connection.ask("GET", f"/{name}?objects", body=BODY)
                    try:
                        connection.response()
                    except Truncated:
                        pass
        return site.get("/objects").json()["objects"]

    all_rows(2)
    before = all_rows(1)
    # A leak would be at least one object for each request of one row: five.
    assert all_rows(5) - before < 5


@pytest.mark.parametrize("name", ["connection_close", "connection_keep_alive", "keep_alive"])
def test_a_wish_for_the_connection_is_said_once_with_its_clause(server, name):
    site = server("apps.breaking:app")
    for _ in range(3):
        assert site.get(f"/{name}").text == "ok"
    said = re.findall(r"^.*\[WARNING\] application sends .*$", site.log, re.MULTILINE)
    assert len(said) == 1
    assert START_RESPONSE[1:-1] in said[0]


@pytest.mark.parametrize("name", ["of_one", "of_three"])
def test_an_application_that_takes_other_arguments_is_told_so(server, name):
    site = server(f"apps.breaking:{name}")
    for _ in range(2):
        assert site.get("/").status == 500
    site.wait_for_log(
        rf"\[ERROR\] interpreter 0: GET /: application cannot be called .*argument.* {re.escape(APPLICATION)}"
    )
