"""A free-threaded build of CPython: N x T threads of one interpreter, by the same command line."""

import pytest

pytestmark = pytest.mark.isolation("free-threaded", reason="threads of one interpreter that run at once")


def test_the_same_command_line_gives_threads_of_one_interpreter(server, gate):
    gates = [gate() for _ in range(4)]
    site = server("apps.waiting:app", "--interpreters", "2", "--threads", "2")
    connections = [site.connect() for _ in gates]
    for connection, here in zip(connections, gates, strict=True):
        connection.ask("GET", f"/wait?{here.query}")
    for here in gates:
        here.wait()
    for here in gates:
        here.open()
    answers = [connection.response().json() for connection in connections]
    assert {answer["interpreter"] for answer in answers} == {0}
    assert len({answer["thread"] for answer in answers}) == 4


def test_the_application_is_loaded_once(server):
    site = server("apps.state:app", "--interpreters", "2", "--threads", "2")
    with site.connect() as connection:
        assert [connection.get("/").json()["count"] for _ in range(20)] == list(range(1, 21))


def test_the_gil_stays_off(server, tmp_path):
    (tmp_path / "asks_for_the_gil.py").write_text(
        "import sys\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [str(sys._is_gil_enabled()).encode()]\n"
    )
    assert server("asks_for_the_gil:app", "--interpreters", "2", cwd=tmp_path).get().text == "False"


def test_the_flags_tell_the_application_of_its_threads(server):
    site = server("apps.environ:app", "--interpreters", "2")
    assert site.get().json()["flags"][:3] == [True, False, False]


def test_numpy_runs_on_every_thread(server):
    pytest.importorskip("numpy", reason="numpy is not installed")
    site = server("apps.needs_numpy:app", "--interpreters", "2", "--threads", "2")
    assert {site.get().json()["sum"] for _ in range(20)} == {45}


def test_an_extension_that_brings_the_gil_back_is_named(server, tmp_path):
    pytest.importorskip("brotli", reason="brotli, whose extension brings the GIL back, is not installed")
    (tmp_path / "brings_the_gil.py").write_text("import brotli\nfrom chaussette.util import hello_app as app\n")
    server("brings_the_gil:app", cwd=tmp_path).wait_for_log(r"_brotli")


def test_stopping_under_requests_ends_every_thread(server, gate):
    here = gate()
    site = server("apps.waiting:app", "--interpreters", "2", "--threads", "2")
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(15)
        site.wait_for_log("stopping")
        here.open()
        assert connection.response().status == 200
    assert site.wait() == 0
