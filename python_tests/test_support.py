"""The suite's own client must see what it is there to see: a test that cannot fail proves nothing."""

import socket
from types import SimpleNamespace

import pytest
from support import tally
from support.waiting import soon
from support.wire import Closed, Connection, Truncated, message


@pytest.fixture
def answered_with():
    """A connection on whose other side the given bytes, and then the end, have been sent."""
    opened = []

    def make(data):
        ours, theirs = socket.socketpair()
        theirs.sendall(data)
        theirs.close()
        connection = Connection.__new__(Connection)
        connection.socket, connection.buffer = ours, b""
        opened.append(ours)
        return connection

    yield make
    for one in opened:
        one.close()


def test_a_whole_answer_is_read_and_nothing_more(answered_with):
    connection = answered_with(b"HTTP/1.1 200 Fine Day\r\nContent-Length: 3\r\nA: 1\r\na: 2\r\n\r\nabcHTTP")
    answer = connection.response()
    assert (answer.status, answer.reason, answer.body, answer.all("A")) == (200, "Fine Day", b"abc", ["1", "2"])
    assert connection.buffer == b"HTTP"


def test_a_chunked_answer_is_put_together(answered_with):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert answered_with(data).response().body == b"abcde"


def test_interim_answers_are_kept_apart(answered_with):
    answer = answered_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").response()
    assert (answer.status, [one.status for one in answer.interim]) == (204, [100])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"abc",
        b"\0\0\0\r\n",
    ],
)
def test_an_answer_that_is_not_whole_is_truncated(answered_with, data):
    with pytest.raises(Truncated):
        answered_with(data).response()


def test_no_answer_at_all_is_closed_and_not_truncated(answered_with):
    with pytest.raises(Closed):
        answered_with(b"").response()


def test_a_request_is_framed_as_asked():
    assert message("GET", "/") == b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
    assert message("POST", "/", body=b"abc").endswith(b"Content-Length: 3\r\n\r\nabc")
    assert message("POST", "/", chunks=[b"abc", b"d"]).endswith(b"chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")


def test_waiting_in_vain_fails_with_what_was_waited_for():
    with pytest.raises(AssertionError, match="the moon"):
        soon(lambda: False, deadline=0.05, what="the moon")


def test_a_gate_holds_nobody_before_it_is_reached(gate):
    assert not gate().reached()


def report(kind, name, outcome="passed", when="call"):
    return SimpleNamespace(user_properties=[(kind, name)], outcome=outcome, when=when)


def test_the_closing_line_counts_cases_and_runs():
    reports = [report("conformance", name) for name in "aabbb"] + [report("conformance", "a", when="setup")]
    assert list(tally.lines(reports, "interpreters")) == [
        "conformance: 2 cases on tcp and unix, with 1 and 4 interpreters: 5 runs, all passed"
    ]


def test_the_closing_line_tells_of_each_run_that_failed():
    reports = [report("abuse", "a"), report("abuse", "b", "failed"), report("abuse", "c", "failed", "setup")]
    assert list(tally.lines(reports, "threads")) == ["abuse: 3 cases: 3 runs, 2 FAILED"]


def test_nothing_is_said_of_cases_that_did_not_run():
    assert list(tally.lines([SimpleNamespace(user_properties=[], outcome="passed", when="call")], "")) == []
