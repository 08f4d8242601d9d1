"""--timeout: the client is answered, the application interrupted, and what does not come back is replaced.

Where a test needs time to pass, it lets the server be the clock: a request that spins is answered 504 no sooner
than the timeout.
"""

import pytest
from support.isolation import EVERYWHERE, FREE_THREADED_BUILD, SEVERAL
from support.waiting import soon
from support.wire import Truncated

#: A thread that does not come back is left where it is; elsewhere it goes with its process.
SAME_PROCESS = "a worker process that does not come back is killed"


@pytest.fixture
def site(server):
    return server("apps.overdue:app", "--timeout", "0.3")


def told(site):
    return site.get("/told").json()


def pass_time(site):
    """Let the timeout pass."""
    assert site.get("/spin").status == 504


def test_the_application_learns_its_limit(server, site):
    assert site.get("/limit").json() == 0.3
    assert server("apps.overdue:app").get("/limit").json() is None


# Interrupted


@EVERYWHERE
@pytest.mark.parametrize("path", ["spin", "retry"])
def test_a_loop_is_ended_and_its_thread_serves_on(server, path):
    site = server("apps.overdue:app", "--timeout", "0.3")
    for _ in range(3):
        assert site.get(f"/{path}").status == 504
    soon(lambda: told(site)["raised"] == ["RequestTimeout"] * 3)
    assert site.log.count(f"[ERROR] interpreter 0: GET /{path}: took longer than --timeout 0.3 s: answered 504\n") == 3
    assert "does not come back" not in site.log


@pytest.mark.skipif(FREE_THREADED_BUILD, reason="a thread that runs on meanwhile cannot be looked at")
@EVERYWHERE
def test_the_log_has_the_stack(site):
    assert site.get("/spin?x=1").status == 504
    site.wait_for_log(
        r"\[ERROR\] interpreter 0: GET /spin\?x=1: interrupted here:\n"
        r"Stack \(most recent call last\):\n(?:  .*\n)+?  File .*overdue\.py\", line \d+, in spin\n"
    )


def test_the_log_has_where_the_exception_arrived(site):
    assert site.get("/spin").status == 504
    site.wait_for_log(
        r"\[INFO\] interpreter 0: GET /spin: application raised after its --timeout\n"
        r"Traceback(?:.*\n)+?.*, in spin\n(?:.*\n)+?chaussette\.RequestTimeout: the request took longer than --timeout"
    )


def test_a_late_answer_is_dropped_and_the_connection_lives_on(site):
    with site.connect() as connection:
        assert connection.get("/swallow").status == 504
        answer = connection.get("/told")
        assert (answer.status, answer.json()["finished"]) == (200, ["swallow"])
        assert answer.json()["raised"] == ["the request took longer than --timeout"]


def test_an_application_that_goes_on_finds_that_nobody_reads(site):
    with site.connect() as connection:
        connection.send(b"POST /swallow_and_read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000)
        assert connection.head().status == 504
        said = "the request took longer than --timeout and was answered already"
        soon(lambda: len(told(site)["finished"]) == 2)
    assert told(site)["finished"] == [said, said]


def test_what_fails_while_it_cleans_up_is_told(site):
    assert site.get("/fail_in_finally").status == 504
    site.wait_for_log(r"LookupError: while it cleaned up")


@pytest.mark.parametrize("path", ["endless_generator", "endless_write", "stalls"])
def test_a_response_that_has_begun_is_aborted(site, path):
    with site.connect() as connection, pytest.raises(Truncated):
        connection.get(f"/{path}")
    site.wait_for_log(rf"GET /{path}: took longer than --timeout 0.3 s: its connection is aborted")
    assert site.get("/limit").status == 200
    assert "does not come back" not in site.log


def test_a_close_that_does_not_end_is_interrupted_after_its_response(site):
    assert site.get("/close").text == "done"
    site.wait_for_log(r"GET /close: took longer than --timeout 0.3 s: its response was complete")
    soon(lambda: told(site)["raised"] == ["RequestTimeout"])


@pytest.mark.parametrize("threads", ["1", "2"])
def test_what_ends_at_the_last_moment_is_answered_in_one_way_and_hits_no_other_request(server, threads):
    site = server("apps.overdue:app", "--timeout", "0.05", "--interpreters", "2", "--threads", threads)
    seen = set()
    with site.connect() as one, site.connect() as other:
        for number in range(150):
            for connection in (one, other):
                connection.ask("GET", f"/brink?s={0.045 + number % 20 / 2000}")
            seen |= {connection.response().status for connection in (one, other)}
            answers = [connection.get("/where") for connection in (one, other)]
            assert {answer.status for answer in answers} == {200}, site.log
    assert seen == {200, 504}
    assert "application raised\n" not in site.log
    assert "exception" not in site.log.lower().replace("exceptions", "")
    # What came too late is over, and holds up no end.
    assert site.stop() == 0
    assert "have not ended in time" not in site.log


# Time that is the client's


def test_a_client_that_takes_its_time_to_read_is_not_the_applications_fault(server):
    site = server("apps.overdue:app", "--timeout", "0.3", "--interpreters", "2")
    with site.connect() as connection:
        connection.ask("GET", "/download")
        connection.head()
        for _ in range(3):
            pass_time(site)
        assert len(connection.exactly(40_000_000)) == 40_000_000
    assert "GET /download" not in site.log


def test_a_client_that_takes_its_time_to_send_is_not_the_applications_fault(server):
    site = server("apps.overdue:app", "--timeout", "0.3", "--interpreters", "2")
    with site.connect() as connection:
        connection.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000)
        for _ in range(3):
            pass_time(site)
        connection.send(b"x" * 30000)
        assert connection.response().json() == {"size": 100000}
    assert "POST /read" not in site.log


def test_a_silent_client_has_a_limit_of_its_own(server):
    site = server("apps.overdue:app", "--timeout", "0.3", "--body-timeout", "1")
    with site.connect() as connection:
        connection.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000)
        assert connection.response().status == 408
    assert told(site)["raised"] == ["OSError"]


# Stuck


@pytest.mark.isolation("own-gil", reason=SAME_PROCESS)
@pytest.mark.parametrize("path", ["wait", "hold"])
def test_an_interpreter_that_does_not_come_back_is_replaced_and_one_that_does_is_ended(server, gate, path):
    here = gate()
    site = server("apps.overdue:app", "--timeout", "0.3", "--timeout-grace", "0.2", "--max-stuck", "5")
    with site.connect() as connection:
        connection.ask("GET", f"/{path}?{here.query}")
        here.wait()
        assert connection.response().status == 504
    why = "" if path == "wait" else ", and keeps the GIL: where it is cannot be told"
    site.wait_for_log(rf"\[ERROR\] interpreter 0: GET /{path}\?.*: does not come back{why}$")
    assert site.get("/told").json() == {"raised": [], "finished": []}
    here.open()
    site.wait_for_log(rf"\[INFO\] interpreter 0: GET /{path}\?.*: its thread has come back")
    assert site.stop() == 0


@pytest.mark.isolation("own-gil", reason=SAME_PROCESS)
@pytest.mark.parametrize("path", ["sleep", "deadlock"])
def test_what_never_comes_back_is_replaced_and_told_at_the_end(server, path):
    site = server(
        *("apps.overdue:app", "--timeout", "0.3", "--timeout-grace", "0.2", "--max-stuck", "5"),
        *("--interpreters", "2", "--graceful-timeout", "2"),
    ).expect(70)
    for _ in range(3):
        assert site.get(f"/{path}").status == 504
    soon(lambda: site.log.count(": does not come back") == 3)
    seen = set()
    soon(lambda: seen.add(site.get("/where").json()) or len(seen) == 2)
    assert site.stop(deadline=15) == 70


@pytest.mark.isolation("own-gil", "free-threaded", "main", each=True, reason=SAME_PROCESS)
def test_another_thread_takes_the_place_of_one_that_is_stuck(server, gate):
    stuck, one, other = gate(), gate(), gate()
    site = server("apps.overdue:app", "--timeout", "5", "--timeout-grace", "0.2", "--threads", "2", "--max-stuck", "5")
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{stuck.query}")
        stuck.wait()
        assert connection.response().status == 504
    site.wait_for_log(r"\[WARNING\] interpreter 0: another thread takes its place")
    with site.connect() as first, site.connect() as second:
        first.ask("GET", f"/wait?{one.query}")
        second.ask("GET", f"/wait?{other.query}")
        one.wait()
        other.wait()
        one.open()
        other.open()
        assert {first.response().status, second.response().status} == {200}
    stuck.open()
    site.wait_for_log("its thread has come back")
    assert told(site)["raised"] == ["RequestTimeout"]
    assert site.stop() == 0


@SEVERAL
def test_siblings_serve_on_meanwhile(server, gate):
    here = gate()
    site = server("apps.overdue:app", "--timeout", "0.3", "--interpreters", "2", "--max-stuck", "5")
    with site.connect() as connection:
        connection.ask("GET", f"/hold?{here.query}")
        here.wait()
        # The other one; which one holds is not said.
        assert len({site.get("/where").json() for _ in range(200)}) == 1
        assert connection.response().status == 504
        here.open()


@pytest.mark.isolation("own-gil", reason=SAME_PROCESS)
def test_too_many_that_are_stuck_end_the_process_with_status_70(server):
    site = server(
        *("apps.overdue:app", "--timeout", "0.3", "--timeout-grace", "0.1", "--interpreters", "3"),
        *("--max-stuck", "1", "--graceful-timeout", "3"),
    ).expect(70)
    with site.connect() as first, site.connect() as second:
        for connection in (first, second):
            connection.ask("GET", "/sleep")
        assert {first.response().status, second.response().status} == {504}
    site.wait_for_log(r"\[ERROR\] 2 interpreters are stuck in the application's code: the process must end")
    assert site.wait(deadline=15) == 70


@pytest.mark.isolation("free-threaded", "main", each=True, reason="elsewhere another one takes its place")
def test_one_thread_in_one_interpreter_that_is_stuck_ends_the_process(server):
    site = server(
        *("apps.overdue:app", "--timeout", "0.3", "--timeout-grace", "0.1"),
        *("--graceful-timeout", "2"),
    ).expect(70)
    assert site.get("/sleep").status == 504
    site.wait_for_log(r"interpreter 0: nothing can take its place")
    assert site.wait(deadline=15) == 70


# In the queue


def test_a_request_that_waits_too_long_for_a_worker_is_sent_away(server, gate):
    here = gate()
    site = server("apps.waiting:app", "--queue-timeout", "0.2", "--interpreters", "1")
    with site.connect() as first, site.connect() as second:
        first.ask("GET", f"/wait?{here.query}")
        here.wait()
        answer = second.get("/mark/late")
        assert (answer.status, answer["Retry-After"]) == (503, "1")
        site.wait_for_log(r"\[WARNING\] 1 waited for a free worker longer than --queue-timeout 0.2 s: answered 503")
        here.open()
        assert first.response().status == 200
        assert second.get("/list_seen").json() == ["/wait"]


# Frameworks


def test_flask_tears_down_and_calls_no_handler_of_exceptions(server):
    site = server("apps.overdue_flask:app", "--timeout", "0.3")
    assert site.get("/spin").status == 504
    soon(lambda: site.get("/seen").json()[:1] == [["open", "RequestTimeout"]])
    assert "error handler" not in site.get("/seen").json()


def test_django_rolls_back_and_serves_on(server):
    site = server("apps.overdue_django:app", "--timeout", "1")
    assert site.get("/create").status == 200
    assert site.get("/spin").status == 504
    site.wait_for_log("GET /spin: application raised after its --timeout")
    answer = site.get("/rows").json()
    assert (answer["rows"], answer["in_atomic_block"]) == (0, True)
    # One for each of the other requests: what closes a response never came to be.
    assert answer["seen"] == ["request_finished"]
