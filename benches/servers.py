"""The servers that are measured: how each is started at its best known setting, and stopped.

Owns the processes it starts: each server gets a session of its own and is ended by process id, all of that session, on
whatever way the `with` block is left; and the database of the Django project. Knows nothing of loads and figures.
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
from tools import STATIC, TARGET

HERE = Path(__file__).parent
# Django-sized applications in N workers on a busy machine start in a fraction of this.
START_SECONDS = 30
STOP_SECONDS = 10
BACKLOG = 2048


DJANGO = HERE.parent / "examples" / "django"
DJANGO_DATABASE = TARGET / "bench" / "django.sqlite3"
# Applications that are not attributes of apps.py: their form for the command line, and the directory to start in.
ELSEWHERE = {"django": ("mysite.wsgi:application", DJANGO)}
LISTENING = "127.0.0.1"

# Threads in Python per process, the best at each application: of 1, 2, 4 and its default (granian: 512) alone with the
# GIL when a request is nothing but Python; of 4, 16 and 32 where requests wait.
THREADS = {
    ("granian", "cpu1ms"): 1,
    ("granian", "mixed"): 16,
    ("granian", ""): 4,
    ("gunicorn", "cpu1ms"): 1,
    ("gunicorn", "mixed"): 16,
    ("gunicorn", ""): 4,
    ("chaussette", "mixed"): 16,
    ("chaussette", ""): 1,
}


class ServerError(Exception):
    """A server did not start or answer as it should: which, why, and the end of its log."""


@dataclass(frozen=True)
class Settings:
    """What every server is told alike."""

    app: str  # an attribute of apps.py, or of ELSEWHERE
    workers: int  # interpreters or processes
    cpus: tuple[int, ...]  # where its threads may run
    bin: Path  # the virtual environment's
    loops_per_ms: int
    threads: int = 0  # of each worker; 0: what THREADS says
    log_level: str = "warning"
    options: tuple[str, ...] = ()  # of this server alone

    @property
    def application(self) -> str:
        return ELSEWHERE[self.app][0] if self.app in ELSEWHERE else f"apps:{self.app}"

    @property
    def directory(self) -> Path:
        return ELSEWHERE[self.app][1] if self.app in ELSEWHERE else HERE

    def threads_of(self, server: str) -> int:
        return self.threads or THREADS.get((server, self.app)) or THREADS[server, ""]


@dataclass(frozen=True)
class Probe:
    """The request that tells whether the application is served, and its only right reply (None: any 200)."""

    body: bytes
    reply: bytes | None


def _chaussette(settings: Settings, address: str) -> list[str]:
    # own-gil, not auto: a fallback to the main interpreter is a failure here, never a figure.
    isolation = () if "--isolation" in settings.options else ("--isolation", "own-gil")
    options = ["--fd", address, "--interpreters", str(settings.workers), *isolation]
    options += ["--threads", str(settings.threads_of("chaussette")), "--log-level", settings.log_level]
    options += ["--python-path", str(settings.directory), *settings.options]
    return [str(settings.bin / "chaussette"), *options, settings.application]


def _granian(settings: Settings, address: str) -> list[str]:
    options = ["--interface", "wsgi", "--host", LISTENING, "--port", address, "--workers", str(settings.workers)]
    options += ["--blocking-threads", str(settings.threads_of("granian")), "--backlog", str(BACKLOG), "--http", "1"]
    options += ["--no-ws", "--no-access-log", "--log-level", settings.log_level, *settings.options]
    return [str(settings.bin / "granian"), *options, settings.application]


def _gunicorn(settings: Settings, address: str) -> list[str]:
    options = ["--bind", f"{LISTENING}:{address}", "--workers", str(settings.workers)]
    # A keep-alive time above any of ours: 2 s, the default, would close connections between two loads.
    options += ["--worker-class", "gthread", "--threads", str(settings.threads_of("gunicorn")), "--keep-alive", "75"]
    # Its heartbeat file in memory, as gunicorn's manual asks for.
    options += ["--backlog", str(BACKLOG), "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
    # Says when a worker has loaded the application, which gunicorn's own lines do not.
    options += ["--config", str(HERE / "gunicorn_booted.py"), "--log-level", settings.log_level, *settings.options]
    return [str(settings.bin / "gunicorn"), *options, settings.application]


def _bjoern(settings: Settings, address: str) -> list[str]:
    program = [str(settings.bin / "python"), str(HERE / "bjoern_app.py")]
    return [*program, settings.application, address, str(settings.workers)]


def _static(settings: Settings, address: str) -> list[str]:
    return [str(STATIC), address]


# In the order of the tables. Ours takes the number of an inherited socket, the others a port.
OURS = "chaussette"
COMMANDS = {OURS: _chaussette, "static": _static, "granian": _granian, "gunicorn": _gunicorn, "bjoern": _bjoern}


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
            cwd=self.settings.directory,
            env=os.environ | {LOOPS_VARIABLE: str(self.settings.loops_per_ms), "DJANGO_DATABASE": str(DJANGO_DATABASE)},
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

    def wait_for_lines(self, text: str, count: int) -> None:
        """Return when it has written `count` lines that have `text` in them."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while self._written().count(text.encode()) < count:
            if self._process.poll() is not None:
                raise self.failed(f"ended with status {self._process.returncode} before it wrote {text!r}")
            if time.monotonic() > deadline:
                raise self.failed(f"did not write {text!r} {count} times within {START_SECONDS} s")
            time.sleep(0.001)

    def _written(self) -> bytes:
        # Not by read(): the position in the file is the server's, too.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0)

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
        tail = self._written().decode(errors="replace").splitlines()[-15:]
        return ServerError("\n".join([f"{self.name}: {what}; it wrote:", *(f"    {line}" for line in tail)]))


def migrate(python: Path) -> None:
    """Make the Django project's database anew."""
    DJANGO_DATABASE.parent.mkdir(parents=True, exist_ok=True)
    for left in DJANGO_DATABASE.parent.glob(f"{DJANGO_DATABASE.name}*"):
        left.unlink()
    environment = os.environ | {"DJANGO_DATABASE": str(DJANGO_DATABASE)}
    command = [str(python), "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=DJANGO, env=environment, timeout=START_SECONDS, check=True)
