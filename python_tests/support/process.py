"""The server as a process: start, ask, read its log, stop, and look for what it left behind.

Owns the child process and its two output files. Knows the command line and the log lines that are promised, and
nothing of how the server is made.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM

from .waiting import soon
from .wire import Connection

#: The folder that the server runs in: `apps` is importable there.
HERE = Path(__file__).resolve().parent.parent

#: Lines that no run may leave in a log, whatever the test asked for.
ACCIDENTS = re.compile(
    r"^.*(?:panicked at|Fatal Python error|Segmentation fault|double free|free\(\): invalid"
    r"|not the last thread|RuntimeError: reentrant).*$",
    re.MULTILINE,
)

#: Seconds from the start of the process to the ready line; two Django interpreters take about 1.5 s on this design.
START = 30.0

#: Seconds for the end of a process that was asked to: above the default --graceful-timeout of 25 s.
END = 35.0


def command_line(python_options=()):
    """The installed command: the console script beside this Python, or the module when Python itself gets options."""
    script = Path(sys.executable).parent / "chaussette"
    if script.exists() and not python_options:
        return [str(script)]
    return [sys.executable, *python_options, "-m", "chaussette"]


def session_members(leader):
    """The living processes whose session is `leader` (servers are started as session leaders)."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                members.append(int(entry.name))
    return members


class Server:
    """A started process. `address` is where its first socket listens."""

    def __init__(self, command, workdir, *, address=None, listener=None, popen=None):
        workdir.mkdir(parents=True, exist_ok=True)
        self.address, self.listener = address, listener
        self.log_path, self.out_path = workdir / "stderr", workdir / "stdout"
        self.started = time.monotonic()
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=log,
                start_new_session=True,
                **({"stdin": subprocess.DEVNULL} | (popen or {})),
            )
        self.pid = self.process.pid
        self.expected_status = 0
        #: Whether the test makes it crash.
        self.crashes = False
        self.connections = []

    # What it said

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    def mark(self):
        """Where the log ends now, for `since`."""
        return len(self.log)

    def wait_for_log(self, pattern, since=0, deadline=15.0):
        """Wait for a line that matches; returns the match."""
        compiled = re.compile(pattern, re.MULTILINE)
        return soon(
            lambda: compiled.search(self.log, since),
            deadline,
            what=lambda: f"a log line matching {pattern!r}; the log was:\n{self.log[since:]}",
        )

    def wait_ready(self, deadline=START):
        """Wait for the `ready` line, the last one of a start."""

        def ready_or_ended():
            return re.search(r"\] ready: ", self.log) or self.process.poll() is not None

        soon(ready_or_ended, deadline, what=lambda: f"the ready line; the log was:\n{self.log}")
        if self.process.poll() is not None:
            raise AssertionError(f"ended with status {self.process.returncode} before it was ready:\n{self.log}")
        return self

    # Requests

    def connect(self, timeout=15.0, source=None):
        """A connection, closed with the server unless the test closes it."""
        self.connections.append(Connection(self.address, timeout, source))
        return self.connections[-1]

    def request(self, method, target, headers=(), body=b"", chunks=None, version="1.1"):
        with self.connect() as connection:
            return connection.request(method, target, headers, body, chunks, version)

    def get(self, target="/", headers=()):
        return self.request("GET", target, headers)

    def raw(self, data):
        """Send bytes, half-close nothing, and return all bytes until the server closes."""
        with self.connect() as connection:
            connection.send(data)
            return connection.rest()

    # What it holds

    def status_kib(self, key):
        """A size from /proc/PID/status, in KiB: VmRSS (now) or VmHWM (the most it has been)."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE).group(1))

    def has_connection_from(self, port):
        """Whether the server still holds a connection of the client at local TCP `port`."""
        ours = {link for fd in self._fds() if (link := self._readlink(fd)).startswith("socket:")}
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[2].rpartition(":")[2], 16) == port and f"socket:[{fields[9]}]" in ours:
                return True
        return False

    def _fds(self):
        return list(Path(f"/proc/{self.pid}/fd").iterdir())

    @staticmethod
    def _readlink(path):
        try:
            return os.readlink(path)
        except OSError:
            return ""

    # The end

    @property
    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, deadline=END):
        """Wait for the end of the process; returns its exit status (negative: the signal that killed it)."""
        soon(lambda: not self.running, deadline, what=lambda: f"the end of {self.pid}; the log was:\n{self.log}")
        return self.process.returncode

    def stop(self, number=SIGTERM, deadline=END):
        """Send a signal, wait for the end; returns the exit status."""
        if self.running:
            self.signal(number)
        return self.wait(deadline)

    def expect(self, *statuses):
        """Say which exit statuses the end of the test may find (0 unless said)."""
        self.expected_status = statuses
        return self

    def clean_up(self):
        """End the process whatever state it is in; returns what was wrong, as a list of sentences."""
        wrong = []
        for connection in self.connections:
            connection.close()
        try:
            status = self.stop(deadline=END)
            expected = self.expected_status if isinstance(self.expected_status, tuple) else (self.expected_status,)
            if status not in expected:
                wrong.append(f"exit status {status}, expected one of {expected}")
        except AssertionError:
            wrong.append("SIGTERM did not end it")
            os.kill(self.pid, SIGKILL)
            self.process.wait(10)
        leftovers = session_members(self.pid)
        for pid in leftovers:
            wrong.append(f"left process {pid} behind")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        if not self.crashes:
            wrong += [f"the log has {line!r}" for line in ACCIDENTS.findall(self.log)]
        if self.listener is not None:
            self.listener.close()
        return [f"{sentence}; the log was:\n{self.log}" for sentence in wrong]


class Starter:
    """Starts servers for one test (or one module) and ends them all.

    `isolation`: where they have their application, unless they are told otherwise; None: where they choose.
    """

    def __init__(self, workdir, isolation=None):
        self.workdir, self.isolation, self.servers = workdir, isolation, []

    def __call__(
        self,
        application=None,
        *options,
        words=(),
        listen="tcp",
        blocking=False,
        env=None,
        python=(),
        cwd=HERE,
        wait=True,
        **popen,
    ):
        """Start the command in an empty environment, as Circus does, with one listening socket adopted by --fd.

        `words` follow the application.
        `listen` is "tcp", "tcp6", "unix", a listening socket, or None: then `options` say where to listen.
        One interpreter unless the options name a number, so that a test says how many it needs, or another backend.
        """
        workdir = self.workdir / f"server-{len(self.servers)}"
        listener, fd = self._listener(listen, workdir, blocking), None
        given = [str(option) for option in options]
        if "--interpreters" not in given and "--backend" not in given:
            given = ["--interpreters", "1", *given]
        if self.isolation and "--isolation" not in given and "--backend" not in given:
            given = ["--isolation", self.isolation, *given]
        if listener is not None:
            fd = os.dup(listener.fileno())
            given = ["--fd", str(fd), *given]
            popen["pass_fds"] = (*popen.get("pass_fds", ()), fd)
        command = command_line(python) + given + ([application] if application else []) + [str(word) for word in words]
        try:
            server = Server(
                command,
                workdir,
                address=listener.getsockname() if listener else None,
                listener=listener,
                popen={"env": env or {}, "cwd": str(cwd), **popen},
            )
        finally:
            if fd is not None:
                os.close(fd)
        server.fd = fd
        self.servers.append(server)
        return server.wait_ready() if wait else server

    def _listener(self, listen, workdir, blocking):
        if listen is None or isinstance(listen, socket.socket):
            return listen
        from .sockets import listening

        workdir.mkdir(parents=True, exist_ok=True)
        return listening(listen, workdir / "socket", blocking)

    def clean_up(self):
        wrong = [sentence for server in reversed(self.servers) for sentence in server.clean_up()]
        assert not wrong, "\n".join(wrong)
