"""Reloads under Circus that lose no request: each recipe of docs/operations.md, under load.

The clients ask without a pause, on kept connections and on one for each request, and never ask twice: whatever is not a
whole answer with status 200 is a lost request. Each recipe reloads three times, on one kind of socket; by hand
CHAUSSETTE_RELOADS=50 says how often, and then it is both kinds.
"""

import os
from types import SimpleNamespace

import pytest
from support.circus import BIN, circusd, socket_section, watcher
from support.code import Code
from support.load import Load
from support.waiting import soon

BY_HAND = "CHAUSSETTE_RELOADS" in os.environ
RELOADS = int(os.environ.get("CHAUSSETTE_RELOADS", "3"))

pytestmark = [
    pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment"),
    pytest.mark.timeout(60 + 10 * RELOADS),
    # HUP replaces nothing where there is one interpreter for all.
    pytest.mark.isolation("own-gil", reason="circusd does not tell its processes where to live"),
]

FD = ["--fd", "$(circus.sockets.web)", "--interpreters", "2"]
WAITS = {"hooks.after_spawn": "chaussette.circus.wait_ready"}
CONTROL = ["--control", "unix:$(folder)/control.$(circus.wid)"]
IN_PLACE = (FD, {"send_hup": True}, ["reload", "web"])
BESIDE = ([*FD, *CONTROL, "--drain-idle", "5"], WAITS, ["reload", "web", "--waiting"])
IN_TURN = (
    [*FD, *CONTROL, "--drain-idle", "5"],
    {"numprocesses": 2, **WAITS},
    ["reload", "web", "--sequential", "--waiting"],
)
BOTH_BESIDE = (IN_TURN[0], IN_TURN[1], BESIDE[2])


def is_whole(answer):
    return answer.status == 200 and answer["X-Version"] in (answer.text[:-1].split(".")[0], answer.text)


RECIPES = [
    ("in place", "unix", IN_PLACE),
    ("beside", "tcp", BESIDE),
    ("in turn", "unix", IN_TURN),
]
BOTH_KINDS = [
    (name, listen, recipe)
    for name, recipe in [("in place", IN_PLACE), ("beside", BESIDE), ("in turn", IN_TURN), ("both beside", BOTH_BESIDE)]
    for listen in ["tcp", "unix"]
]


@pytest.mark.parametrize(("name", "listen", "recipe"), BOTH_KINDS if BY_HAND else RECIPES)
def test_a_reload_loses_no_request(tmp_path, name, listen, recipe):
    options, settings, words = recipe
    code = Code(tmp_path / "code")
    where = {"host": "127.0.0.1", "port": 0} if listen == "tcp" else {"path": "$(folder)/web.sock"}
    section = watcher("web", [*options, *code.options], "changing:app", **settings)
    with circusd(socket_section("web", **where) + "\n" + section) as daemon:
        daemon.wait_ready("web")
        site = SimpleNamespace(address=daemon.address("web"))
        before = daemon.pids("web")
        with Load(site, ["/", "/pieces"], is_whole) as clients:
            for number in range(RELOADS):
                answered, version, current = clients.answered, str(2 + number), daemon.pids("web")
                code.serve(version)
                daemon.control(*words)
                if "send_hup" in settings:
                    soon(lambda number=number: daemon.log.count("] reloaded: 2 inter") == number + 1, 30)
                else:
                    soon(lambda current=current: not set(daemon.pids("web")) & set(current), 30)
                    daemon.wait_ready("web")
                # Each of the clients, with the new code.
                soon(lambda answered=answered: clients.answered > answered + 50, 30, lambda: clients.wrong)
        print(f"\n{name}, {listen}: {RELOADS} reloads, {clients.answered} requests, {len(clients.wrong)} lost")
        assert (daemon.pids("web") == before) is ("send_hup" in settings)
        assert len(daemon.pids("web")) == settings.get("numprocesses", 1)
