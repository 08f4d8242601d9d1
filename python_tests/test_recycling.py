"""Interpreters replaced by age and by requests, added and taken away: no client notices."""

import re
from signal import SIGHUP, SIGTTIN, SIGTTOU

import pytest
from support.code import Code, version
from support.isolation import REPLACEABLE
from support.load import Load
from support.waiting import soon

pytestmark = REPLACEABLE


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path / "code")


def replaced(site, why):
    return len(re.findall(rf"\[INFO\] interpreter \d+ is replaced: {why}$", site.log, re.MULTILINE))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [[], ["--spare"]], ids=["plain", "spare"])
def test_max_requests_under_load_loses_no_reply(server, code, options):
    more = ["--interpreters", "2", "--threads", "2", "--max-requests", "100", "--max-requests-jitter", "20"]
    site = server("changing:app", *more, *options, *code.options)
    with Load(site, ["/", "/pieces"]):
        soon(lambda: replaced(site, "max-requests") >= 20, 60)
    assert site.stop() == 0


def test_max_requests_counts_every_thread_s_requests(server, code):
    site = server("changing:app", "--threads", "3", "--max-requests", "6", "--max-requests-jitter", "0", *code.options)
    for _ in range(5):
        site.get()
    assert replaced(site, "max-requests") == 0
    site.get()
    soon(lambda: replaced(site, "max-requests") == 1)


@pytest.mark.timeout(120)
def test_max_lifetime_under_load_loses_no_reply(server, code):
    site = server("changing:app", "--interpreters", "2", "--max-lifetime", "0.3", *code.options)
    with Load(site, ["/", "/pieces"]):
        soon(lambda: replaced(site, "max-lifetime") >= 8, 60)
    assert site.stop() == 0


def test_a_successor_that_cannot_be_loaded_leaves_the_worn_one_serving(server, code):
    # What forks a successor has imported already: with it nothing could fail.
    options = ["--max-requests", "2", "--max-requests-jitter", "0", "--no-zygote"]
    site = server("changing:app", *options, *code.options)
    code.write("import no_such_module_anywhere\n")
    with Load(site, fits=lambda answer: answer.status == 200 and answer["X-Version"] in "12"):
        site.wait_for_log(r"\[ERROR\] an interpreter cannot be loaded, tried again in .* s:\n(.*\n)*.*ModuleNotFound")
        site.wait_for_log(r"tried again in .* s: as before", deadline=30)
        assert version(site) == "1"
        code.serve("2")
        soon(lambda: version(site) == "2", 60)


@pytest.mark.timeout(120)
def test_ttin_and_ttou_under_load_lose_no_reply(server, code):
    site = server("changing:app", "--interpreters", "2", "--max-interpreters", "4", *code.options)
    with Load(site, ["/", "/pieces"]):
        for _ in range(5):
            for wanted, number in [(3, SIGTTIN), (4, SIGTTIN), (3, SIGTTOU), (2, SIGTTOU)]:
                mark = site.mark()
                site.signal(number)
                site.wait_for_log(rf"{wanted} interpreters are wanted, ", mark)
    mark = site.mark()
    for number in (SIGTTIN, SIGTTIN, SIGTTIN):
        site.signal(number)
        site.wait_for_log("are wanted", mark)
        mark = site.mark()
    site.wait_for_log(r"4 interpreters are wanted already \(--max-interpreters\)")
    soon(lambda: len({site.get()["X-Place"] for _ in range(12)}) == 4)


def test_an_interpreter_that_is_taken_away_finishes_its_request(server, code, gate):
    here = gate()
    site = server("changing:app", "--interpreters", "2", *code.options)
    with site.connect() as first, site.connect() as second:
        there = gate()
        first.ask("GET", f"/gate?{here.path}")
        here.wait()
        second.ask("GET", f"/gate?{there.path}")
        there.wait()
        site.signal(SIGTTOU)
        site.wait_for_log(r"interpreter \d+ ends: there are more than wanted")
        for one, connection in ((here, first), (there, second)):
            one.open()
            assert connection.response().status == 200
    assert version(site) == "1"


def test_reload_recycling_and_scaling_at_once_lose_no_reply(server, code):
    more = ["--interpreters", "2", "--max-interpreters", "4", "--max-requests", "50", "--spare", "--threads", "2"]
    site = server("changing:app", *more, *code.options)
    with Load(site, ["/", "/pieces"]) as load:
        for turn in range(12):
            before = load.answered
            site.signal([SIGHUP, SIGTTIN, SIGHUP, SIGTTOU][turn % 4])
            soon(lambda before=before: load.answered > before + 100, 30)
    assert site.stop() == 0


@pytest.mark.isolation("own-gil", reason="what a worker process has had goes back to the system with it")
@pytest.mark.timeout(120)
def test_max_growth_ends_the_process_in_order_with_75(server, code):
    # Each interpreter keeps 40 MiB; 3.13 gives none of it back, 3.14 all: two more at once are too much for both.
    code.serve("1", "\nkept = bytearray(os.urandom(1)) * (40 << 20)\n")
    site = server("changing:app", "--max-interpreters", "3", "--max-growth", "60", *code.options)
    site.expect(75)
    with Load(site) as load:
        soon(lambda: load.answered > 10)
    for wanted in (2, 3):
        site.signal(SIGTTIN)
        site.wait_for_log(f"{wanted} interpreters are wanted")
        soon(lambda wanted=wanted: len({site.get()["X-Place"] for _ in range(12)}) == wanted, 30)
    site.signal(SIGHUP)  # what has ended makes it look
    assert site.wait(60) == 75
    site.wait_for_log(r"\[WARNING\] the process has grown by \d+ MiB, more than --max-growth allows")
