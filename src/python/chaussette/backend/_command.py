"""The life of the process with a backend that is written in Python: open → load → serve → end.

Owns the process on the main thread: signals, hooks, log lines and exit statuses are those of our own front end
(docs/operations.md), whatever the backend does by itself.
"""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

from chaussette import _interpreter
from chaussette._native import Listener
from chaussette.backend import Backend, BackendError, Listening, Settings, Stuck, prepare
from chaussette.util import LOG_FORMAT, configure_logger

if TYPE_CHECKING:
    from chaussette._native import Handover

STOPPED, INTERNAL, USAGE, LOAD, SOCKET, STUCK = 0, 1, 2, 4, 5, 70

#: Seconds that Python may take to end after the backend has: as behind our own front end.
_FINALIZATION = 3.0

#: Seconds that a quick stop takes at most. gunicorn's worker looks once a second whether it shall end.
_QUICK = 3.0

#: The system's own: what an application would call is told in the log, with its place.
_exit = os._exit

#: Seconds beyond --graceful-timeout that a backend gets for closing its connections, before the process leaves.
_CLOSING = 1.0

#: Seconds between two looks at the deadline, which a second signal brings forward.
_LOOK = 0.1

#: What each backend has, because it is done here.
_COMMON = frozenset(
    {
        *("backend", "bind", "fd", "host", "port", "backlog", "address-family", "socket-type"),
        *("factory", "python-path", "pre-hook", "post-hook", "log-level", "log-output"),
    }
)

# Before any monkey-patching: what ends the process is a real thread that really sleeps.
_start_thread, _sleep, _write_to = _thread.start_new_thread, time.sleep, os.write

_log = logging.getLogger("chaussette")


class _Leave(Exception):
    """The end of a start: the exit status, and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def run(given: Handover) -> int:
    """Serve with the backend that the command line names, until told to stop; return the exit status."""
    options = given["options"]
    try:
        configure_logger(_log, str(options["loglevel"]), str(options["logoutput"]))
    except OSError as error:
        print(f"chaussette: error: --log-output {options['logoutput']}: cannot open: {error.strerror}", file=sys.stderr)
        return USAGE
    for notice in given["notices"]:
        _log.warning(notice)
    watch = _Watch(_number(options["graceful_timeout"]))
    status = _live(given, watch)
    if status == STUCK:
        # Python would wait for the thread.
        leave_at_once(status)
    watch.ended(status)
    if _interpreter.finish_main() > watch.threads:
        leave_at_once(status)
    return status


def _live(given: Handover, watch: _Watch) -> int:
    try:
        name, settings = str(given["options"]["backend"]), _settings(given)
        began = time.monotonic()
        backend = _prepare(name, settings)
        _tell_unheeded(name, backend, given["named"])
        sockets = _open(given)
        application = _load(given)
        pre, post = _hook(given, "pre_hook"), _hook(given, "post_hook")
    except _Leave as leave:
        _log.critical(str(leave))
        return leave.status
    try:
        server = backend(application, sockets, settings)
        watch.install(server)
        _call(pre, given)
        _announce(application, sockets, backend, settings)
        _log.info("ready: %s in %.3f s", name, time.monotonic() - began)
        server.serve_forever()
    except _Leave as leave:
        _log.critical(str(leave))
        return leave.status
    except BackendError as error:
        _log.critical(str(error))
        return STUCK if isinstance(error, Stuck) else USAGE
    except Exception:
        _log.critical("backend %s failed", name, exc_info=True)
        return INTERNAL
    finally:
        for sock in sockets:
            sock.close()
    return _close(post, given)


def _close(post: Callable[[object], object] | None, given: Handover) -> int:
    try:
        _call(post, given)
    except _Leave as leave:
        _log.critical(str(leave))
        return leave.status
    _log.info("stopped")
    return STOPPED


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def _settings(given: Handover) -> Settings:
    spawn = given["options"]["spawn"]
    return Settings(
        threads=given["threads"] if "threads" in given["named"] else None,
        spawn=spawn if isinstance(spawn, int) else None,
        monkey="no-monkey" not in given["named"],
    )


def _prepare(name: str, settings: Settings) -> type[Backend]:
    try:
        return prepare(name, settings)
    except BackendError as error:
        raise _Leave(USAGE, f"--backend: {error}") from error


def _tell_unheeded(name: str, backend: type[Backend], named: list[str]) -> None:
    heeded = _COMMON | frozenset(getattr(backend, "heeds", ()))
    unheeded = [f"--{option}" for option in named if option not in heeded]
    if unheeded:
        verb = "has" if len(unheeded) == 1 else "have"
        _log.warning("%s %s no effect with --backend %s", ", ".join(unheeded), verb, name)


def _open(given: Handover) -> list[Listening]:
    backlog = given["options"]["backlog"]
    assert isinstance(backlog, int)
    sockets: list[Listening] = []
    try:
        for host, port, family in given["sockets"]:
            sockets.append(Listening(Listener(host, port, family, backlog)))
    except (OSError, ValueError) as error:
        for sock in sockets:
            sock.close()
        raise _Leave(SOCKET, str(error)) from error
    return sockets


def _load(given: Handover) -> object:
    _interpreter.prepare(given["path"], given["argv"], False, _log.warning)
    _interpreter.number = 0
    try:
        return _interpreter.load(given["application"], given["factory"])
    except (Exception, SystemExit) as error:
        report = _interpreter.report(error)
        # A traceback begins on a line of its own.
        message = f"cannot load application {given['application']}:{'\n' if '\n' in report else ' '}{report}"
        raise _Leave(LOAD, message) from error


def _hook(given: Handover, option: str) -> Callable[[object], object] | None:
    name = given["options"][option]
    if name is None:
        return None
    try:
        return _interpreter.find_hook(str(name), given["path"])  # type: ignore[return-value]
    except Exception as error:
        raise _Leave(INTERNAL, f"hook {name} failed: {_interpreter.report(error)}") from error


def _call(hook: Callable[[object], object] | None, given: Handover) -> None:
    if hook is None:
        return
    _log.info("Running the hook %s", hook)
    try:
        hook(SimpleNamespace(**given["options"]))
    except Exception as error:
        raise _Leave(INTERNAL, f"hook {hook} failed: {_interpreter.report(error)}") from error


def _announce(application: object, sockets: list[Listening], backend: type[Backend], settings: Settings) -> None:
    """Write the lines of 1.3."""
    _log.info("Application is %r", application)
    for sock in sockets:
        _log.info("Serving on %s", sock.described)
    _log.info("Using %r as a backend", backend)
    if settings.spawn is not None:
        _log.info("Spawning method: %s", settings.spawn)


class _Watch:
    """Turns signals into asks, and ends a process that does not end by itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._server: Backend | None = None
        self._asked = False
        # When the process leaves, whatever it does then, and with which status.
        self._end: tuple[float, int] | None = None
        self.threads = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._stop)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, self._ignore)

    def install(self, server: Backend) -> None:
        """Stop this one from now on."""
        self._server = server

    def ended(self, status: int) -> None:
        """Give Python its time to end, and no more."""
        self._limit(_FINALIZATION, status)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        quick = self._asked or number == signal.SIGQUIT
        self._asked = True
        server = self._server
        if server is None:
            _write("INFO", "stopped while the application was being loaded")
            leave_at_once(STOPPED)
        seconds = 0.0 if quick else self._seconds
        _write("INFO", "stopping at once" if quick else f"stopping: requests in flight have {seconds:g} s")
        self._limit(_QUICK if quick else seconds + _CLOSING, STUCK)
        server.stop(seconds)

    @staticmethod
    def _ignore(number: int, frame: FrameType | None) -> None:
        _write("WARNING", f"{signal.Signals(number).name} has no effect: ignored")

    def _limit(self, seconds: float, status: int) -> None:
        # One value, written in one step: this may run in a signal handler, so it takes no lock.
        first, self._end = self._end is None, (time.monotonic() + seconds, status)
        if first:
            self.threads = 1
            _start_thread(self._watch, ())

    def _watch(self) -> None:
        while True:
            assert self._end is not None
            deadline, status = self._end
            left = deadline - time.monotonic()
            if left <= 0:
                break
            _sleep(min(left, _LOOK))
        if status == STUCK:
            _write("CRITICAL", "stopped: a thread is still in the application's code")
        _exit(status)


def _write(level: str, message: str) -> None:
    """Write a log line without the locks of `logging`: a signal may have come while one of them was held."""
    if not _log.isEnabledFor(logging.getLevelNamesMapping()[level]):
        return
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    line = LOG_FORMAT % {"asctime": now, "process": os.getpid(), "levelname": level, "message": message}
    for handler in _log.handlers:
        stream = getattr(handler, "stream", None)
        try:
            _write_to(stream.fileno(), f"{line}\n".encode(errors="backslashreplace"))  # type: ignore[union-attr]
        except (AttributeError, OSError, ValueError):
            pass


def leave_at_once(status: int) -> NoReturn:
    """End the process without what Python does at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    _exit(status)
