"""Applications that keep, share and break things: the server answers the next request all the same."""

import random
import threading

import pytest
from support.isolation import EVERYWHERE, turns
from support.process import Server
from support.wire import Closed, Connection, Truncated, message


@pytest.fixture(params=turns())
def keeping(request, server):
    return server("apps.keeping:app", "--isolation", request.param)


@pytest.fixture(params=turns())
def hostile(request, server):
    return server("apps.hostile:app", "--isolation", request.param)


def test_what_is_kept_of_a_request_is_harmless_after_its_end(keeping):
    for body in (b"small", b"x" * 3_000_000):
        assert keeping.request("POST", "/keep", body=body).text == "kept"
        with keeping.connect() as connection:
            results = connection.request("POST", "/use", body=b"of the next request").json()
            assert "of the next" not in str(results)
            assert results["start_response"] == "AssertionError"
            # Neither the end of the body nor a taken block: a mistake, and told as one.
            assert results["read"] == results["readline"] == results["iterate"] == "ValueError"
            assert results["write"] == "ValueError"
            assert connection.get("/").json() == {"well": True}


@pytest.mark.parametrize(
    ("kept", "error"),
    [
        ("input", "ValueError"),
        ("hints", "ValueError"),
        ("start_response", "AssertionError"),
        ("write", "ValueError"),
    ],
)
def test_what_is_kept_stays_that_request_s_and_the_next_has_its_own(keeping, kept, error):
    with keeping.connect() as connection:
        for _ in range(3):
            assert connection.request("POST", f"/keep_one?{kept}", body=b"first").text == "kept"
            answer = connection.request("POST", f"/beside_one?{kept}", body=b"second")
            assert answer.interim == []
            assert answer.json() == {"is mine": False, "late": error, "body": "second"}
            assert connection.get("/").json() == {"well": True}


def test_what_is_kept_of_a_request_whose_client_left_is_harmless(keeping):
    for _ in range(3):
        with keeping.connect() as connection:
            connection.send(message("POST", "/keep", [("Content-Length", "5000000")]) + b"x" * 100)
        keeping.get("/")
        keeping.request("POST", "/use")
    assert keeping.get("/").json() == {"well": True}


def test_other_threads_of_the_application_may_read_and_respond(keeping):
    answer = keeping.request("POST", "/other_thread", body=b"abc")
    assert (answer.text, answer["X-Thread"]) == ("b'abc'", "other")


@pytest.mark.parametrize("size", [5_000, 3_000_000])
def test_two_threads_that_read_one_body_share_it(keeping, size):
    assert keeping.request("POST", "/two_readers", body=b"x" * size).json() == {"size": size, "x": size}


@pytest.mark.parametrize(
    ("path", "body"),
    [("next_in_thread", "one two"), ("start_in_close", "body")],
)
def test_unusual_orders_of_calls_work(keeping, path, body):
    assert keeping.get(f"/{path}").text == body
    assert keeping.get("/").json() == {"well": True}


def test_write_inside_the_iterable_which_pep_3333_forbids_breaks_nothing(keeping):
    with keeping.connect() as connection:
        assert connection.get("/write_in_generator").status == 200
        assert connection.get("/").json() == {"well": True}


def test_garbage_cycles_through_the_objects_of_a_request_are_collected(keeping):
    for _ in range(200):
        assert keeping.get("/self_reference").status == 200


def test_subclasses_of_str_are_strings(hostile):
    answer = hostile.get("/str_subclasses")
    assert (answer.status, answer.reason, answer["X-Sub"], answer.text) == (201, "Sub Class", "class", "ok")


def test_recursion_in_c_is_an_exception_and_not_the_end(hostile):
    assert hostile.get("/deep_in_c").json() == ["RecursionError", "RecursionError"]


@pytest.mark.isolation("own-gil", reason="elsewhere it is not refused")
def test_fork_is_refused_in_own_gil_interpreters(server):
    """CPython kills the child of a fork in, or beside, a sub-interpreter."""
    site = server("apps.hostile:app", "--isolation", "own-gil")
    assert site.get("/forks").json()["refused"]


# A worker process may take signals.
@pytest.mark.parametrize("hostile", turns("own-gil", "free-threaded", "main"), indirect=True)
def test_the_signals_stay_the_servers(hostile):
    """In the main interpreter this runs on a thread that is not the main one; else there are no signals at all."""
    assert hostile.get("/sets_signal_handlers").json()["refused"]
    assert hostile.stop() == 0


@pytest.mark.parametrize(
    "path",
    ["spawns", "collects", "runs_asyncio", "traces", "writes_odd_errors", "exits_thread", "warns_as_error"],
)
def test_what_applications_do_is_survived(hostile, path):
    for _ in range(3):
        assert hostile.get(f"/{path}").status == 200
    assert hostile.get("/").json() == {"well": True}
    assert hostile.stop() == 0


@pytest.mark.parametrize("path", ["breaks_stdio", "replaces_stdio", "breaks_traceback", "warns_as_error"])
def test_a_fault_is_still_answered_and_logged_after_the_application_broke_its_interpreter(hostile, path):
    assert hostile.get(f"/{path}").status == 200
    mark = hostile.mark()
    assert hostile.get("/raises").status == 500
    hostile.wait_for_log(r"\[ERROR\] interpreter 0: GET /raises", mark)
    hostile.wait_for_log(r"line \d+, in raises\b", mark)
    hostile.wait_for_log("raised on purpose", mark)
    assert hostile.get("/").json() == {"well": True}
    assert hostile.stop() == 0


def test_large_and_many_parts_of_an_answer_arrive(hostile):
    with hostile.connect() as connection:
        assert len(connection.get("/large_block").body) == 30_000_000
        assert (
            len([name for name, _ in connection.get("/many_headers").headers if name.lower().startswith("x-")]) == 500
        )
        assert connection.get("/many_blocks").body == b"x" * 100_000


class Guest(threading.Thread):
    """Does one thing after another, some of them rude, for a number of steps."""

    def __init__(self, site: Server, seed, steps):
        super().__init__(daemon=True)
        self.address, self.rng, self.steps, self.wrong = site.address, random.Random(seed), steps, None

    def run(self):
        try:
            for _ in range(self.steps):
                with Connection(self.address) as connection:
                    self.rng.choice([self.polite, self.post, self.leave, self.half, self.garbage, self.fault])(
                        connection
                    )
        except Exception as error:
            self.wrong = f"{type(error).__name__}: {error}"

    def polite(self, connection):
        for path, size in (("generated", 6), ("written", 7), ("plain", 8)) * self.rng.randint(1, 5):
            answer = connection.get(f"/{path}", [("X-One", "1")])
            assert len(answer.body) == size, (path, answer.body)

    def post(self, connection):
        body = b"x" * self.rng.choice([0, 1, 1000, 70_000, 700_000])
        framing = {"chunks": [body]} if self.rng.random() < 0.5 else {"body": body}
        assert connection.request("POST", "/body", **framing).body == body

    def leave(self, connection):
        connection.ask("GET", f"/{self.rng.choice(['generated', 'wrapped_file', 'raises'])}", [("X-One", "1")])
        self.rng.choice([connection.close, connection.reset])()

    def half(self, connection):
        data = message("POST", "/body", [("Content-Length", "100000")]) + b"x" * 50_000
        connection.send(data[: self.rng.randint(1, len(data))])

    def garbage(self, connection):
        connection.send(self.rng.randbytes(self.rng.randint(1, 300)) + b"\r\n\r\n")
        try:
            connection.rest()
        except (Closed, Truncated):
            pass

    def fault(self, connection):
        assert connection.get("/raises").status == 500


@EVERYWHERE
def test_a_crowd_of_polite_and_rude_clients_is_served_and_leaves_nothing(server):
    short = ["--keep-alive", "5", "--header-timeout", "2", "--body-timeout", "2"]
    site = server("apps.references:app", "--interpreters", "3", "--threads", "2", *short)
    guests = [Guest(site, seed, 40) for seed in range(8)]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join(60)
    assert [guest.wrong for guest in guests if guest.wrong] == []
    assert not any(guest.is_alive() for guest in guests)
    assert site.get("/plain").status == 200
    assert site.stop() == 0
