"""A real circusd, and clients that notice a lost request.

Owns the daemon, its configuration and its folder. Everything it starts carries the folder in its command line, so
that what is left behind can be found.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .process import ACCIDENTS, HERE, command_line
from .waiting import soon
from .wire import Closed, Connection, Truncated

BIN = Path(sys.executable).parent

#: Seconds after which circusd gets TERM again, and how often: 0.19 loses one that comes while it obeys a command, of a
#: plugin, say. 40 s in all: above its graceful_timeout of 30 s.
TERM_AGAIN, TERMS = 5, 8


def watcher(name, options, application="apps.hello:app", **settings):
    """A [watcher:…] section that runs the installed command with `options`."""
    marker = f"$(folder)/{name}"
    lines = {
        "cmd": " ".join([*command_line(), *options, application, marker]),
        "working_dir": HERE,
        "numprocesses": 1,
        "use_sockets": True,
        **settings,
    }
    return "\n".join([f"[watcher:{name}]", *(f"{key} = {value}" for key, value in lines.items())])


def socket_section(name, **settings):
    return "\n".join([f"[socket:{name}]", *(f"{key} = {value}" for key, value in settings.items())])


@contextlib.contextmanager
def circusd(*arguments, **named):
    """A circusd that must end, and leave nothing behind."""
    daemon = Circus(*arguments, **named)
    try:
        yield daemon
    finally:
        wrong = daemon.clean_up()
        assert not wrong, "\n".join(wrong)


def free_port(kind=socket.SOCK_STREAM):
    """For what does not tell which port it got for 0."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Circus:
    """A started circusd. Its sockets of ipc endpoints need a short path: the folder is made here, not by pytest."""

    def __init__(self, configuration, cwd=HERE, env=None):
        self.folder = Path(tempfile.mkdtemp(prefix="circus-"))
        self.endpoint = f"ipc://{self.folder}/endpoint"
        head = [
            "[circus]",
            f"endpoint = {self.endpoint}",
            f"pubsub_endpoint = ipc://{self.folder}/events",
            "check_delay = 1",
        ]
        given = configuration.replace("$(folder)", str(self.folder))
        self.sockets = {}
        self.file = self.folder / "circus.ini"
        self.file.write_text("\n".join(head) + "\n" + given)
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / "circusd"), str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=env or {"PATH": os.environ["PATH"]},
                start_new_session=True,
            )
        soon(lambda: self.control("status", check=False), what=lambda: f"circusd; its log was:\n{self.log}")

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def control(self, *words, check=True):
        """Run circusctl; returns the message that circusd answered with."""
        done = subprocess.run(
            [str(BIN / "circusctl"), "--endpoint", self.endpoint, "--timeout", "40", "--json", *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"]},
        )
        with contextlib.suppress(json.JSONDecodeError):
            answer = json.loads(done.stdout.strip().splitlines()[-1])
            if answer.get("status") != "error":
                return answer
        assert not check, f"circusctl {words}: {done.stdout}{done.stderr}"
        return None

    def pids(self, name):
        """The living processes of a watcher, found by the last word of their command lines."""
        return self._with(f"{self.folder}/{name}\0")

    def address(self, name):
        """Where the socket listens: circusd tells the port that the kernel chose."""
        if not self.sockets:
            self.sockets = {one["name"]: one for one in self.control("listsockets")["sockets"]}
        one = self.sockets[name]
        return one.get("path") or (one["host"], one["port"])

    def statuses(self):
        """Of each watcher: active, stopped, starting, stopping."""
        return self.control("status")["statuses"]

    def said(self, pattern):
        """The lines of the log, circusd's and the servers', in which `pattern` is found."""
        return [line for line in self.log.splitlines() if re.search(pattern, line)]

    def readies(self, pid=None):
        return len(re.findall(rf"\[{pid or r'\d+'}\] \[INFO\] ready: ", self.log))

    def wait_ready(self, *names):
        def ready(name):
            return (pids := self.pids(name)) and all(self.readies(pid) for pid in pids)

        for name in names:
            soon(lambda name=name: ready(name), 30, lambda: self.log)
        return self

    @staticmethod
    def _with(text):
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def clean_up(self):
        """End circusd as init would; returns what was wrong, as a list of sentences."""
        wrong = []
        for _ in range(TERMS):
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(TERM_AGAIN)
                break
        else:
            wrong.append("circusd did not end")
            self.process.kill()
            self.process.wait(10)
        for pid in self._with(str(self.folder)):
            wrong.append(f"left process {pid} behind")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wrong += [f"the log has {line!r}" for line in ACCIDENTS.findall(self.log)]
        log = self.log
        shutil.rmtree(self.folder)
        return [f"{sentence}; the log was:\n{log}" for sentence in wrong]


class Visitors:
    """Clients that ask again and again, retry what was never answered, and remember what was lost.

    A request is lost when its answer is not the right one, `cut` when the answer ends early. One that met a closed
    door, or a connection closed before any byte of an answer, is sent again, as any client of an idempotent request
    may do.
    """

    def __init__(self, address, path, body, count=4, keep_alive=False):
        self.address, self.path, self.body, self.keep_alive = address, path, body, keep_alive
        self.served = self.retried = self.cut = 0
        self.lost = []
        self.leaving = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_served(20)
        return self

    def __exit__(self, *exc_info):
        self.leaving.set()
        for thread in self.threads:
            thread.join(60)

    def wait_served(self, more):
        """Wait until `more` further requests have been served."""
        before = self.served
        soon(lambda: self.served >= before + more, 30, lambda: f"{more} requests served; lost: {self.lost}")

    def _visit(self):
        while not self.leaving.is_set():
            try:
                with Connection(self.address, timeout=30) as connection:
                    self._ask(connection)
            except (Closed, ConnectionError):
                with self.lock:
                    self.retried += 1
            except Truncated:
                with self.lock:
                    self.cut += 1
            except Exception as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                return

    def _ask(self, connection):
        while not self.leaving.is_set():
            answer = connection.get(self.path)
            if (answer.status, answer.body) != (200, self.body):
                self.lost.append(f"{answer.status} with {len(answer.body)} bytes")
            with self.lock:
                self.served += 1
            if not self.keep_alive or answer["Connection"] == "close":
                return
