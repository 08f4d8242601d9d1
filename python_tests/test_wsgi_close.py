"""close() of the iterable is called, once, however the request ends (PEP 3333 "Specification Details")."""

import pytest
from support.wire import Truncated


@pytest.fixture
def site(server):
    return server("apps.closing:app")


def closed(site):
    return site.get("/closed").json()


@pytest.mark.parametrize("path", ["normal", "sized", "empty"])
def test_the_iterable_is_closed_once_after_its_last_block(site, path):
    site.get(f"/{path}")
    assert closed(site) == [f"{path} exhausted", f"{path} closed"]


def test_a_list_with_close_is_closed(site):
    assert site.get("/a_list").text == "one two"
    assert closed(site) == ["list closed"]


@pytest.mark.parametrize("path", ["normal", "sized", "empty", "endless", "endless_generator", "endless_empty"])
def test_the_iterable_is_closed_after_head(site, path):
    site.request("HEAD", f"/{path}")
    assert closed(site)[-1:] == [f"{path} closed"]
    assert closed(site).count(f"{path} closed") == 1


def test_the_iterable_is_closed_when_iterating_fails(site):
    with site.connect() as connection, pytest.raises(Truncated):
        connection.get("/failing")
    assert site.get("/failing_early").status == 500
    assert closed(site) == ["failing closed", "failing_early closed"]


def test_the_iterable_is_closed_when_there_was_no_start_response(site):
    assert site.get("/headless").status == 500
    assert closed(site)[-1:] == ["headless closed"]


def test_the_iterable_is_closed_when_it_cannot_be_iterated(site):
    assert site.get("/not_iterable").status == 500
    assert closed(site) == ["not_iterable closed"]


@pytest.mark.parametrize("path", ["endless", "endless_generator"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_the_iterable_is_closed_when_the_client_leaves(site, path, leave):
    with site.connect() as connection:
        connection.ask("GET", f"/{path}")
        connection.head()
        assert connection.chunk()
        getattr(connection, leave)()
    assert closed(site) == [f"{path} closed"]


def test_an_iterable_that_sends_nothing_more_is_closed_when_the_client_leaves(site):
    with site.connect() as connection:
        connection.ask("GET", "/endless_empty")
        connection.head()
        assert connection.chunk() == b"x"
    assert closed(site) == ["endless_empty closed"]


def test_a_client_that_left_while_the_application_worked_is_noticed_at_the_next_block(site, gate):
    here = gate()
    with site.connect() as connection:
        connection.ask("GET", f"/gated?{here.query}")
        connection.head()
        here.wait()
    here.open()
    assert closed(site) == ["gated closed"]


def test_the_iterable_is_closed_when_the_server_stops_in_mid_answer(server):
    """Without a client that reads, the drain ends by its deadline; whatever is left is still ended in order."""
    site = server("apps.closing:app", "--graceful-timeout", "2").expect(0, 70)
    with site.connect() as connection:
        connection.ask("GET", "/endless")
        connection.head()
        assert site.stop(deadline=15) in (0, 70)
