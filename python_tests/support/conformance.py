"""Runs a case of conformance/ against a server, and checks what holds for every answer.

Owns the reading of the answers and of the file in which apps/echoing.py notes what reached it. Knows no case.
"""

import base64
import time
from email.utils import parsedate_to_datetime

from conformance.model import End, Step

from .wire import Connection

#: Seconds by which an answer's Date may be off: it is made once a second, and this machine may be busy.
DATE_TOLERANCE = 30

#: Ends each connection that is alive, and shows that it is.
PROBE = b"GET /alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Seen:
    """The requests that reached the application, in order, from where it was last looked."""

    def __init__(self, path):
        self.file = open(path, "a+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.file.seek(0, 2)

    def new(self):
        return self.file.read().decode("latin-1").splitlines()

    def close(self):
        self.file.close()


def run(case, server, seen, dripping=False):
    """Fails with an AssertionError unless everything is as the case says. `dripping`: byte by byte."""
    try:
        with Connection(server.address) as connection:
            answers = list(case.answers)
            _send(case, connection, answers, dripping)
            for answer in answers:
                _check(connection.response(answer.method), answer)
            _end(case, connection)
        if case.end is End.LEFT:
            assert server.get("/alive").status == 200
    except BaseException:
        # What it did is no other case's fault.
        seen.new()
        raise
    reached = [answer.reached for answer in case.answers if answer.reached]
    reached += ["GET /alive"] if case.end is not End.CLOSED else []
    assert seen.new() == reached


def _send(case, connection, answers, dripping):
    """Takes the client's steps, and from `answers` those that are read on the way."""
    steps = list(case.sends)
    # What drips behind the last answer of a connection comes after its close, perhaps: that is a case of its own.
    if case.follow and not (dripping and case.end is End.CLOSED and case.answers[-1].reached):
        steps[-1] += case.follow
    for step in steps:
        if step is Step.CONTINUE:
            interim = connection._one_head()
            assert (interim.status, interim.headers) == (100, [])
        elif step is Step.HALF_CLOSE:
            connection.half_close()
        elif step is Step.ANSWER:
            answer = answers.pop(0)
            _check(connection.response(answer.method), answer)
        elif step is Step.RESET:
            connection.reset()
        else:
            _deliver(connection, step, dripping)


def _deliver(connection, data, dripping):
    pieces = [data[at : at + 1] for at in range(len(data))] if dripping else [data]
    try:
        for piece in pieces:
            connection.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        # Refused before it was all sent. What was refused, and how, the answer tells.
        pass


def _check(response, answer):
    """One answer as it should be."""
    assert response.status == answer.status, f"{response.status} {response.body[:300]!r}"
    assert response.version == (answer.version or response.version)
    if answer.interim is not None:
        assert tuple(interim.status for interim in response.interim) == answer.interim
    for name, value in answer.headers.items():
        assert (name, response[name]) == (name, value)
    if answer.text is not None:
        assert response.body == answer.text
    _check_always(response, answer)
    echoed = answer.status == 200 and answer.method != "HEAD" and " /reply/" not in (answer.reached or "")
    if echoed:
        told = response.json()
        environ = told["environ"]
        for key, value in answer.environ.items():
            assert (key, environ.get(key)) == (key, value)
        if answer.body is not None:
            assert base64.b64decode(told["body"]) == answer.body


def _check_always(response, answer):
    """What RFC 9110 asks of each answer of a server with a clock."""
    (date,) = response.all("Date")
    assert date.endswith(" GMT"), date
    made = parsedate_to_datetime(date).timestamp()
    assert "Date" in answer.headers or abs(made - time.time()) < DATE_TOLERANCE, date
    assert len(response.all("Server")) == 1
    if response.version == "HTTP/1.0":
        assert response["Transfer-Encoding"] is None
    if response.status >= 400 and answer.reached is None and answer.method != "HEAD":
        # A refusal says why.
        assert str(response.status) in response.text
        assert response["Content-Type"] == "text/plain; charset=utf-8"


def _end(case, connection):
    if case.end is End.ALIVE:
        connection.send(PROBE)
        assert connection.response().json()["environ"]["PATH_INFO"] == "/alive"
    if case.end is not End.LEFT:
        assert connection.rest() == b""
