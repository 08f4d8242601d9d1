"""Slow, silent, greedy and broken clients: each ends in a deadline or at a bound, and others are served meanwhile."""

import random
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from conformance.model import chunked, get, head, post
from support.waiting import soon, steady
from support.wire import Closed, Truncated

#: Seconds that the servers of this module give a client. Short, and ten times what a request takes on a busy machine.
SHORT = "0.6"

#: Seconds in which what should take SHORT must be over.
OVER = 10.0

#: Never answered, because nothing of it has come to its end. The rest of it is always `b"x"`, or line ends.
BEGUN_HEADS = {
    "a method": b"G",
    "a target": b"GET /",
    "a version": b"GET / HTTP/1.",
    "a request line's end": b"GET / HTTP/1.1\r",
    "a name": b"GET / HTTP/1.1\r\nHost: x\r\nA",
    "a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: ",
    "a CR before a request": b"\r",
    "a head behind an answered one": get() + b"GET / HTTP/1.1\r\n",
}

BEGUN_BODIES = {
    "a length's": post("Content-Length: 100") + b"x",
    "a long length's": post("Content-Length: 300000") + b"x" * 200_000,
    "a body's before its first byte": post("Content-Length: 100"),
    "a chunk size's": chunked(b"1"),
    "a chunk extension's": chunked(b"1;a"),
    "a chunk's": chunked(b"ff\r\nx"),
    "a last chunk's": chunked(b"1\r\nx\r\n0"),
    "a trailer's": chunked(b"1\r\nx\r\n0\r\nA: "),
}

BIG = "/reply/sized?is=200000000"


@pytest.fixture(autouse=True)
def counted(request, record_property):
    """Each test here is counted in the suite's closing line (support/tally.py)."""
    record_property("abuse", request.node.name)


@pytest.fixture(scope="module")
def hasty(module_server):
    """A server of little patience."""
    options = ("--header-timeout", SHORT, "--body-timeout", SHORT, "--keep-alive", SHORT)
    return module_server("apps.echoing:app", *options, "--max-body", "100000000")


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.echoing:app")


@pytest.fixture(scope="module")
def patient(module_server):
    """Waits for ever, as far as a test can tell: what ends here has come to a bound, not to a deadline."""
    return module_server("apps.echoing:app", "--max-body", "1000000", "--min-rate", "0")


def served(server):
    """Whether somebody else is served as ever."""
    return server.get("/other").status == 200


def drip(connection, data, until=OVER):
    """Sends `data` byte by byte, one each 0.05 s, until an answer comes. Returns it, or None: closed without one."""
    connection.socket.settimeout(0.05)
    end = time.monotonic() + until
    for at in range(len(data)):
        assert time.monotonic() < end, "it was still waited for"
        try:
            connection.send(data[at : at + 1])
            if not connection._fill():
                return None
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return None
        connection.socket.settimeout(OVER)
        return connection.response()
    raise AssertionError("it was all taken")


def begin(server, pieces):
    """Connections on which these bytes were sent, by name."""
    begun = {}
    for name, data in pieces.items():
        begun[name] = server.connect()
        begun[name].send(data)
    return begun


# Silence


def test_heads_that_stop_anywhere_are_answered_408(hasty):
    begun = begin(hasty, BEGUN_HEADS)
    assert served(hasty)
    for name, connection in begun.items():
        if b"\r\n\r\n" in BEGUN_HEADS[name]:
            assert connection.response().status == 200
        answer = connection.response()
        assert (name, answer.status, answer["Connection"]) == (name, 408, "close")
        assert connection.ended(), name


def test_bodies_that_stop_anywhere_are_answered_408(hasty):
    begun = begin(hasty, BEGUN_BODIES)
    assert served(hasty)
    for name, connection in begun.items():
        answer = connection.response()
        assert (name, answer.status, answer["Connection"]) == (name, 408, "close")
        assert connection.ended(), name


def test_a_body_that_was_asked_for_and_does_not_come_is_answered_408(hasty):
    with hasty.connect() as connection:
        connection.send(post("Content-Length: 3", "Expect: 100-continue"))
        answer = connection.response()
        assert (answer.status, [one.status for one in answer.interim]) == (408, [100])
        assert connection.ended()


def test_a_client_that_never_says_anything_is_let_go_without_a_word(hasty):
    with hasty.connect() as connection:
        assert connection.ended()


def test_a_client_that_says_nothing_more_is_let_go_without_a_word(hasty):
    with hasty.connect() as connection:
        assert connection.get("/").status == 200
        assert connection.ended()


# Dripping


@pytest.mark.parametrize("name", ["a target", "a value", "a name"])
def test_a_head_that_drips_gains_no_time(hasty, name):
    with hasty.connect() as connection:
        connection.send(BEGUN_HEADS[name])
        answer = drip(connection, b"x" * 1000)
        assert (answer.status, answer["Connection"]) == (408, "close")
    assert served(hasty)


def test_header_lines_that_drip_gain_no_time(hasty):
    with hasty.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert drip(connection, b"A: b\r\n" * 200).status == 408


def test_empty_lines_that_drip_gain_no_time_without_end(hasty):
    """Ten are skipped, as RFC 9112 section 2.2 has it, and each one is waited for; the next one is one too many."""
    with hasty.connect() as connection:
        answer = drip(connection, b"\r\n" * 100)
        assert (answer.status, answer["Connection"]) == (400, "close")


@pytest.mark.parametrize("name", ["a length's", "a chunk's", "a chunk extension's", "a trailer's"])
def test_a_body_that_drips_below_the_least_rate_is_answered_408(hasty, name):
    with hasty.connect() as connection:
        connection.send(BEGUN_BODIES[name])
        assert drip(connection, b"x" * 98).status == 408
    assert served(hasty)


def test_a_client_that_reads_byte_by_byte_gets_it_all(site):
    with site.connect() as connection:
        connection.send(get("Connection: close", target="/reply/sized?is=50000"))
        got = bytearray()
        while byte := connection.socket.recv(1):
            got += byte
    assert got.endswith(b"\r\n\r\n" + b"x" * 50_000)


# Not reading


def is_gone(server, connection):
    return not server.has_connection_from(connection.port)


def test_a_client_that_never_reads_is_cut_off(hasty):
    with hasty.connect() as connection:
        connection.send(get(target=BIG))
        assert served(hasty)
        soon(lambda: is_gone(hasty, connection), OVER, "the connection to be cut off")
        with pytest.raises((Truncated, ConnectionResetError)):
            connection.response()


def test_a_client_that_asks_and_never_reads_is_not_asked_for_more(patient):
    """10,000 answers would be 10 MB: what is not taken is not made, and not read either."""
    before = patient.status_kib("VmRSS")
    with patient.connect(timeout=0.5) as connection:
        with pytest.raises(TimeoutError):
            connection.send(get(target="/reply/sized?is=100000") * 200_000)
        assert served(patient)
        assert steady(lambda: patient.status_kib("VmRSS")) < before + 8 * 1024
    assert served(patient)


# Many


def test_a_thousand_idle_connections_cost_little_and_others_are_served(patient):
    with patient.connect() as first:
        first.get("/")
    before = patient.status_kib("VmRSS")
    idle = [patient.connect() for _ in range(1000)]
    for connection in idle:
        assert connection.get("/").status == 200
    assert served(patient)
    assert patient.status_kib("VmRSS") < before + 1000 * 12
    for connection in idle[::97]:
        assert connection.get("/").status == 200
    for connection in idle:
        connection.close()


def test_what_a_burst_of_connections_had_is_given_back(server):
    """1,000 requests at once take 13 KiB each, most of which the C library would keep."""
    site = server("apps.hello:app")
    with site.connect() as first:
        first.get("/")
    before = site.status_kib("VmRSS")
    burst = [site.connect() for _ in range(1000)]
    for connection in burst:
        connection.ask("GET", "/")
    for connection in burst:
        assert connection.response().status == 200
    assert site.status_kib("VmRSS") > before + 1000 * 8
    soon(lambda: site.status_kib("VmRSS") < before + 1000 * 6, what=lambda: site.status_kib("VmRSS") - before)
    for connection in burst:
        assert connection.get("/").status == 200
        connection.close()


def test_a_thousand_unfinished_heads_hold_nobody_up(patient):
    began = [patient.connect() for _ in range(1000)]
    for connection in began:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
    assert served(patient)
    for connection in began[::97]:
        connection.send(b"b\r\n\r\n")
        assert connection.response().status == 200
    for connection in began:
        connection.close()
    assert served(patient)


def test_a_thousand_unfinished_bodies_hold_no_worker(patient):
    """One interpreter with one thread: it would be held by the first one."""
    began = [patient.connect() for _ in range(1000)]
    for connection in began:
        connection.send(post("Content-Length: 10") + b"abc")
    assert served(patient)
    for connection in began[::97]:
        connection.send(b"defghij")
        assert connection.response().status == 200
    for connection in began:
        connection.close()


def test_a_thousand_clients_that_break_off_leave_nothing_open(patient):
    assert served(patient)
    open_before = steady(lambda: len(patient._fds()))
    for number in range(1000):
        connection = patient.connect()
        connection.send(get()[: number % 30] or b"")
        connection.reset()
    assert served(patient)
    soon(lambda: len(patient._fds()) <= open_before, what="the descriptors to be given back")


@pytest.mark.parametrize("interpreters", [1, 4])
def test_ten_thousand_pipelined_requests_are_answered_in_order(server, interpreters):
    site = server("apps.echoing:app", "--interpreters", interpreters)
    with site.connect() as connection:
        data = b"".join(get(target=f"/{number}") for number in range(10_000))
        sender = threading.Thread(target=connection.send, args=(data,), daemon=True)
        sender.start()
        for number in range(10_000):
            assert connection.response().json()["environ"]["REQUEST_URI"] == f"/{number}"
        sender.join(OVER)
        assert served(site)


def test_two_thousand_requests_may_be_refused_one_after_the_other(site):
    mark = site.mark()
    for number in range(2000):
        with site.connect() as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n" if number % 2 else b"\x16\x03\x01")
            assert connection.response().status == 400
    assert served(site)
    assert "ERROR" not in site.log[mark:]


# Too much


def test_a_head_without_end_is_cut_off_at_its_limit(patient):
    with patient.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 6000)
        assert connection.response().status == 431

        def cut_off():
            try:
                connection.send(b"A: b\r\n" * 1000)
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        soon(cut_off, OVER, "the connection to be closed while the client sends")


@pytest.mark.parametrize("announced", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_is_refused_can_read_why(patient, announced):
    body = b"2faf080\r\n" if "chunked" in announced else b""
    with patient.connect() as connection:
        connection.send(post(announced) + body)
        sent = threading.Thread(target=send_until_closed, args=(connection, 50), daemon=True)
        sent.start()
        answer = connection.response()
        assert (answer.status, answer["Connection"]) == (413, "close")
        sent.join(OVER)
        assert not sent.is_alive()
    assert served(patient)


def send_until_closed(connection, megabytes):
    try:
        for _ in range(megabytes):
            connection.send(b"x" * 1_000_000)
    except OSError:
        pass


def test_chunks_of_one_byte_cost_no_more_than_their_bytes(server, gate):
    """Five million of them, while the application waits: each would be an allocation of its own."""
    site, held = server("apps.waiting:app"), gate()
    before = site.status_kib("VmRSS")
    with site.connect(timeout=1) as connection:
        connection.send(head(f"POST /wait?{held.query} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
        with pytest.raises(TimeoutError):
            connection.send(b"1\r\nx\r\n" * 5_000_000)
        held.wait()
        assert steady(lambda: site.status_kib("VmRSS")) < before + 8 * 1024
        held.open()
        connection.reset()


# Not HTTP


def test_a_tls_client_on_the_plain_port_is_told_at_once(site):
    context = ssl.create_default_context()
    with socket.create_connection(site.address[:2], OVER) as plain:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")
    assert served(site)


def test_random_bytes_never_reach_the_application_and_harm_nobody(server, tmp_path):
    site = server("apps.echoing:app", "--header-timeout", SHORT, env={"SEEN": str(tmp_path / "seen")})
    mark = site.mark()
    chance = random.Random(9112)
    clients = []
    for _ in range(300):
        clients.append(site.connect())
        try:
            clients[-1].send(chance.randbytes(chance.randrange(1, 2000)))
        except (BrokenPipeError, ConnectionResetError):
            pass
    for connection in clients:
        try:
            assert connection.response().status in (400, 408, 505)
        except Closed:
            pass
        assert connection.ended()
    assert served(site)
    assert (tmp_path / "seen").read_text() == "GET /other\n"
    assert "ERROR" not in site.log[mark:]


@pytest.mark.parametrize("changes", [1, 3])
def test_a_good_request_with_random_changes_is_answered_and_harms_nobody(site, changes):
    """Each is refused or served, and never left hanging: the client shuts its side."""
    good = post("Content-Type: a/b", "Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n") + get()
    chance = random.Random(changes)
    for _ in range(500):
        data = bytearray(good)
        for _ in range(changes):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(2)] = chance.randbytes(chance.randrange(3))
        with site.connect() as connection:
            connection.send(data)
            connection.half_close()
            statuses = []
            while not connection.ended():
                statuses.append(connection.response().status)
        assert statuses, data
        assert set(statuses) <= {200, 400, 413, 414, 417, 431, 501, 505}, (statuses, data)
    assert served(site)


# Leaving


def test_clients_that_break_off_within_their_answers_are_no_event(site):
    mark = site.mark()
    for size in (1000, 100_000, 10_000_000):
        for _ in range(20):
            connection = site.connect()
            connection.send(get(target=f"/reply/sized?is={size}"))
            connection.socket.recv(10)
            connection.reset()
    assert served(site)
    assert "ERROR" not in site.log[mark:]


def has_closed(server, connection):
    """Whether the server has shut its side, sent or not yet: the state of its end is not ESTABLISHED (01) any more."""
    ports = f":{server.address[1]:04X}", f":{connection.port:04X}"
    rows = [line.split() for line in Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]]
    states = [row[3] for row in rows if row[1].endswith(ports[0]) and row[2].endswith(ports[1])]
    return states != ["01"]


def test_a_line_end_behind_the_last_request_destroys_no_answer(site):
    """RFC 9112 sections 2.2 and 9.6: old clients send one behind a body, and what comes after a close makes a RST."""
    with site.connect() as connection:
        connection.send(get("Connection: close", target="/reply/sized?is=3000000"))
        soon(lambda: has_closed(site, connection), what="the server to close")
        connection.send(b"\r\n")
        assert len(connection.response().body) == 3_000_000
        assert connection.ended()


def test_clients_that_break_off_while_they_are_served_are_no_event(site):
    mark = site.mark()
    for _ in range(100):
        connection = site.connect()
        connection.send(get())
        connection.reset()
    assert served(site)
    assert "ERROR" not in site.log[mark:]
