"""What an application may do with threads, processes and signals, and what it may leave for the end.

Each row of the tables in docs/operations.md is done in an own-GIL interpreter and in the main one: apps/uses*.py,
apps/leftovers.py.
"""

import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from apps.leftovers import ROWS
from apps.uses import USES
from apps.uses_rows import Ends, Refused
from support.isolation import SEVERAL, turns
from support.waiting import soon
from support.wire import Closed

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operations.md"

#: Those that the table has a column for.
TABLED = ("own-gil", "free-threaded", "main")
IN_EACH = pytest.mark.isolation(*TABLED, each=True, reason="the table has no column for it")

#: Seconds for the answer of a use: some start Python twice on a loaded machine.
ANSWER = 90

#: --graceful-timeout where the wait for threads is to be seen; half of it is for exit handlers.
GRACEFUL = "3"


@pytest.fixture(scope="module", params=turns(*TABLED))
def site(request, module_server):
    return module_server("apps.uses:app", "--isolation", request.param)


def outcome(site, name):
    with site.connect(ANSWER) as connection:
        return connection.get(f"/{name}").json()


@pytest.mark.parametrize("name", [name for name, row in USES.items() if not isinstance(row.main, Ends)])
def test_a_use_has_the_outcome_that_the_document_says(site, name, request):
    row = USES[name]
    wanted = row.own if "own-gil" in request.node.name else row.main
    found = outcome(site, name)
    if isinstance(wanted, Refused):
        assert found.get("raised") == wanted.kind, found
        assert all(word in found["text"] for word in wanted.words), found["text"]
    else:
        assert "raised" not in found, found
        assert found["result"] == wanted.result
    # The interpreter is as good as before, and so is the process.
    assert outcome(site, "plain_thread")["result"] is False


@IN_EACH
@pytest.mark.parametrize("name", [name for name, row in USES.items() if isinstance(row.main, Ends)])
def test_a_use_that_ends_the_server_ends_it_only_where_the_document_says(server, name, isolation):
    row = USES[name]
    site = server("apps.uses:app")
    if isolation != "own-gil":
        site.expect(9)
        with pytest.raises((Closed, ConnectionResetError)):
            outcome(site, name)
        assert site.wait() == 9
    else:
        found = outcome(site, name)
        assert found["raised"] == row.own.kind
        assert all(word in found["text"] for word in row.own.words)


@IN_EACH
def test_no_helper_process_outlives_the_server(server):
    """The fixture looks for what is left behind; the helpers of multiprocessing are ended, not left to end."""
    site = server("apps.uses:app")
    for name in ("process_by_spawn", "process_by_forkserver"):
        assert outcome(site, name)["result"] == 42
    assert site.stop() == 0


@IN_EACH
@pytest.mark.parametrize("name", ROWS)
def test_what_is_left_for_the_end_comes_to_what_the_document_says(server, name, isolation):
    row = ROWS[name]
    site = server("apps.leftovers:app", "--graceful-timeout", GRACEFUL)
    site.expect(row.status)
    with site.connect(ANSWER) as connection:
        child = connection.get(f"/{name}").json()["result"]
    mark = site.mark()
    try:
        assert site.stop() == row.status
    finally:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    lines = [line for line in site.out.splitlines() if not line.startswith("record") or line == "record 9"]
    assert lines[: len(row.out)] == list(row.out), site.out
    if row.says:
        assert re.search(row.says, site.log[mark:]), site.log[mark:]
    if isolation == "own-gil" and not row.status:
        is_left = "is left as it is" in site.log[mark:]
        wanted = {"never": False, "3.13": sys.version_info < (3, 14), "always": True}[row.left]
        assert is_left == wanted, site.log[mark:]


@pytest.mark.isolation("main", reason="it is the server that the child comes back to")
def test_a_child_of_fork_that_comes_back_is_told_of(server):
    site = server("apps.uses:app")
    assert outcome(site, "fork_that_returns")["result"] == 1
    site.wait_for_log(r"^interpreter 0: process \d+ was forked by the application and came back to the server")


@SEVERAL
def test_a_log_that_one_interpreter_rotates_goes_on_in_the_old_file_for_the_others(server, tmp_path):
    log = tmp_path / "log"
    site = server("apps.rotating:app", "--interpreters", "2", words=[log])

    def write(interpreter, text):
        soon(lambda: site.get(f"/?interpreter={interpreter}&text={text}").json(), what=f"interpreter {interpreter}")

    write(1, "b1")
    write(0, "a" * 60)
    write(0, "c" * 60)
    write(1, "b2")
    assert log.read_text().split() == ["c" * 60]
    assert (tmp_path / "log.1").read_text().split() == ["b1", "a" * 60, "b2"]


@pytest.mark.isolation("own-gil", reason="it is the main interpreter that enables it")
def test_an_application_that_needs_faulthandler_for_the_process_has_it(command):
    """Enabled in the main interpreter by the environment, it tells where any of them crashed."""
    done = command("--fd", "-1", "--port", "0", "apps.crashing:app", env={"PYTHONFAULTHANDLER": "1"})
    assert done.returncode == -signal.SIGSEGV
    assert re.search(r'File ".*apps/crashing.py", line \d+ in <module>', done.stderr)


def table(heading, rows):
    """A table as the document has it."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines).replace(
        " --- ", "---"
    )


@pytest.mark.parametrize(
    "expected",
    [
        table(
            ["the application uses", "own-GIL", "main, free-threaded", "remark", "`apps/uses_*.py`"],
            [row.cells() for row in USES.values()],
        ),
        table(
            ["left for the end", "what comes of it", "the interpreter", "`apps/leftovers.py`"],
            [row.cells() for row in ROWS.values()],
        ),
    ],
    ids=["uses", "leftovers"],
)
def test_the_document_has_the_table_of_the_rows(expected):
    assert expected in DOCUMENT.read_text(), f"docs/operations.md lacks this table:\n{expected}"
