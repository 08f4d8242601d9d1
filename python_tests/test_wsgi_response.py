"""start_response, write() and the iterable, as PEP 3333 lets an application use them."""

import pytest
from support.wire import Truncated


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.responding:app")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("written", b"written before and returned"),
        ("write_only", b"all written"),
        ("generator_empty_first", b"after nothing"),
        ("generator_of_nothing", b""),
        ("nothing", b""),
        ("tuple_of_two", b"one two"),
        ("keyword_free", b"none"),
    ],
)
def test_the_body_is_what_was_written_and_then_returned(site, path, body):
    answer = site.get(f"/{path}")
    assert (answer.status, answer.body) == (200, body)


def test_a_generator_may_call_start_response_at_its_first_next(site):
    answer = site.get("/generator")
    assert (answer.status, answer.reason, answer["X-Lazy"], answer.text) == (201, "Created", "yes", "lazily made")


def test_the_head_of_an_answer_without_a_body_is_sent(site):
    assert site.get("/nothing")["X-Nothing"] == "yes"
    assert site.get("/generator_of_nothing")["X-Nothing"] == "yes"


@pytest.mark.parametrize("path", ["yield_shown", "write_shown"])
def test_a_block_is_with_the_client_before_the_application_goes_on(site, gate, path):
    """PEP 3333 "Buffering and Streaming"."""
    here = gate()
    with site.connect() as connection:
        connection.ask("GET", f"/{path}?{here.query}")
        answer = connection.head()
        assert answer["Transfer-Encoding"] == "chunked"
        assert connection.chunk() == b"first"
        here.open()
        connection.read_body(answer)
        assert answer.body == b"second"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("200%20OK", 200, "OK"),
        ("299%20Quite%20Something%20Else", 299, "Quite Something Else"),
        ("404%20Nicht%20Da", 404, "Nicht Da"),
        ("418%20I%27m%20a%20teapot", 418, "I'm a teapot"),
        ("599%20x", 599, "x"),
        ("200%20caf%C3%A9", 200, "caf\u00e9"),
    ],
)
def test_status_and_reason_phrase_are_kept(site, status, code, reason):
    answer = site.get(f"/status?status={status}")
    assert (answer.status, answer.reason, answer.body) == (code, reason, b"ok")


def test_header_order_repetition_and_latin_1_are_kept(site):
    answer = site.get("/headers", [("X-Latin", "\u00fc in a request")])
    assert answer.all("Set-Cookie") == ["b=2; Path=/", "a=1; Path=/"]
    assert answer["X-Latin"] == "caf\u00e9 \u00ff"
    assert answer["X-Empty"] == ""
    assert answer["X-Echo"] == "\u00fc in a request"
    assert answer["Content-Type"] == "text/plain; charset=latin-1"


def test_the_server_adds_one_date(site):
    assert len(site.get("/").all("Date")) == 1


def test_the_applications_own_date_and_server_stand(site):
    answer = site.get("/own_date")
    assert answer.all("Date") == ["Mon, 01 Jan 2024 00:00:00 GMT"]
    assert answer.all("Server") == ["mine/1.0"]


def test_headers_count_as_they_were_when_given(site):
    answer = site.get("/own_headers_later")
    assert (answer["X-Given"], answer["X-Later"]) == ("yes", None)


@pytest.mark.parametrize("size", [0, 1, 999, 100_000])
def test_a_declared_content_length_is_sent_and_kept(site, size):
    answer = site.get(f"/sized?size={size}")
    assert answer.all("Content-Length") == [str(size)]
    assert answer.all("Transfer-Encoding") == []
    assert answer.body == b"x" * size


@pytest.mark.parametrize("path", ["replaced", "replaced_after_empty"])
def test_exc_info_replaces_a_head_that_is_not_out(site, path):
    answer = site.get(f"/{path}")
    assert (answer.status, answer.body) == (503 if path == "replaced" else 500, b"second thoughts")
    assert (answer["X-First"], answer["X-Second"]) == (None, "yes")


def test_exc_info_after_the_head_is_raised_again_and_the_answer_does_not_end_cleanly(site):
    mark = site.mark()
    with site.connect() as connection:
        connection.ask("GET", "/replaced_too_late")
        with pytest.raises(Truncated):
            connection.response()
    site.wait_for_log("ValueError: too late to replace", mark)


def test_a_second_start_response_without_exc_info_is_refused(site):
    answer = site.get("/started_twice")
    assert answer.text.startswith("refused")
    assert (answer.status, answer["X-First"], answer["X-Second"]) == (200, "yes", None)


@pytest.mark.parametrize("status", ["204%20No%20Content", "304%20Not%20Modified"])
def test_a_status_without_a_body_has_none_on_the_wire(site, status):
    with site.connect() as connection:
        answer = connection.get(f"/bodiless?status={status}")
        assert (answer["X-Bodiless"], answer.all("Transfer-Encoding")) == ("yes", [])
        assert status[:3] != "204" or answer.all("Content-Length") == []
        assert connection.get("/write_only").text == "all written"


def test_a_304_keeps_the_length_that_it_says(site):
    with site.connect() as connection:
        answer = connection.get("/not_modified_sized")
        assert (answer.status, answer["ETag"]) == (304, '"x"')
        assert answer["Content-Length"] in ("1234", None)
        assert connection.get("/write_only").text == "all written"


@pytest.mark.parametrize(
    "path", ["/written", "/generator", "/sized?size=5000", "/nothing", "/bodiless?status=200%20OK"]
)
def test_head_has_the_head_of_get_and_no_body(site, path):
    with site.connect() as connection:
        get, head = connection.get(path), connection.request("HEAD", path)
        assert head.status == get.status
        assert head.body == b""
        # A stream that has ended by the time it is looked at gets a length, else chunks: two answers may differ in
        # that, but a length that is sent is that of GET's body (RFC 9110 section 8.6).
        assert head.all("Content-Length") in ([], [str(len(get.body))])
        assert connection.get("/write_only").text == "all written"


def test_head_keeps_the_length_that_the_application_says(site):
    assert site.request("HEAD", "/sized?size=5000")["Content-Length"] == "5000"
