"""Connections, RFC 9112: kept alive, pipelined, closed when said, and of HTTP/1.0 clients."""

import pytest
from support.wire import Closed, message


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.responding:app")


def test_a_connection_serves_many_requests(site):
    with site.connect() as connection:
        for n in range(50):
            assert len(connection.get(f"/sized?size={n * 100}").body) == n * 100
            assert connection.request("POST", "/written", chunks=[b"unread"]).text == "written before and returned"


def test_a_1_1_connection_stays_open_without_being_asked(site):
    with site.connect() as connection:
        answer = connection.get("/")
        assert (answer.version, answer["Connection"]) == ("HTTP/1.1", None)
        assert connection.get("/").status == 200


def test_pipelined_requests_are_answered_in_order(site):
    with site.connect() as connection:
        connection.send(b"".join(message("GET", f"/sized?size={n}") for n in range(40)))
        assert [len(connection.response().body) for _ in range(40)] == list(range(40))


def test_pipelined_requests_cut_anywhere_are_answered_in_order(site):
    data = message("POST", "/written", body=b"abc") + message("GET", "/generator") + message("GET", "/sized?size=7")
    for cut in range(1, len(data), 13):
        with site.connect() as connection:
            connection.send(data[:cut])
            connection.send(data[cut:])
            assert [connection.response().status for _ in range(3)] == [200, 201, 200]


def test_the_connection_is_closed_when_the_client_says_so(site):
    with site.connect() as connection:
        answer = connection.get("/", [("Connection", "close")])
        assert (answer.status, answer["Connection"]) == (200, "close")
        assert connection.ended()


def test_what_is_pipelined_after_close_is_not_answered(site):
    with site.connect() as connection:
        connection.send(message("GET", "/", [("Connection", "close")]) + message("GET", "/"))
        assert connection.response().status == 200
        assert connection.ended()


def test_the_connection_option_is_a_list_without_case(site):
    with site.connect() as connection:
        connection.get("/", [("Connection", "Foo, CLOSE")])
        assert connection.ended()


def test_a_1_0_client_gets_its_answer_and_the_end_of_the_connection(site):
    with site.connect() as connection:
        answer = connection.request("GET", "/sized?size=10", version="1.0")
        assert (answer.status, answer.body) == (200, b"x" * 10)
        assert connection.ended()


def test_a_1_0_client_may_keep_the_connection_when_the_length_is_known(site):
    with site.connect() as connection:
        for _ in range(3):
            answer = connection.request("GET", "/sized?size=10", [("Connection", "keep-alive")], version="1.0")
            assert (answer["Connection"], answer.body) == ("keep-alive", b"x" * 10)


@pytest.mark.parametrize("headers", [[], [("Connection", "keep-alive")]])
def test_a_1_0_client_never_gets_chunks(site, headers):
    with site.connect() as connection:
        answer = connection.request("GET", "/generator", headers, version="1.0")
        assert answer["Transfer-Encoding"] is None
        assert answer.text == "lazily made"
        assert answer["Content-Length"] is not None or answer["Connection"] != "keep-alive"


def test_head_is_answered_without_a_body_on_a_kept_connection(site):
    with site.connect() as connection:
        for _ in range(3):
            assert connection.request("HEAD", "/sized?size=1000")["Content-Length"] == "1000"
            assert connection.get("/sized?size=3").text == "xxx"


def test_expect_100_is_answered_before_the_body_is_sent(site):
    with site.connect() as connection:
        connection.send(message("POST", "/written", [("Expect", "100-continue"), ("Content-Length", "3")]))
        interim = connection._one_head()
        assert (interim.status, interim.headers) == (100, [])
        connection.send(b"abc")
        assert connection.response().status == 200
        assert connection.get("/").status == 200


def test_expect_100_with_the_body_already_sent_is_answered_once(site):
    with site.connect() as connection:
        connection.send(message("POST", "/written", [("Expect", "100-Continue")], body=b"abc"))
        assert connection.response().status == 200
        assert connection.get("/").interim == []


def test_expect_100_of_a_1_0_client_is_ignored(site):
    """RFC 9110 section 10.1.1."""
    with site.connect() as connection:
        connection.ask("POST", "/written", [("Expect", "100-continue")], body=b"abc", version="1.0")
        answer = connection.response()
        assert (answer.status, answer.interim) == (200, [])


def test_an_expectation_that_cannot_be_met_is_answered_417(site):
    assert site.get("/", [("Expect", "miracles")]).status == 417


def test_an_empty_line_before_a_request_is_skipped(site):
    """RFC 9112 section 2.2."""
    with site.connect() as connection:
        connection.send(b"\r\n" + message("GET", "/") + b"\r\n" + message("GET", "/"))
        assert [connection.response().status for _ in range(2)] == [200, 200]


def test_a_client_that_connects_and_leaves_is_no_event(site):
    mark = site.mark()
    for leave in ("close", "reset"):
        for data in (b"", b"GET", message("GET", "/")[:-2]):
            connection = site.connect()
            connection.send(data)
            getattr(connection, leave)()
    assert site.get("/").status == 200
    assert "ERROR" not in site.log[mark:]


def test_an_idle_connection_is_closed_after_the_keep_alive_time(server):
    site = server("apps.hello:app", "--keep-alive", "1")
    with site.connect() as connection:
        assert connection.get("/").status == 200
        assert connection.ended()


def test_a_client_that_sends_no_head_is_let_go_after_the_header_time(server):
    site = server("apps.hello:app", "--header-timeout", "1")
    for data in (b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:"):
        with site.connect() as connection:
            connection.send(data)
            try:
                assert connection.response().status == 408
            except Closed:
                pass


def test_a_connection_without_a_request_is_let_go_after_the_header_time(server):
    site = server("apps.hello:app", "--header-timeout", "1", "--keep-alive", "60")
    with site.connect() as connection:
        assert connection.ended() or connection.response().status == 408


def test_a_head_that_trickles_in_does_not_extend_its_time(server):
    """The limit is on the whole head: a byte now and then (slow loris) buys nothing."""
    site = server("apps.hello:app", "--header-timeout", "1")
    with site.connect(timeout=0.05) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for _ in range(200):  # 200 x 0.05 s: ten times the limit
            try:
                connection.send(b"x")
                if connection.ended():
                    return
                assert connection.response().status == 408
                return
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
        pytest.fail("the head was still awaited after 10 s, with --header-timeout 1")


def test_a_body_that_stops_coming_is_let_go_after_the_body_time(server):
    site = server("apps.counting_bytes:app", "--body-timeout", "1")
    for size in (100, 50_000_000):
        with site.connect() as connection:
            connection.send(message("POST", "/upload", [("Content-Length", str(size))]) + b"x" * 50)
            try:
                assert connection.response().status in (408, 500)
            except Closed:
                pass
    assert site.get("/state").status == 200
