"""A process that is thrown away: it loads the application in one isolation, writes down what it finds, and ends.

Owns the process: its deadline, its memory, the forks that it makes. Started by `_trial`, and never by anybody else.
"""

from __future__ import annotations

import marshal
import os
import sys

from chaussette import _cpython
from chaussette._check._inside import Diary, Watch, loaded

TYPE_CHECKING = False
if TYPE_CHECKING:  # the name alone tells a type checker; `typing` would be imported before the application's
    from typing import Any

#: Seconds that the interpreters' own threads get at their end, twice: `--graceful-timeout` keeps half for the rest.
GRACE = 4

#: The factories that the server's loader is given.
LOAD, PROBE, ATTEMPT = (f"chaussette._check._inside:{name}" for name in ("load", "probe", "attempt"))

_leave_at_once = os._exit


def main() -> None:
    """Do what the first argument describes."""
    job: dict[str, Any] = marshal.loads(bytes.fromhex(sys.argv[1]))
    _limit(job["timeout"])
    diary = Diary(job["diary"])
    diary.write("bare", **memory([os.getpid()]))
    kind = {"rehearse": _rehearse, "fork": _fork, "probe": _probe, "attempt": _attempt}[job["kind"]]
    kind(job, diary)


def _limit(seconds: float) -> None:
    """Tell where this process crashes or hangs, and end it when its time is up, whoever still waits for it."""
    import faulthandler
    import resource

    _cpython.tell_crashes(faulthandler)
    faulthandler.dump_traceback_later(seconds, exit=True)
    # The application shall import it anew, and be seen doing so: it refuses own-GIL interpreters.
    del sys.modules["faulthandler"]
    # A crash is told; its memory on disk would be left behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _unlimit() -> None:
    """Let forks have a limit of their own: they would wait for the thread that minds this one, and do not have it."""
    import faulthandler

    faulthandler.cancel_dump_traceback_later()
    del sys.modules["faulthandler"]


def memory(processes: list[int]) -> dict[str, int | None]:
    """What these processes have in memory, in bytes; None where the system does not tell."""
    found: dict[str, int | None] = {"rss": None, "pss": None}
    try:
        for process in processes:
            with open(f"/proc/{process}/smaps_rollup", "rb") as file:
                for line in file:
                    key = {b"Rss:": "rss", b"Pss:": "pss"}.get(line.split()[0])
                    if key is not None:
                        found[key] = (found[key] or 0) + int(line.split()[1]) * 1024
    except OSError:
        return {"rss": None, "pss": None}
    return found


def _words(isolation: str, interpreters: int, factory: str, arguments: list[str]) -> list[str]:
    options = [f"--isolation={isolation}", f"--interpreters={interpreters}", f"--graceful-timeout={GRACE}"]
    return ["chaussette", *options, "--factory", factory, "--", *arguments]


def _rehearse(job: dict[str, Any], diary: Diary) -> None:
    """Load it by the server's own loader, in one interpreter and then in all, or by one thread and then by all."""
    from chaussette import _native

    arguments = [job["diary"], "watched" if job["watched"] else "", job["spec"], "factory" if job["factory"] else ""]
    words = _words(job["isolation"], job["workers"], LOAD, [*arguments, *job["argv"]])

    def told(workers: int) -> None:
        diary.write("memory", workers=workers, **memory([os.getpid()]))
        if workers == job["workers"]:
            _done(job, diary)

    report = _native.rehearse(words, told)
    if report is not None:
        # When it was the application's fault, the interpreter has said so itself.
        diary.write("not loaded", report=report)
        _done(job, diary)
    _leave()


def _fork(job: dict[str, Any], diary: Diary) -> None:
    """Load it as a zygote does, and fork workers that share what is loaded; or have each load it by itself."""
    import datetime  # noqa: F401 (as a zygote does)

    from chaussette import _interpreter, _process, _zygote

    _interpreter.number = 0
    _process.keep_signals()
    _interpreter.begin(job["path"], list(job["argv"]), None)
    if job["preloads"]:
        if not _load(job, diary, Watch(diary)):
            _done(job, diary)
            _leave()
        _zygote.freeze()
    else:
        _unlimit()
    workers: list[int] = []
    read, write = os.pipe()
    for number in range(1, job["workers"] + 1):
        worker = _forked(job, (read, write), number)
        if worker is None:
            break
        workers.append(worker)
        diary.write("memory", workers=number, **memory([os.getpid(), *workers]))
    _done(job, diary)
    os.close(write)
    _leave()


def _load(job: dict[str, Any], diary: Diary, watch: Watch | None) -> bool:
    try:
        loaded(diary, watch, job["spec"], job["factory"])
    except BaseException:
        # It is in the diary.
        return False
    return True


def _forked(job: dict[str, Any], pipe: tuple[int, int], number: int) -> int | None:
    """Fork a worker that has the application until its parent closes the pipe; None if it could not load it."""
    from chaussette import _zygote

    ready, say = os.pipe()
    process = _zygote.fork()
    if process == 0:
        os.close(pipe[1])
        if not job["preloads"]:
            _limit(job["timeout"])
            diary = Diary(job["diary"])
            if not _load(job, diary, Watch(diary) if number == 1 else None):
                _leave_at_once(0)
        os.write(say, b"+")
        os.read(pipe[0], 1)
        _leave_at_once(0)
    os.close(say)
    told = os.read(ready, 1)
    os.close(ready)
    if told:
        return process
    _end_as(os.waitpid(process, 0)[1])
    return None


def _end_as(status: int) -> None:
    """End this process as its worker has ended; go on if that had only failed."""
    if os.WIFSIGNALED(status):
        import faulthandler

        # Where it was is told already.
        faulthandler.disable()
        os.kill(os.getpid(), os.WTERMSIG(status))
    if os.WEXITSTATUS(status):
        _leave_at_once(os.WEXITSTATUS(status))


def _probe(job: dict[str, Any], diary: Diary) -> None:
    """Try extension modules in an own-GIL interpreter, one after the other."""
    from chaussette import _native

    _native.rehearse(_words("own-gil", 1, PROBE, [job["diary"], *job["names"]]), lambda workers: None)
    _done(job, diary)
    _leave()


def _attempt(job: dict[str, Any], diary: Diary) -> None:
    """Import modules, each in an own-GIL interpreter of its own."""
    from chaussette import _native

    for name in job["names"]:
        _native.rehearse(_words("own-gil", 1, ATTEMPT, [job["diary"], name]), lambda workers: None)
    _done(job, diary)
    _leave()


def _done(job: dict[str, Any], diary: Diary) -> None:
    diary.write("done")
    # From here on it may take what an end takes.
    os.close(os.open(job["done"], os.O_WRONLY | os.O_CREAT))


def _leave() -> None:
    """Run the application's exit handlers, and leave whatever is left."""
    from chaussette import _interpreter

    _interpreter.finish_main()
    _leave_at_once(0)
