"""Hooks for Circus: `wait_ready`, `drain`, `extended_stats`.

Runs in circusd, not in the server: in whatever Python that has, from 3.8 on. So it imports the standard library alone,
and `psutil`, which Circus needs itself. It asks a server by its control socket, which it finds in the process's command
line; several processes at a time need one each:

    [watcher:web]
    cmd = chaussette --fd $(circus.sockets.web) --control unix:/run/web/control.$(circus.wid) mysite.wsgi
    hooks.after_spawn = chaussette.circus.wait_ready
    hooks.before_signal = chaussette.circus.drain
    hooks.extended_stats = chaussette.circus.extended_stats

Circus calls a hook on the one thread of its loop, and does nothing else until it returns: no command is obeyed, nobody
is respawned. What processes write to Circus's pipes is read meanwhile: otherwise they would wait, and never be ready.

Options of the watcher, in its section:

- `chaussette.ready_timeout`: seconds that a process has to be ready (30).
- `chaussette.max_retry`: how many starts in a row may fail before Circus is told to stop the watcher; -1 (the default):
  any number, as without the hook.
- `chaussette.drain_timeout`: seconds that a process has to end before a signal that would break off its requests (the
  watcher's `graceful_timeout`).
- `chaussette.control`: the address of the control socket, if the command line does not show it (`shell = True`).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["drain", "extended_stats", "wait_ready"]

#: circusd's own.
logger = logging.getLogger("circus")

#: Seconds from the start of a process to its readiness, by default: as many as Circus gives one to end.
READY_TIMEOUT = 30.0

#: Seconds between two looks at a process: a small part of the shortest start (0.1 s).
PAUSE = 0.02

#: Seconds for an answer while a process is waited for. Its control socket is there before the application, and has a
#: thread of its own.
ANSWER_TIMEOUT = 5.0

#: Seconds for an answer when nobody waits for the process but the loop of circusd waits for us: an answer takes a
#: millisecond.
STATS_TIMEOUT = 1.0

#: Bytes that are read at once of what a process writes: a pipe holds no more.
PIPE = 65536

#: Signals that end the server in the middle of a request. By TERM and INT it finishes what it has in hand.
ABRUPT = (signal.SIGKILL, signal.SIGQUIT, signal.SIGABRT, signal.SIGALRM, signal.SIGPIPE)


def wait_ready(watcher: Any, arbiter: Any, hook_name: str, pid: int, **_: Any) -> bool:
    """`after_spawn`: wait until as many interpreters of the new process serve as it shall have.

    False ends the process. So it is only where another one goes on in its place, that is while Circus reloads: there
    are more processes then than `numprocesses`. At a start or a respawn False makes Circus stop the watcher with all
    processes of it, for good; there it is True, unless nobody else serves and `chaussette.max_retry` is passed.
    """
    name = f"{watcher.name}: process {pid}"
    began = time.monotonic()
    limit = _seconds(watcher, "chaussette.ready_timeout", READY_TIMEOUT)
    address, why = _address(watcher, pid)
    while address is not None:
        status, why = _status(address, pid, min(ANSWER_TIMEOUT, limit))
        if status is not None:
            serving = sum(one["stage"] == "serving" for one in status["interpreters"])
            wanted = status["interpreters_wanted"]
            if serving >= wanted and _ask(address, "GET", "/readyz", ANSWER_TIMEOUT)[0] == 200:
                _failures.pop(watcher.name, None)
                logger.info("wait_ready: %s is ready after %.1f s", name, time.monotonic() - began)
                return True
            why = f"{serving} of {wanted} interpreters serve"
        ended = _ending(pid)
        if ended is not None:
            why = ended
            break
        if time.monotonic() - began >= limit:
            why = f"not within chaussette.ready_timeout = {limit:g} s: {why}"
            break
        _pause(arbiter)
    return _not_ready(watcher, pid, f"wait_ready: {name} is not ready: {why}")


def drain(
    watcher: Any, arbiter: Any, hook_name: str, pid: int | None = None, signum: int | None = None, **_: Any
) -> bool:
    """`before_signal`, `before_stop`: let a process end in order before a signal that would break off its requests.

    TERM and INT need no help: the server finishes what it has, and Circus waits for it. Before KILL, QUIT and the like
    it is told to stop in that way, and waited for. One that stops already is not: then Circus has lost its patience.
    """
    signum = watcher.stop_signal if signum is None else signum
    if signum not in ABRUPT:
        return True
    limit = _seconds(watcher, "chaussette.drain_timeout", float(watcher.graceful_timeout))
    until = time.monotonic() + limit
    waiting = [one for one in ([pid] if pid else list(watcher.processes)) if _stop(watcher, one)]
    while waiting and time.monotonic() < until:
        _pause(arbiter)
        waiting = [one for one in waiting if _ending(one) is None]
    for one in waiting:
        logger.warning(
            "drain: %s: process %d has not ended within chaussette.drain_timeout = %g s: it gets signal %d",
            watcher.name,
            one,
            limit,
            signum,
        )
    return True


def extended_stats(watcher: Any, arbiter: Any, hook_name: str, pid: int, stats: Any, **_: Any) -> bool:
    """`extended_stats`: add to the figures of a process what `/status` tells, as `chaussette` and `interpreters`.

    Without the requests in hand: who may ask Circus must not see their targets. Where nobody answers, `chaussette` has
    `error`.
    """
    # It is a sentence when the process is gone.
    if not isinstance(stats, dict):
        return True
    address, why = _address(watcher, pid)
    status = None
    if address is not None:
        status, why = _status(address, pid, STATS_TIMEOUT)
    if status is None:
        stats["chaussette"] = {"error": why}
        stats["interpreters"] = []
        return True
    interpreters = status.pop("interpreters")
    for one in interpreters:
        current = one.pop("current")
        one["busy"] = len(current)
        one["longest_request_seconds"] = max((request["elapsed_seconds"] for request in current), default=0.0)
    stats["chaussette"] = status
    stats["interpreters"] = interpreters
    return True


#: Starts in a row that have failed, by watcher.
_failures: dict[str, int] = {}


def _not_ready(watcher: Any, pid: int, line: str) -> bool:
    """What the hook returns; `line` is logged with what that comes to."""
    if len(watcher.processes) > watcher.numprocesses:
        logger.error("%s; it is ended, and the one before it goes on", line)
        return False
    failed = _failures[watcher.name] = _failures.get(watcher.name, 0) + 1
    most = _number(watcher, "chaussette.max_retry", -1)
    is_alone = all(other == pid or _ending(other) is not None for other in watcher.processes)
    if 0 <= most < failed and is_alone:
        del _failures[watcher.name]
        logger.critical("%s; chaussette.max_retry = %d: %s is stopped", line, most, watcher.name)
        return False
    logger.error("%s; Circus keeps it, and starts another one should it end", line)
    return True


def _stop(watcher: Any, pid: int) -> bool:
    """Tell a process to stop; whether it is to be waited for."""
    address, why = _address(watcher, pid)
    if address is not None:
        status, why = _status(address, pid, STATS_TIMEOUT)
        if status is not None and status["stopping"]:
            return False
        if status is not None:
            code, _ = _ask(address, "POST", "/stop", ANSWER_TIMEOUT)
            if code == 202:
                return True
            why = f"POST /stop: {code or 'no answer'}"
    if _ending(pid) is None:
        logger.warning("drain: %s: process %d is not drained: %s", watcher.name, pid, why)
    return False


def _option(watcher: Any, name: str, default: Any) -> Any:
    return dict(watcher.options()).get(name, default)


def _seconds(watcher: Any, name: str, default: float) -> float:
    given = _option(watcher, name, default)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return seconds
    logger.error("%s = %s: not a number of seconds: taken as %g", name, given, default)
    return default


def _number(watcher: Any, name: str, default: int) -> int:
    given = _option(watcher, name, default)
    try:
        return int(given)
    except ValueError:
        logger.error("%s = %s: not a whole number: taken as %d", name, given, default)
        return default


def _address(watcher: Any, pid: int) -> tuple[Any, str]:
    """Where the control socket of a process is: a path, or host and port. None: the reason, with its cure."""
    given = _option(watcher, "chaussette.control", None)
    if given is None:
        given = _given(pid)
    if given is None:
        return None, (
            "its command line has no --control: "
            f"add --control unix:/run/{watcher.name}/control.$(circus.wid), or name the address as chaussette.control"
        )
    process = watcher.processes.get(pid)
    for placeholder in ("$(circus.wid)", "((circus.wid))"):
        given = given.replace(placeholder, str(getattr(process, "wid", "")))
    if given.startswith("unix:"):
        return os.path.join(watcher.working_dir or "", given[len("unix:") :]), ""
    host, _, port = given.rpartition(":")
    if port.isdigit() and int(port):
        return (host.strip("[]"), int(port)), ""
    return None, f"--control {given} has no port that can be known: use unix:/path.$(circus.wid)"


def _given(pid: int) -> str | None:
    """What follows `--control` in the command line of a process."""
    import psutil

    try:
        words: list[str] = psutil.Process(pid).cmdline()
    except psutil.Error:
        return None
    for number, word in enumerate(words):
        if word == "--control" and number + 1 < len(words):
            return words[number + 1]
        if word.startswith("--control="):
            return word[len("--control=") :]
    return None


def _status(address: Any, pid: int, timeout: float) -> tuple[dict[str, Any] | None, str]:
    """What the process tells of itself, or why there is nothing."""
    code, text = _ask(address, "GET", "/status", timeout)
    if code is None:
        return None, f"{_shown(address)} does not answer: {text}"
    try:
        status = json.loads(text)
        answering = status["pid"]
    except (ValueError, KeyError, TypeError):
        return None, f"{_shown(address)} is not a control socket of chaussette's"
    if answering != pid and not _is_child(answering, pid):
        return None, (
            f"process {answering} answers on {_shown(address)}: "
            "each process needs an address of its own, end it with .$(circus.wid)"
        )
    return status, ""


def _shown(address: Any) -> str:
    return f"unix:{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"


def _is_child(pid: int, ancestor: int) -> bool:
    """Whether a process was started by another, a shell say."""
    import psutil

    try:
        return ancestor in [parent.pid for parent in psutil.Process(pid).parents()]
    except psutil.Error:
        return False


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Any, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.address = address

    def connect(self) -> None:
        if isinstance(self.address, tuple):
            self.sock = socket.create_connection(self.address, self.timeout)
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)


def _ask(address: Any, method: str, path: str, timeout: float) -> tuple[int | None, str]:
    """Status and text of an answer; None and the reason if there is none."""
    connection = _Connection(address, timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return None, str(error) or type(error).__name__
    finally:
        connection.close()


def _ending(pid: int) -> str | None:
    """How a process has ended, if it has. It is left to Circus to reap: the plugins count what it reaps."""
    if not hasattr(os, "waitid"):
        return None
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return "it is gone"
    if ended is None:
        return None
    if ended.si_code == os.CLD_EXITED:
        return f"it has ended with status {ended.si_status}"
    return f"signal {ended.si_status} has ended it"


def _pause(arbiter: Any) -> None:
    """Wait a little, and do meanwhile what Circus's loop cannot: read what the processes write."""
    until = time.monotonic() + PAUSE
    pipes = dict(_pipes(arbiter))
    while True:
        left = max(until - time.monotonic(), 0.0)
        if not pipes:
            time.sleep(left)
            return
        poll = select.poll()
        for fd in pipes:
            poll.register(fd, select.POLLIN)
        for fd, event in poll.poll(left * 1000):
            redirect, name, pid = pipes[fd]
            data = os.read(fd, PIPE) if event & select.POLLIN else b""
            if data:
                try:
                    redirect({"data": data, "pid": pid, "name": name})
                except Exception:
                    # A full disk, say. What leaves a hook would stop the watcher.
                    logger.exception("%s of process %d is not written", name, pid)
            else:
                # The end of it, which Circus is to see.
                del pipes[fd]
        if time.monotonic() >= until:
            return


def _pipes(arbiter: Any) -> Iterator[tuple[int, tuple[Any, str, int]]]:
    """The pipes of all watchers: `stdout_stream` and `stderr_stream` have one a process."""
    for watcher in getattr(arbiter, "watchers", None) or ():
        redirector = getattr(watcher, "stream_redirector", None)
        if redirector is not None:
            for fd, (name, process, _) in list(redirector.pipes.items()):
                yield fd, (redirector.redirect[name], name, process.pid)
