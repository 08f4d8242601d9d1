"""The end: what was begun is answered, nothing new is, and the process leaves in time with the right status."""

import time
from signal import SIGINT, SIGQUIT, SIGTERM, SIGUSR2

import pytest
from support.isolation import EVERYWHERE, REPLACEABLE, SEVERAL
from support.waiting import soon
from support.wire import Closed, Connection


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGQUIT])
@EVERYWHERE
def test_an_idle_server_ends_at_once_with_status_0(server, number):
    site = server("apps.hello:app", "--interpreters", "2")
    site.get()
    began = time.monotonic()
    assert site.stop(number) == 0
    assert time.monotonic() - began < 5


def test_a_server_that_has_served_nothing_ends_at_once(server):
    assert server("apps.hello:app", "--interpreters", "4").stop(deadline=5) == 0


def test_a_request_in_flight_is_answered_before_the_end(server, gate):
    here = gate()
    site = server("apps.waiting:app")
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(SIGTERM)
        site.wait_for_log(r"\[INFO\] stopping")
        here.open()
        answer = connection.response()
        assert (answer.status, answer["Connection"]) == (200, "close")
        assert connection.ended()
    assert site.wait() == 0


def test_a_large_answer_in_flight_is_sent_whole(server, gate):
    here = gate()
    site = server("apps.waiting:app")
    with site.connect() as connection:
        connection.ask("GET", f"/long?{here.query}&size=20000000")
        here.wait()
        site.signal(SIGTERM)
        site.wait_for_log("stopping")
        here.open()
        assert len(connection.response().body) == 20_000_000
    assert site.wait() == 0


def test_a_body_that_is_still_arriving_is_read_to_its_end(server):
    site = server("apps.counting_bytes:app")
    with site.connect() as connection:
        connection.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
        site.signal(SIGTERM)
        site.wait_for_log("stopping")
        connection.send(b"x" * 1_000_000)
        assert connection.response().json()["size"] == 2_000_000
    assert site.wait() == 0


def test_requests_that_wait_in_the_queue_are_answered_too(server, gate):
    here = gate()
    site = server("apps.waiting:app", "--interpreters", "1", "--threads", "1")
    with site.connect() as first:
        first.ask("GET", f"/wait?{here.query}")
        here.wait()
        others = [site.connect() for _ in range(5)]
        for n, other in enumerate(others):
            other.ask("GET", f"/mark/{n}")
            port = other.port
            soon(lambda port=port: site.has_connection_from(port), what="the request to be taken")
        site.signal(SIGTERM)
        site.wait_for_log("stopping")
        here.open()
        assert first.response().status == 200
        for other in others:
            assert other.response().status in (200, 503)
    assert site.wait() == 0


def test_idle_connections_are_closed_and_not_waited_for(server):
    site = server("apps.hello:app")
    connections = [site.connect() for _ in range(10)]
    for connection in connections[:5]:
        assert connection.get("/").status == 200
    began = time.monotonic()
    site.signal(SIGTERM)
    for connection in connections:
        assert connection.ended()
    assert site.wait() == 0
    assert time.monotonic() - began < 5


def test_nothing_new_is_accepted_and_the_next_server_gets_it(server, gate):
    """The socket is the manager's: what comes after the signal waits in its queue for the next process."""
    here = gate()
    first = server("apps.waiting:app")
    with first.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        first.signal(SIGTERM)
        first.wait_for_log("stopping")
        with Connection(first.address) as later:
            later.ask("GET", "/")
            second = server("apps.hello:app", listen=first.listener)
            assert later.response().text == "hello from 0\n"
            here.open()
            assert connection.response().status == 200
        assert first.wait() == 0
        assert second.stop() == 0


def with_a_stuck_thread(isolation):
    """The exit status while a thread is still in the application: a process is killed."""
    return 0 if isolation == "process" else 70


@pytest.mark.parametrize("numbers", [(SIGTERM, SIGTERM), (SIGINT, SIGTERM), (SIGTERM, SIGQUIT), (SIGQUIT,)])
def test_a_second_signal_or_quit_does_not_wait_for_requests(server, gate, numbers, isolation):
    here = gate()
    site = server("apps.waiting:app").expect(0, 70)
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        began = time.monotonic()
        for n, number in enumerate(numbers):
            site.signal(number)
            if n == 0 and len(numbers) > 1:
                site.wait_for_log("stopping")
        assert site.wait(deadline=10) == with_a_stuck_thread(isolation)
        assert time.monotonic() - began < 5


@EVERYWHERE
def test_a_stuck_request_does_not_outlive_the_graceful_timeout(server, gate, isolation):
    here = gate()
    site = server("apps.waiting:app", "--graceful-timeout", "2").expect(0, 70)
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        began = time.monotonic()
        assert site.stop(deadline=15) == with_a_stuck_thread(isolation)
        assert time.monotonic() - began < 5
        with pytest.raises((Closed, ConnectionResetError)):
            connection.response()


@SEVERAL
def test_a_stuck_interpreter_does_not_keep_the_others_from_ending_in_order(server, gate, isolation):
    here = gate()
    site = server("apps.waiting:app", "--graceful-timeout", "2", "--interpreters", "3").expect(0, 70)
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        assert site.get("/list_seen").status == 200
        assert site.stop(deadline=15) == with_a_stuck_thread(isolation)


def test_a_client_that_does_not_read_does_not_hold_up_the_end(server):
    site = server("apps.producing:app", "--graceful-timeout", "2").expect(0, 70)
    with site.connect() as connection:
        connection.ask("GET", "/download?pieces=3000")
        connection.head()
        began = time.monotonic()
        assert site.stop(deadline=15) in (0, 70)
        assert time.monotonic() - began < 6


# What the application has started


@EVERYWHERE
def test_atexit_handlers_run_and_what_was_printed_is_flushed(server, isolation):
    count = 2 if isolation in REPLACEABLE.args else 1
    site = server("apps.ending:app", "--interpreters", str(count))
    seen = set()
    with site.connect() as connection:
        while len(seen) < count:
            seen.add(connection.get("/").json()["interpreter"])
    assert site.stop() == 0
    for number in seen:
        assert f"hello from {number}\n" in site.out
        assert site.out.count(f"goodbye from {number}\n") == 1


@pytest.mark.parametrize("path", ["daemon", "daemon_busy", "daemon_printing"])
@EVERYWHERE
def test_a_daemon_thread_that_is_alive_at_the_end_never_aborts_the_process(server, path):
    site = server("apps.threads_left:app", "--interpreters", "2")
    for _ in range(4):
        assert site.get(f"/{path}").status == 200
    began = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - began < 15
    assert "printed, and not flushed by the application\n" in site.out


@EVERYWHERE
def test_a_thread_that_never_ends_does_not_outlive_the_graceful_timeout(server):
    """CPython would join a thread that is not daemonic, for ever."""
    site = server("apps.threads_left:app", "--graceful-timeout", "2").expect(0, 70)
    assert site.get("/endless").status == 200
    began = time.monotonic()
    assert site.stop(deadline=15) in (0, 70)
    assert time.monotonic() - began < 6
    assert "printed, and not flushed by the application\n" in site.out


@EVERYWHERE
def test_a_thread_that_is_about_to_end_is_waited_for(server):
    """As in a Python program: threads that are not daemonic are joined at the end."""
    site = server("apps.threads_left:app")
    assert site.get("/timer").status == 200
    assert site.stop() == 0
    assert "the timer has fired\n" in site.out


@EVERYWHERE
def test_an_idle_thread_pool_does_not_hold_up_the_end(server):
    site = server("apps.threads_left:app", "--interpreters", "2")
    assert site.get("/pooled").json() == {"result": 3}
    began = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - began < 5


# Other signals, and ends of other kinds


def test_a_signal_that_has_no_meaning_yet_is_told_and_does_not_end_the_server(server):
    site = server("apps.hello:app")
    mark = site.mark()
    site.signal(SIGUSR2)
    site.wait_for_log(r"\[WARNING\] SIGUSR2 has no effect: ignored", mark)
    assert site.get().status == 200


def test_a_client_that_leaves_sends_no_sigpipe_to_the_process(server):
    site = server("apps.producing:app")
    for _ in range(5):
        with site.connect() as connection:
            connection.ask("GET", "/download?pieces=200")
            connection.head()
            connection.reset()
    assert site.get("/state").status == 200


def test_an_interrupted_start_leaves_no_process(server):
    """The signal comes at any point of a start; twenty of them."""
    for n in range(20):
        site = server("apps.hello:app", "--interpreters", "2", wait=False).expect(0, -SIGTERM, 70)
        soon(lambda site=site, n=n: time.monotonic() - site.started > n * 0.01)
        assert site.stop(deadline=15) in (0, -SIGTERM)
