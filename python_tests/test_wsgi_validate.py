"""wsgiref.validate between the server and applications that obey: it must have nothing to object to."""

import pytest


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.validated:app", "--interpreters", "2")


@pytest.fixture(autouse=True)
def nothing_objected(site):
    mark = site.mark()
    yield
    assert "AssertionError" not in site.log[mark:]
    assert "WSGIWarning" not in site.log[mark:]


@pytest.mark.parametrize(
    ("path", "body"), [("get", b"validated"), ("generated", b"one two three"), ("written", b"written")]
)
def test_answers_pass(site, path, body):
    answer = site.get(f"/{path}?q=1")
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("framing", [{"body": b"one\ntwo\nthree"}, {"chunks": [b"one\nt", b"wo\nthree"]}, {}])
@pytest.mark.parametrize("path", ["echo", "lines"])
def test_reading_passes(site, path, framing):
    answer = site.request("POST", f"/{path}", **framing)
    assert (answer.status, answer.body) == (200, b"one\ntwo\nthree" if framing else b"")


def test_head_passes(site):
    assert site.request("HEAD", "/get").status == 200


def test_no_content_passes(site):
    assert site.get("/no_content").status == 204


def test_what_is_written_to_wsgi_errors_reaches_the_process(site):
    mark = site.mark()
    site.request("POST", "/lines", body=b"x")
    site.wait_for_log("validated\nby lines\n", mark)
