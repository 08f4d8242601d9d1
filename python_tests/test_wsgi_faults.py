"""What an application does wrong: a 500 or a broken answer for the client, a line in the log, and all goes on."""

import re

import pytest
from apps import lengths, misbehaving
from support.wire import Closed, Truncated


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.misbehaving:app")


def logged(site, mark, path):
    """Wait for the error line of `path`; returns the log from there."""
    site.wait_for_log(rf"\[ERROR\] (interpreter 0: )?GET /{path}\b", mark, deadline=5)
    return site.log[mark:]


@pytest.mark.parametrize("path", [function.__name__ for function in misbehaving.ANSWERED_500])
def test_a_fault_before_the_head_is_answered_500_and_logged(site, path):
    mark = site.mark()
    with site.connect() as connection:
        connection.ask("GET", f"/{path}?secret=1")
        answer = connection.response()
    assert answer.status == 500
    assert "injected" not in str(answer.headers).lower()
    assert b"Traceback" not in answer.body
    logged(site, mark, path)
    assert site.get("/").json() == {"well": True}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("raises", "ValueError: raised on purpose"),
        ("raises_base", "SystemExit: 3"),
        ("raises_interrupt", "KeyboardInterrupt"),
        ("raises_group", "KeyError: 'two'"),
        ("recurses", "RecursionError"),
        ("raises_before_first_block", "ValueError: raised before the first block"),
    ],
)
def test_the_traceback_names_the_interpreter_the_request_and_the_line_of_the_application(site, path, message):
    mark = site.mark()
    assert site.get(f"/{path}").status == 500
    log = logged(site, mark, path)
    site.wait_for_log(re.escape(message), mark)
    assert re.search(rf"^\S+ \S+ \[\d+\] \[ERROR\] interpreter 0: GET /{path}: application raised", log, re.MULTILINE)
    assert "Traceback (most recent call last)" in site.log[mark:]
    assert re.search(rf'File ".*misbehaving\.py", line \d+, in {path}', site.log[mark:])


@pytest.mark.parametrize("path", [function.__name__ for function in misbehaving.ABORTED])
def test_a_fault_after_the_head_breaks_the_answer_instead_of_ending_it(site, path):
    mark = site.mark()
    with site.connect() as connection:
        connection.ask("GET", f"/{path}")
        answer = connection.head()
        assert answer.status == 200
        with pytest.raises(Truncated):
            connection.read_body(answer)
    logged(site, mark, path)
    assert site.get("/").json() == {"well": True}


def test_a_fault_after_the_head_for_a_1_0_client_is_no_clean_end_either(site):
    """Without chunks only a RST, or a missing end of a said length, tells: here the length is said."""
    with site.connect() as connection:
        connection.ask("GET", "/raises_after_sized_head", version="1.0")
        with pytest.raises(Truncated):
            connection.response()


def test_a_fault_in_close_is_logged_and_leaves_the_answer_whole(site):
    mark = site.mark()
    assert site.get("/raises_in_close").text == "whole"
    site.wait_for_log("ValueError: raised in close", mark)
    logged(site, mark, "raises_in_close")


def test_the_connection_is_usable_after_a_500(site):
    with site.connect() as connection:
        for _ in range(3):
            assert connection.get("/raises").status == 500
            assert connection.get("/").json() == {"well": True}


@pytest.fixture(scope="module")
def measured(module_server):
    return module_server("apps.lengths:app")


def names(prefix):
    return [name for name in vars(lengths) if name.startswith(prefix)]


@pytest.mark.parametrize("path", names("too_long"))
def test_a_body_longer_than_its_length_never_reaches_the_next_answer(measured, path):
    mark = measured.mark()
    with measured.connect() as connection:
        connection.ask("GET", f"/{path}")
        connection.ask("GET", "/")
        answer = connection.head()
        assert answer["Content-Length"] == "5"
        try:
            connection.read_body(answer)
            assert b"12345".startswith(answer.body)
            assert connection.response().json() == {"well": True}
        except (Truncated, Closed):
            pass  # breaking the connection is as good: no byte too many was taken for an answer
    logged(measured, mark, path)


@pytest.mark.parametrize("path", names("too_short"))
def test_a_body_shorter_than_its_length_is_no_clean_end(measured, path):
    mark = measured.mark()
    with measured.connect() as connection:
        connection.ask("GET", f"/{path}")
        connection.ask("GET", "/")
        try:
            answer = connection.head()
        except Closed:
            answer = None
        if answer is None or answer.status == 500:
            assert path == "too_short_empty"  # no byte was out: a 500 says it better
        else:
            with pytest.raises(Truncated):
                connection.read_body(answer)
    logged(measured, mark, path)
    assert measured.get("/").json() == {"well": True}
