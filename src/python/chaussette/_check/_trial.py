"""Trials: processes that load the application, each with a deadline, each killed with all that it has started.

Owns their files and their process groups. Runs in the command's own process, in which nothing of the application is
ever loaded.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaussette._interpreter import _is_machinery

#: Seconds beyond its deadline after which a process is killed that did not end by itself. Its own clock begins when
#: Python has started, which takes seconds on a machine that is busy, and it then tells where it hangs.
_LATE = 10.0

#: Seconds for the end of a process that has found all there is: exit handlers and threads of the application's.
_END = 8.0

#: Seconds between two looks at a process.
_LOOK = 0.02

#: Bytes of what a process wrote to stdout and stderr that are told when it ended otherwise than it should.
_TOLD = 4000

#: Given the application's path before anything is imported, so that a module of its own cannot take a name of ours.
_PROGRAM = "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from chaussette._check._child import main; main()"


@dataclass
class Trial:
    """What became of a process."""

    events: list[dict[str, Any]]
    #: `done`; or how it ended before it was: `timeout`, `SIGSEGV`, `exit`.
    end: str
    #: The exit status, where `end` is `exit`.
    status: int
    #: The end of what it wrote.
    log: str

    def event(self, name: str) -> dict[str, Any] | None:
        """The first event of that name."""
        return next((event for event in self.events if event["event"] == name), None)

    def how(self) -> str:
        """How it ended, as the end of a sentence."""
        leaving = self.event("leaving")
        if leaving is not None:
            return f"ended its process: {leaving['call']}"
        if self.end == "timeout":
            return "did not come back in time"
        return f"ended its process with status {self.status}" if self.end == "exit" else f"crashed by {self.end}"


class Stage:
    """Runs trials of one application, one at a time."""

    def __init__(self, path: list[str], timeout: float) -> None:
        self._path, self._timeout = path, timeout

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """What ends this process by a signal ends its trial before."""

        def leave(number: int, frame: object) -> None:
            raise SystemExit(128 + number)

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, leave) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def run(self, kind: str, **job: object) -> Trial:
        """Run one trial to its end."""
        with tempfile.TemporaryDirectory(prefix="chaussette-check-") as folder:
            diary, done, log = (Path(folder, name) for name in ("diary", "done", "log"))
            diary.touch()
            job = {
                **job,
                "kind": kind,
                "diary": str(diary),
                "done": str(done),
                "timeout": self._timeout,
                "path": self._path,
            }
            # -W and -X as this process has them.
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
            command = [sys.executable, *flags, "-c", _PROGRAM, "\n".join(self._path), marshal.dumps(job).hex()]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            try:
                end, status = self._wait(process, done)
            finally:
                self._sweep(process)
            return Trial(_read(diary), end, status, _tail(log))

    def _wait(self, process: subprocess.Popen[bytes], done: Path) -> tuple[str, int]:
        began = time.monotonic()
        deadline = began + self._timeout + _LATE
        finished = False
        while True:
            # Not reaped yet: its number, which is its group's, stays its own.
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if not finished and done.exists():
                finished, deadline = True, time.monotonic() + _END
            if finished and (ended is not None or time.monotonic() > deadline):
                return "done", 0
            if ended is not None:
                if time.monotonic() - began >= self._timeout:
                    return "timeout", 0
                if ended.si_code == os.CLD_EXITED:
                    return "exit", ended.si_status
                return signal.Signals(ended.si_status).name, 0
            if time.monotonic() > deadline:
                return "timeout", 0
            time.sleep(_LOOK)

    @staticmethod
    def _sweep(process: subprocess.Popen[bytes]) -> None:
        """Kill it, and what the application has started in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(diary: Path) -> list[dict[str, Any]]:
    events = []
    for line in diary.read_bytes().splitlines():
        try:
            events.append(marshal.loads(bytes.fromhex(line.decode())))
        except (ValueError, EOFError, TypeError):
            # Cut off by a crash.
            break
    return events


def _tail(log: Path) -> str:
    data = log.read_bytes()
    text = data[-_TOLD:].decode(errors="backslashreplace")
    return _without_machinery(text.partition("\n")[2] if len(data) > _TOLD else text).rstrip()


def _without_machinery(text: str) -> str:
    """Take our own frames and the import system's out of the stacks that faulthandler wrote."""
    lines: list[str] = []
    for line in text.splitlines():
        frame = re.match(r'  File "(.*)", line \d+ in ', line)
        if frame and (_is_machinery(frame[1]) or frame[1] == "<string>"):
            continue
        # A number that is another one each time says nothing.
        thread = re.match(r"((?:Current t|T)hread) 0x[0-9a-f]+ (\(most recent call first\):)$", line)
        lines.append(f"{thread[1]} {thread[2]}" if thread else line)
    kept = zip(lines, [*lines[1:], ""], strict=False)
    return "\n".join(line for line, after in kept if after or not line.endswith("(most recent call first):"))
