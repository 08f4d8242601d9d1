"""HUP: new code, one interpreter at a time, and no client notices."""

import os
import re
from signal import SIGHUP, SIGTERM

import pytest
from support.code import Code, reload, version
from support.isolation import REPLACEABLE
from support.load import Load
from support.waiting import soon, steady

pytestmark = REPLACEABLE

#: What an import can do to its interpreter, and what the log then says.
BROKEN = {
    "a syntax error": ("def app(:\n", "SyntaxError"),
    "an import error": ("import no_such_module_anywhere\n", "ModuleNotFoundError: No module named 'no_such_module"),
    "no application": ("app = None\n", "is not callable"),
    "an exit": ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
    "an interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "no memory": ("raise MemoryError('on purpose')\n", "MemoryError: on purpose"),
    "endless recursion": ("def app(): app()\napp()\n", "RecursionError"),
}


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path / "code")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [[], ["--threads", "2", "--spare"]], ids=["plain", "threads and a spare"])
def test_reloads_under_load_lose_no_reply(server, code, options):
    site = server("changing:app", "--interpreters", "2", *code.options, *options)

    def fits(answer):
        told = answer["X-Version"]
        return answer.status == 200 and answer.body in (told.encode(), f"{told}.".encode() * 20_000)

    with Load(site, ["/", "/pieces"], fits) as load:
        for number in range(2, 22):
            code.serve(str(number))
            before = load.answered
            assert reload(site, SIGHUP).startswith("reloaded: 2 interpreters")
            assert {version(site) for _ in range(4)} == {str(number)}
            soon(lambda before=before: load.answered > before + 10)
    assert site.stop() == 0


@pytest.mark.timeout(120)
def test_a_reload_to_broken_code_leaves_the_old_code_serving(server, code):
    site = server("changing:app", "--interpreters", "2", *code.options)
    with Load(site, fits=lambda answer: answer.status == 200 and answer["X-Version"] == "1") as load:
        for what, (text, report) in BROKEN.items():
            code.write(text)
            mark, before = site.mark(), load.answered
            assert reload(site, SIGHUP).startswith("reload failed, the old code goes on:"), what
            site.wait_for_log(re.escape(report), mark)
            soon(lambda before=before: load.answered > before + 10)
            assert version(site) == "1", what
    code.serve("repaired")
    assert reload(site, SIGHUP).startswith("reloaded: 2 interpreters")
    assert version(site) == "repaired"


def test_a_request_in_the_old_code_is_finished_there(server, code, gate):
    here = gate()
    site = server("changing:app", *code.options)
    with site.connect() as connection:
        connection.ask("GET", f"/gate?{here.path}")
        here.wait()
        code.serve("2")
        assert reload(site, SIGHUP).startswith("reloaded: 1 interpreter")
        assert version(site) == "2"
        here.open()
        assert connection.response()["X-Version"] == "1"


def test_a_hup_during_a_reload_is_obeyed_after_it(server, code, gate):
    here = gate()
    site = server("changing:app", *code.options)
    code.serve("2", f"open({here.path!r}).read()\n")
    site.signal(SIGHUP)
    here.wait()
    for _ in range(3):
        mark = site.mark()
        site.signal(SIGHUP)
        site.wait_for_log("a reload is under way: one more follows it", mark)
    code.serve("3")
    here.open()
    soon(lambda: version(site) == "3")
    soon(lambda: site.log.count("] reloaded: ") == 2)
    assert site.stop() == 0
    assert site.log.count("] reloaded: ") == 2


def test_term_while_a_successor_still_imports_ends_the_process(server, code, gate):
    here = gate()
    site = server("changing:app", "--interpreters", "2", *code.options)
    code.serve("2", f"open({here.path!r}).read()\n")
    site.signal(SIGHUP)
    here.wait()
    assert version(site) == "1"
    assert site.stop(SIGTERM, deadline=10) == 0


def test_exit_handlers_and_threads_of_the_predecessor_end(server, code, tmp_path):
    told = tmp_path / "told"
    more = f"""
import threading
gone = threading.Event()
thread = threading.Thread(target=gone.wait)
thread.start()
threading._register_atexit(gone.set)
atexit.register(lambda: open({str(told)!r}, "a").write(VERSION))
"""
    code.serve("1", more)
    site = server("changing:app", *code.options)
    for number in ("2", "3"):
        code.serve(number, more)
        assert reload(site, SIGHUP).startswith("reloaded: ")
    soon(lambda: told.exists() and told.read_text() == "12")
    assert site.stop() == 0
    assert told.read_text() == "123"


def test_a_predecessor_with_daemon_threads_holds_nothing_up(server, code):
    more = "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n"
    code.serve("1", more)
    site = server("changing:app", *code.options)
    for number in ("2", "3"):
        code.serve(number, more)
        assert reload(site, SIGHUP).startswith("reloaded: ")
        assert version(site) == number
    assert site.stop() == 0


def test_a_warm_up_comes_before_any_other_request(server, code):
    more = """
seen = []
plain = app
def app(environ, start_response):
    seen.append(environ["PATH_INFO"])
    if environ["PATH_INFO"] == "/ready":
        assert (environ["HTTP_HOST"], environ["wsgi.url_scheme"]) == ("example.org", "https"), environ
        if VERSION == "cold":
            raise RuntimeError("not ready")
    start_response("200 OK", [("X-Version", VERSION)])
    return [",".join(seen[:2]).encode()]
"""
    code.serve("1", more)
    site = server("changing:app", "--warmup", "https://example.org/ready", *code.options)
    assert site.get("/first").text == "/ready,/first"
    code.serve("cold", more)
    assert "the application failed" in reload(site, SIGHUP) or "application: failed" in site.log
    assert version(site) == "1"
    site.wait_for_log("RuntimeError: not ready")
    code.serve("2", more)
    assert reload(site, SIGHUP).startswith("reloaded: ")
    assert site.get("/x").text == "/ready,/x"


def test_each_interpreter_that_lives_has_a_place_of_its_own(server, code):
    site = server("changing:app", "--interpreters", "2", *code.options)
    for _ in range(4):
        assert reload(site, SIGHUP).startswith("reloaded: ")
        assert {int(site.get()["X-Place"]) for _ in range(8)} <= {0, 1, 2}


@pytest.mark.isolation("main", "free-threaded", each=True, reason="elsewhere it is obeyed")
def test_the_main_interpreter_cannot_be_replaced_and_it_is_said(server, code):
    site = server("changing:app", "--max-requests", "1", *code.options)
    site.signal(SIGHUP)
    site.wait_for_log(r"\[ERROR\] cannot obey the signal: the application lives in the main interpreter, .* restart")
    assert {version(site) for _ in range(5)} == {"1"}


@pytest.mark.timeout(120)
def test_descriptors_and_threads_are_as_many_after_reloads_as_before(server, code):
    site = server("changing:app", "--interpreters", "2", *code.options)
    assert reload(site, SIGHUP).startswith("reloaded: ")

    def held():
        return len(site._fds()), len(os.listdir(f"/proc/{site.pid}/task"))

    before = steady(held)
    for _ in range(10):
        assert reload(site, SIGHUP).startswith("reloaded: ")
    soon(lambda: held() == before, what=lambda: f"{before}; now {held()}")
