"""What runs in the interpreter that is tried: the load itself, and what is seen of it.

Owns the diary, in which a process writes what it has found before it may crash. Imports nothing that an application
would not find loaded anyway, so that import times and memory are the application's own.
"""

from __future__ import annotations

import _imp
import _signal
import atexit
import importlib
import importlib.machinery
import marshal
import os
import sys
import threading
import time

from chaussette import _interpreter
from chaussette.util import hello_app

#: Audit events (sys.audit) at which the application starts a process, by what the report calls them.
_STARTS = {
    "subprocess.Popen": "subprocess",
    "os.system": "os.system",
    "os.posix_spawn": "os.posix_spawn",
    "os.spawn": "os.spawn",
    "os.exec": "os.exec",
    "os.fork": "os.fork",
    "os.forkpty": "os.forkpty",
}

#: The standard library's own modules that start processes for others: who called them is what is told.
_HELPERS = ("subprocess", "os", "multiprocessing", "asyncio", "concurrent", "pty", "threading", "importlib")

_leave_at_once = os._exit


class Diary:
    """Events of this process, each written at once, and by the path: the application may close descriptors."""

    def __init__(self, path: str) -> None:
        self._path, self._process = path, os.getpid()

    def write(self, event: str, **facts: object) -> None:
        """Add an event; a child that the application has forked has nothing to say and ends."""
        self.only_the_parent()
        line = marshal.dumps({"event": event, **facts}).hex() + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def only_the_parent(self) -> None:
        """End a child that the application has forked and that came back to us."""
        if os.getpid() != self._process:
            _leave_at_once(1)


class Watch:
    """What the application does to its process while it is loaded. One a process, in the main interpreter."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self.extensions: list[tuple[str, str | None, list[str]]] = []
        self._starts: list[dict[str, str]] = []
        self._exits: list[dict[str, str]] = []
        self._handlers = _handlers()
        self._threads = set(threading.enumerate())
        self._tasks = _tasks()
        self._sockets = _sockets()
        self._on = True
        self._watch_extensions()
        self._watch_exits()
        sys.addaudithook(self._hear)

    def stop(self) -> dict[str, object]:
        """Stop watching; return what was seen."""
        self._on = False
        threads = [thread for thread in threading.enumerate() if thread not in self._threads]
        tasks = _tasks()
        others = None if tasks is None or self._tasks is None else max(tasks - self._tasks - len(threads), 0)
        return {
            "threads": [_thread_told(thread) for thread in threads],
            "native_threads": others,
            "processes": self._starts,
            "signal_handlers": [
                {"signal": name, "handler": _named(handler)}
                for name, handler in _handlers().items()
                if handler is not self._handlers[name] and handler != self._handlers[name]
            ],
            "exit_handlers": self._exits,
            "sockets": sorted(_sockets() - self._sockets),
        }

    def _watch_extensions(self) -> None:
        for loader in (importlib.machinery.ExtensionFileLoader, importlib.machinery.BuiltinImporter):
            original = loader.__dict__["create_module"]
            create = original.__func__ if isinstance(original, staticmethod) else original

            def create_module(*arguments, create=create):
                spec = arguments[-1]
                if self._on:
                    path = spec.origin if spec.has_location else None
                    self.extensions.append((spec.name, path, [*_chain(), spec.name]))
                return create(*arguments)

            loader.create_module = staticmethod(create_module) if create is not original else create_module  # type: ignore[method-assign]

    def _watch_exits(self) -> None:
        register, leave = atexit.register, {"_exit": os._exit, "abort": os.abort}

        def registered(function, *arguments, **options):
            if self._on:
                by = str(sys._getframe(1).f_globals.get("__name__"))
                self._exits.append({"handler": _named(function), "by": by})
            return register(function, *arguments, **options)

        atexit.register = registered
        for name, original in leave.items():

            def told(*arguments, name=name, original=original):
                frame = sys._getframe(1)
                shown = ", ".join(map(repr, arguments))
                call = f"os.{name}({shown}) at {frame.f_code.co_filename}:{frame.f_lineno}"
                if self._on and os.getpid() == self._diary._process:
                    self._diary.write("leaving", call=call)
                return original(*arguments)

            setattr(os, name, told)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in _STARTS or not self._on:
            return
        module = _caller()
        # subprocess may use posix_spawn: that is one start, and told already.
        if event == "os.posix_spawn" and sys._getframe(1).f_globals.get("__name__") == "subprocess":
            return
        what = arguments[1] if event == "subprocess.Popen" else arguments[0] if arguments else None
        self._starts.append({"call": _STARTS[event], "what": _shown(what), "by": module})


def _chain() -> list[str]:
    """The modules that are being imported, outermost first; what runs this process is none of them."""
    chain = _interpreter._import_chain()
    return chain[1:] if chain[:1] == ["__main__"] else chain


def _handlers() -> dict[str, object]:
    """The handler of each signal that the application may set."""
    found: dict[str, object] = {}
    for name in dir(_signal):
        if name.startswith("SIG") and not name.startswith("SIG_") and isinstance(getattr(_signal, name), int):
            try:
                found[name] = _signal.getsignal(getattr(_signal, name))
            except ValueError:
                continue
    return found


def _tasks() -> int | None:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def _sockets() -> set[str]:
    """Sockets that this process has, as the system names them."""
    found = set()
    try:
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
    except OSError:
        pass
    return found


def _thread_told(thread: threading.Thread) -> dict[str, object]:
    target = getattr(thread, "_target", None)
    what = type(thread) if target is None else target
    return {"name": thread.name, "daemon": bool(thread.daemon), "runs": _named(what)}


def _named(thing: object) -> str:
    name = getattr(thing, "__qualname__", None)
    return f"{getattr(thing, '__module__', None) or '?'}.{name}" if name else repr(thing)[:200]


def _shown(what: object) -> str:
    if isinstance(what, list | tuple):
        return " ".join(map(_shown, what))[:200]
    if isinstance(what, bytes):
        return os.fsdecode(what)
    return "" if what is None else str(what)[:200]


def _caller() -> str:
    """The module that does it: the innermost frame's that is not the standard library's helper."""
    frame = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.partition(".")[0] not in _HELPERS and not name.startswith("chaussette."):
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


def load() -> object:
    """Load the application for a worker. What to load is in `sys.argv`: the application finds its own there."""
    path, watched, spec, factory, *argv = sys.argv[1:]
    sys.argv[:] = argv
    diary = Diary(path)
    watch = Watch(diary) if watched and _interpreter.number == 0 else None
    return loaded(diary, watch, spec, bool(factory))


def loaded(diary: Diary, watch: Watch | None, spec: str, factory: bool) -> object:
    """Load the application, and write down what came of it."""
    began = time.perf_counter()
    try:
        application = _interpreter.load(spec, factory)
    except BaseException as error:
        refusal = _interpreter.refusal(error)
        diary.write(
            "failed",
            error=type(error).__name__,
            report=_interpreter.report(error),
            refusal=None if refusal is None else [refusal[0], refusal[1]],
            **_found(watch),
        )
        raise
    diary.write("loaded", seconds=time.perf_counter() - began, **_found(watch))
    return application


def _found(watch: Watch | None) -> dict[str, object]:
    found: dict[str, object] = {
        "refused": [[name, chain] for name, chain in _interpreter.refused],
        "rescued": list(_interpreter.rescued),
        "gil_enabled_by": list(_interpreter.gil_enabled_by),
        "gil_is_off": _interpreter.gil_is_off(),
    }
    if watch is not None:
        found["seen"] = watch.stop()
        found["extensions"] = [[name, path, chain] for name, path, chain in watch.extensions]
    return found


def probe() -> object:
    """Try extension modules by themselves: each is created, not executed, which is where CPython refuses."""
    path, *extensions = sys.argv[1:]
    diary = Diary(path)
    for extension in extensions:
        name, _, file = extension.partition("=")
        diary.write("begin", name=name)
        error = ""
        try:
            if file:
                loader = importlib.machinery.ExtensionFileLoader(name, file)
                _imp.create_dynamic(importlib.machinery.ModuleSpec(name, loader, origin=file))
            else:
                spec = importlib.machinery.ModuleSpec(name, importlib.machinery.BuiltinImporter, origin="built-in")
                _imp.create_builtin(spec)
        except BaseException as failure:
            error = f"{type(failure).__name__}: {failure}"
        diary.write("end", name=name, error=error)
    return hello_app


def attempt() -> object:
    """Import one module, and write down which extension it fails for, if it does."""
    path, name = sys.argv[1:]
    diary = Diary(path)
    diary.write("begin", name=name)
    error, refusal = "", None
    try:
        importlib.import_module(name)
    except BaseException as failure:
        error = f"{type(failure).__name__}: {failure}"
        refusal = _interpreter.refusal(failure)
    diary.write("end", name=name, error=error, refusal=None if refusal is None else refusal[0])
    return hello_app
