"""Faults at random, under load: reloads, broken deploys, scaling, overdue requests, clients that leave.

Each request is answered or cleanly refused, the census adds up, and nothing is left behind. The order of faults
follows from a seed, which a failure names. `FAULTS_SECONDS=300 pytest python_tests/test_faults.py` runs for longer.
"""

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from signal import SIGHUP, SIGTTIN, SIGTTOU

import pytest
from apps.faulty import BODY
from support.control import Control
from support.isolation import REPLACEABLE
from support.waiting import soon, steady
from support.wire import Closed, Connection, Truncated

SECONDS = float(os.environ.get("FAULTS_SECONDS", "12"))
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.randrange(1, 1_000_000)
CLIENTS = 8
INTERPRETERS = 3

#: How often each kind of request is asked; the slow ones hold an interpreter for longer than --timeout.
KINDS = {
    "/hello": 40,
    "/echo": 15,
    "/pieces": 15,
    "/raises": 5,
    "/breaks_off": 4,
    "/sleeps?seconds=0.02": 8,
    "/sleeps?seconds=3": 1,
    "/spins?seconds=30": 1,
}

#: What may answer each kind. 503: the queue was full, said with Retry-After. 504: it was overdue.
RIGHT = {
    "/hello": {200},
    "/echo": {200},
    "/pieces": {200},
    "/raises": {500},
    "/breaks_off": set(),
    "/sleeps?seconds=0.02": {200},
    "/sleeps?seconds=3": {504},
    "/spins?seconds=30": {504},
}


class Client(threading.Thread):
    """Asks at random until it is told to stop; `wrong` has what no fault excuses."""

    def __init__(self, address, seed):
        super().__init__(daemon=True)
        self.address, self.random = address, random.Random(seed)
        self.stopping, self.seen, self.left, self.wrong = threading.Event(), Counter(), 0, []

    def run(self):
        while not self.stopping.is_set() and not self.wrong:
            try:
                with Connection(self.address, timeout=30) as connection:
                    for number in range(self.random.randrange(1, 30)):
                        if self.stopping.is_set() or not self.ask(connection, number):
                            break
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def ask(self, connection, number):
        """One request; False when the connection is not to be used again."""
        kind = self.random.choices(list(KINDS), KINDS.values())[0]
        body = BODY[: self.random.randrange(1, len(BODY))] if kind == "/echo" else b""
        connection.ask("POST" if kind == "/echo" else "GET", kind, body=body)
        if self.random.random() < 0.03:
            connection.reset()
            self.left += 1
            return False
        try:
            answer = connection.response("GET")
        except Truncated:
            if kind != "/breaks_off":
                self.wrong.append(f"{kind}: truncated")
            self.seen["cut"] += 1
            return False
        except (Closed, ConnectionResetError):
            # Only a connection that was kept alive may be closed before the first byte of an answer.
            if number == 0 and kind != "/breaks_off":
                self.wrong.append(f"{kind}: closed without an answer, on a new connection")
            return False
        self.judge(kind, body, answer)
        return answer["Connection"] != "close"

    def judge(self, kind, body, answer):
        self.seen[answer.status] += 1
        if answer.status == 503 and answer["Retry-After"]:
            return
        if answer.status not in RIGHT[kind]:
            self.wrong.append(f"{kind}: {answer.status}")
        elif answer.status == 200 and answer.body != (body or BODY):
            self.wrong.append(f"{kind}: {len(answer.body)} bytes of {len(body or BODY)}")


class Faults:
    """What is done to the server meanwhile."""

    def __init__(self, site, control, broken, seed):
        self.site, self.control, self.broken, self.random = site, control, broken, random.Random(seed)
        self.done = Counter()

    def inject(self):
        fault = self.random.choice((self.reload, self.broken_deploy, self.one_more, self.one_fewer, self.scale))
        fault()
        self.done[fault.__name__] += 1

    def reload(self):
        self.site.signal(SIGHUP)

    def broken_deploy(self):
        """Broken for the time of one reload; the next one finds it repaired."""
        self.broken.touch()
        self.control.post("/reload")
        soon(lambda: self.control.status["reload"]["state"] != "running", 60, what="the end of a reload")
        self.broken.unlink()

    def one_more(self):
        self.site.signal(SIGTTIN)

    def one_fewer(self):
        self.site.signal(SIGTTOU)

    def scale(self):
        self.control.post(f"/interpreters?n={self.random.randrange(1, 5)}")


@REPLACEABLE
@pytest.mark.timeout(SECONDS + 240)
def test_faults_at_random_cost_no_answer_and_leave_nothing_behind(server, tmp_path, record_property):
    broken, control_path = tmp_path / "broken", tmp_path / "control"
    site = server(
        "apps.faulty:app",
        *("--interpreters", INTERPRETERS, "--min-interpreters", 1, "--max-interpreters", 5),
        *("--timeout", "1", "--max-stuck", "50", "--max-requests", "300", "--max-requests-jitter", "100"),
        *("--control", f"unix:{control_path}"),
        env={"FAULTY_BROKEN": str(broken)},
    )
    control = Control(f"unix:{control_path}", site)
    at_rest = steady(lambda: held(site))
    faults = Faults(site, control, broken, SEED)
    clients = [Client(site.address, SEED + number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    end = time.monotonic() + SECONDS
    pause = threading.Event()
    while time.monotonic() < end and not any(client.wrong for client in clients):
        faults.inject()
        pause.wait(faults.random.uniform(0, 0.5))
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(60)
    seen = sum((client.seen for client in clients), Counter())
    told = f"seed {SEED}, {SECONDS} s: answers {dict(seen)}, faults {dict(faults.done)}"
    print(told)
    record_property("faults", told)
    assert not [client.name for client in clients if client.is_alive()], f"{told}: clients still wait"
    assert not [wrong for client in clients for wrong in client.wrong], told

    control.post(f"/interpreters?n={INTERPRETERS}")
    soon(lambda: settled(control.status), 60, what=lambda: f"{told}: all at rest; now {control.status}")
    census = control.status
    assert census["totals"]["stuck"] == census["totals"]["recovered"], told
    assert census["totals"]["timeouts"] >= seen[504], told
    # Whoever left may have been served or not; all others are counted exactly once.
    answered = sum(count for status, count in seen.items() if status != 503)
    left = sum(client.left for client in clients)
    assert answered <= census["totals"]["requests"] + census["totals"]["timeouts"], told
    assert census["totals"]["requests"] <= answered + left + CLIENTS, told
    soon(lambda: held(site) == at_rest, 30, what=lambda: f"{told}: held {at_rest} at first, now {held(site)}")
    assert seen[200] > 0, told
    assert seen[504] > 0, told
    assert sum(faults.done.values()) > 5, told


def settled(census):
    """Nothing loads, drains, ends or is stuck; as many serve as are wanted; nobody waits."""
    stages = Counter(interpreter["stage"] for interpreter in census["interpreters"])
    busy = [current for interpreter in census["interpreters"] for current in interpreter["current"]]
    alive = {stage: count for stage, count in stages.items() if stage != "ended"}
    return alive == {"serving": INTERPRETERS} and not busy and census["queue"]["waiting"] == 0


def held(site):
    """Threads and descriptors of the process."""
    return len(list(Path(f"/proc/{site.pid}/task").iterdir())), len(site._fds())
