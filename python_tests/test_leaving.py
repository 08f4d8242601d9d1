"""What would end a program: each row of the table in docs/operations.md (apps/leaving.py), while the application is
loaded and in each part of a request, in an own-GIL interpreter and in the main one."""

import re
import signal
from pathlib import Path

import pytest
from apps.leaving import ROWS
from support.isolation import EVERYWHERE, turns
from support.wire import Closed, Truncated
from test_threads_and_processes import table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operations.md"

#: Where the process that ends is the server.
SAME_PROCESS = ("own-gil", "free-threaded", "main")
IN_EACH = pytest.mark.isolation(*SAME_PROCESS, each=True, reason="a worker process ends without its server")

SURVIVED = [name for name, row in ROWS.items() if row.ends is None]
ENDING = [name for name, row in ROWS.items() if row.ends is not None]

#: What the client sees of an exception, by where it is raised.
SEEN = {"call": "500", "iterable": "aborted", "close": "fine"}
AFTER = {
    "call": "",
    "iterable": " after its response had begun: connection aborted",
    "close": " after its response was complete",
}


@pytest.fixture(scope="module", params=turns())
def site(request, module_server):
    return module_server("apps.leaving:app", "--isolation", request.param)


def seen(site, target):
    with site.connect() as connection:
        connection.ask("GET", target)
        try:
            return "500" if connection.response().status == 500 else "fine"
        except (Truncated, Closed, ConnectionResetError):
            return "aborted"


@pytest.mark.parametrize("where", SEEN)
@pytest.mark.parametrize("name", SURVIVED)
def test_what_ends_a_program_ends_one_request(site, name, where):
    mark = site.mark()
    assert seen(site, f"/{name}/{where}") == SEEN[where]
    says = f"application {ROWS[name].says}{AFTER[where]}"
    site.wait_for_log(rf"^.*\[ERROR\] interpreter \d+: GET /{name}/{where}: {re.escape(says)}$", mark)
    assert site.get("/").json() == {"well": True}


@EVERYWHERE
@pytest.mark.parametrize("name", SURVIVED)
def test_what_ends_a_program_is_a_load_that_failed(command, name, isolation):
    done = command("--fd", "-1", "--port", "0", "--isolation", isolation, "apps.leaving:app", name)
    row = ROWS[name]
    assert done.returncode == row.load_status
    kind = row.says.split()[1]
    line = rf"\[CRITICAL\] cannot load application apps\.leaving:app: it raised {kind} while it was loaded\nTraceback"
    assert re.search(line, done.stderr), done.stderr
    assert len(re.findall(r"\[CRITICAL\]", done.stderr)) == 1


@IN_EACH
@pytest.mark.parametrize("name", ENDING)
def test_what_ends_the_process_says_so_once_if_it_can(server, name):
    row = ROWS[name]
    site = server("apps.leaving:app", "--interpreters", "2").expect(row.ends)
    assert seen(site, f"/{name}/call") == ("fine" if row.ends == 0 else "aborted")
    assert site.wait() == row.ends
    if row.says:
        lines = [line for line in site.log.splitlines() if row.says in line]
        assert len(lines) == 1, site.log
        if row.ends:
            where = r"python_tests/apps/leaving\.py:\d+: the process ends at once, with all that is in it$"
            assert re.search(rf"\[CRITICAL\] interpreter \d+: .*{where}", lines[0])


@IN_EACH
@pytest.mark.parametrize("name", ENDING)
def test_what_ends_the_process_ends_it_while_it_loads(command, name, isolation):
    done = command("--fd", "-1", "--port", "0", "--isolation", isolation, "apps.leaving:app", name)
    row = ROWS[name]
    assert done.returncode == row.load_status
    if row.ends:
        assert (row.says or "") in done.stderr


@IN_EACH
def test_faulthandler_tells_where_a_request_crashed(server):
    site = server("apps.leaving:app", env={"PYTHONFAULTHANDLER": "1"})
    site.expect(-signal.SIGSEGV).crashes = True
    assert seen(site, "/crash/call") == "aborted"
    assert site.wait() == -signal.SIGSEGV
    assert re.search(r'File ".*apps/leaving.py", line \d+ in crash$', site.log, re.MULTILINE), site.log


def test_the_document_has_the_table_of_the_rows():
    heading = ["the application", "while it is loaded", "in a request", "the log", "`apps/leaving.py`"]
    expected = table(heading, [row.cells() for row in ROWS.values()])
    assert expected in DOCUMENT.read_text(), f"docs/operations.md lacks this table:\n{expected}"
