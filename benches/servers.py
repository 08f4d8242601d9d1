"""The servers that are measured: how each is started at its best known setting, and stopped.

Owns the processes it starts: each server gets a session of its own and is ended by process id, all of that session, on
whatever way the `with` block is left. Knows nothing of loads and figures.
"""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from apps import LOOPS_VARIABLE
from measure import processes_of

HERE = Path(__file__).parent
# Django-sized applications in N workers on a busy machine start in a fraction of this.
START_SECONDS = 30
STOP_SECONDS = 10
BACKLOG = 2048


# Its threads in Python per process, of 1, 2, 4 and its default (512) the best at each application: alone with the GIL
# when a request is nothing but Python, 4 otherwise.
GRANIAN_THREADS = {"cpu1ms": 1}
GRANIAN_THREADS_ELSE = 4


class ServerError(Exception):
    """A server did not start or answer as it should: which, why, and the end of its log."""


@dataclass(frozen=True)
class Settings:
    """What every server is told alike."""

    app: str  # an attribute of apps.py
    workers: int  # interpreters or processes
    cpus: tuple[int, ...]  # where its threads may run
    bin: Path  # the virtual environment's
    loops_per_ms: int


@dataclass(frozen=True)
class Probe:
    """The request that tells whether the application is served, and its only right reply (None: any 200)."""

    body: bytes
    reply: bytes | None


def _chaussette(settings: Settings, address: str) -> list[str]:
    # own-gil, not auto: a fallback to the main interpreter is a failure here, never a figure.
    options = ["--fd", address, "--interpreters", str(settings.workers), "--isolation", "own-gil"]
    options += ["--log-level", "warning", "--python-path", str(HERE)]
    return [str(settings.bin / "chaussette"), *options, f"apps:{settings.app}"]


def _granian(settings: Settings, address: str) -> list[str]:
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", address, "--workers", str(settings.workers)]
    threads = GRANIAN_THREADS.get(settings.app, GRANIAN_THREADS_ELSE)
    options += ["--blocking-threads", str(threads), "--backlog", str(BACKLOG), "--http", "1"]
    options += ["--no-ws", "--no-access-log", "--log-level", "warning"]
    return [str(settings.bin / "granian"), *options, f"apps:{settings.app}"]


def _gunicorn(settings: Settings, address: str) -> list[str]:
    options = ["--bind", f"127.0.0.1:{address}", "--workers", str(settings.workers)]
    # A keep-alive time above any of ours: 2 s, the default, would close connections between two loads.
    options += ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "75", "--backlog", str(BACKLOG)]
    # Its heartbeat file in memory, as gunicorn's manual asks for.
    options += ["--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--log-level", "warning"]
    return [str(settings.bin / "gunicorn"), *options, f"apps:{settings.app}"]


def _bjoern(settings: Settings, address: str) -> list[str]:
    return [
        str(settings.bin / "python"),
        str(HERE / "bjoern_app.py"),
        f"apps:{settings.app}",
        address,
        str(settings.workers),
    ]


# In the order of the tables. Ours takes the number of an inherited socket, the peers a port.
OURS = "chaussette"
COMMANDS = {OURS: _chaussette, "granian": _granian, "gunicorn": _gunicorn, "bjoern": _bjoern}


def command_of(name: str, settings: Settings, address: str = "ADDRESS") -> list[str]:
    return COMMANDS[name](settings, address)


class Server:
    """A running server: `with Server(name, settings) as server:` starts it, and ends it at the end of the block."""

    def __init__(self, name: str, settings: Settings, under: tuple[str, ...] = ()) -> None:
        """`under`: the command line of a program that runs the server's, which follows it."""
        self.name = name
        self.settings = settings
        self._under = under
        self.port = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def session(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "Server":
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = listener.getsockname()[1]
        try:
            if self.name == OURS:
                self._start(str(listener.fileno()), (listener.fileno(),))
            else:
                # A peer binds the port itself, so it has to be free again. Nobody else is handed it meanwhile: the
                # system gives such ports out in random order.
                listener.close()
                self._start(str(self.port), ())
        finally:
            listener.close()
        return self

    def _start(self, address: str, inherited: tuple[int, ...]) -> None:
        cpus = ",".join(map(str, self.settings.cpus))
        self._process = subprocess.Popen(
            ["taskset", "-c", cpus, *self._under, *command_of(self.name, self.settings, address)],
            cwd=HERE,
            env=os.environ | {LOOPS_VARIABLE: str(self.settings.loops_per_ms)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._stop()
        finally:
            self._log.close()

    def _stop(self) -> None:
        if self._process is None:
            return
        try:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"note: {self.name} did not end within {STOP_SECONDS} s of SIGTERM: killed", flush=True)
        finally:
            # The rest of the session: all of a server that did not end, and what one that died left behind. The
            # session's number is nobody else's yet, since the system gives numbers out in turn.
            for process in processes_of(self.session):
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended by itself
            self._process.wait()

    def wait_until_right(self, probe: Probe) -> None:
        """Return when it answers `probe` with the right reply; raise when the reply is wrong or the time is up."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        reason = "nothing was tried"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self.failed(f"ended with status {self._process.returncode} before it answered")
            try:
                status, reply = self._ask(probe)
            except (OSError, http.client.HTTPException) as error:
                reason = repr(error)
                time.sleep(0.02)
                continue
            if status == 200 and probe.reply in (None, reply):
                return
            wanted = "anything" if probe.reply is None else repr(probe.reply[:200])
            raise self.failed(f"answered {status} {reply[:200]!r} instead of 200 {wanted}")
        raise self.failed(f"did not answer within {START_SECONDS} s: {reason}")

    def _ask(self, probe: Probe) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request("POST" if probe.body else "GET", "/", body=probe.body or None)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def failed(self, what: str) -> ServerError:
        """An error that says `what` of this server, with the last lines it wrote."""
        self._log.seek(0)
        tail = self._log.read().decode(errors="replace").splitlines()[-15:]
        return ServerError("\n".join([f"{self.name}: {what}; it wrote:", *(f"    {line}" for line in tail)]))
