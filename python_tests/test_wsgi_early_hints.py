"""`wsgi.early_hints`: 103 (RFC 8297) ahead of the response, and never instead of it."""

import pytest
from apps.hinting import SCRIPT, STYLE


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.hinting:app").expect(0)


def test_hints_arrive_in_order_before_the_response(site):
    with site.connect() as connection:
        for _ in range(2):
            answer = connection.get("/twice")
            assert [(one.status, one.reason) for one in answer.interim] == [(103, "Early Hints")] * 2
            assert [one.headers for one in answer.interim] == [[STYLE], [SCRIPT, ("X-More", "1")]]
            assert (answer.status, answer.text) == (200, "[None, None]")


def test_an_empty_hint_is_none(site):
    answer = site.get("/nothing")
    assert (answer.interim, answer.text) == ([], "None")


def test_a_hint_may_come_after_start_response(site):
    answer = site.get("/after_start_response")
    assert ([one.headers for one in answer.interim], answer.text) == ([[STYLE]], "late")


def test_a_hint_after_the_head_is_refused_and_the_answer_goes_on(site):
    answer = site.get("/late")
    assert answer.interim == []
    assert answer.text == "begun, wsgi.early_hints was called after the head of its response was sent"


def test_a_client_of_http_1_0_gets_no_hint(site):
    answer = site.request("GET", "/twice", version="1.0")
    assert (answer.interim, answer.text) == ([], "[None, None]")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/no_list", "TypeError: wsgi.early_hints takes one list of (str, str) tuples, not "),
        ("/no_strings", "TypeError: a header name must be a str, not "),
        ("/injected", "ValueError: header value holds control characters"),
        ("/framed", "ValueError: a hint has no Content-Length and no Connection header"),
        ("/hop_by_hop", "ValueError: hop-by-hop header is the server's to send"),
        ("/endless", "ValueError: a response has 65536 bytes of hints at most"),
    ],
)
def test_a_wrong_hint_raises_in_the_application(site, path, error):
    answer = site.get(path)
    assert answer.status == 200
    assert answer.text.startswith(error)


def test_an_application_that_fails_after_its_hint_still_answers_500(site):
    answer = site.get("/raising")
    assert ([one.status for one in answer.interim], answer.status) == ([103], 500)
