"""The servers that `--backend` and `make_server` choose from, and the contract of those that others write.

Owns the names, and the class that each backend is: it is given a WSGI application and listening sockets, and serves
the one on the others. Imported in the main interpreter only, where all backends but `interpreters` run.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaussette.backend._socket import Listening

__all__ = [
    "ENTRY_POINTS",
    "Backend",
    "BackendError",
    "Listening",
    "MissingPackage",
    "Settings",
    "Stuck",
    "UnknownBackend",
    "backends",
    "get",
    "is_gevent_backend",
    "register",
]

#: Where other packages name backends of theirs: `name = "package.module:ClassName"`.
ENTRY_POINTS = "chaussette.backends"

_BUILT_IN = {
    "interpreters": "_interpreters:Interpreters",
    "wsgiref": "_wsgiref:WsgirefBackend",
    "waitress": "_waitress:WaitressBackend",
    "gevent": "_gevent:GeventBackend",
    "fastgevent": "_gevent:FastGeventBackend",
    "geventwebsocket": "_gevent:GeventWebSocketBackend",
    "eventlet": "_eventlet:EventletBackend",
    "tornado": "_tornado:TornadoBackend",
    "cheroot": "_cheroot:CherootBackend",
    "gunicorn": "_gunicorn:GunicornBackend",
    "bjoern": "_bjoern:BjoernBackend",
    "meinheld": "_meinheld:MeinheldBackend",
}

_GONE = {
    "geventws4py": "ws4py's server for gevent is of 2014: use geventwebsocket",
    "socketio": "gevent-socketio is written for Python 2: use python-socketio's WSGI application with geventwebsocket",
}

_registered: dict[str, type[Backend]] = {}


class BackendError(Exception):
    """A backend that cannot be had, or that cannot serve what it is asked to: why, and the cure."""


class UnknownBackend(BackendError, LookupError):
    """There is no backend by that name."""


class MissingPackage(BackendError, ImportError):
    """The package that a backend is made of is not installed."""


class Stuck(BackendError):
    """Threads are still in the application's code although their time is over."""

    def __init__(self) -> None:
        super().__init__("stopped: a thread is still in the application's code")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a backend is told beside its application and its sockets. Each takes what it heeds."""

    #: Threads that call the application, where there is a choice; None: as many as the backend has by itself.
    threads: int | None = None
    #: Requests that are served at once, where each has a greenlet (`--spawn`); None: as many as come.
    spawn: int | None = None
    #: Whether to patch the standard library, so that its blocking calls let other greenlets run (not `--no-monkey`).
    monkey: bool = True
    #: Words of the command line for the backend `interpreters` alone.
    words: tuple[str, ...] = ()


class Backend(ABC):
    """A server on listening sockets.

    A class of another package is one when it has these five; deriving from this one gives the first two and a check.
    What it raises is logged with its traceback, except `BackendError`: that is told in one line.
    """

    #: What `pip install` gets when the backend's module is missing.
    package: ClassVar[str] = ""
    #: The options of the command line that have an effect: of "threads", "spawn", "no-monkey", "graceful-timeout".
    #: Those that are named and not heeded are warned of.
    heeds: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        """Import what the backend is made of, and patch what it patches.

        Called before the application is imported. May raise ImportError when the package is not there.
        """
        return

    @abstractmethod
    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        """Take what is to be served. The sockets listen already, are non-blocking and belong to the backend from here.

        They may be shared with other processes: `listen()` and `shutdown()` of theirs do nothing.
        """

    @abstractmethod
    def serve_forever(self) -> None:
        """Serve on the calling thread until `stop` was called and the requests in flight are answered.

        Raises `Stuck` when threads of its own are then still in the application's code.
        """

    @abstractmethod
    def stop(self, seconds: float) -> None:
        """Ask `serve_forever` to accept no more, to give requests in flight `seconds`, and to return.

        Called from other threads and from signal handlers, also before `serve_forever` and a second time with 0: it
        must not wait.
        """


def register(name: str, backend: type[Backend]) -> None:
    """Make a class of this process known by a name. Other packages use the entry points `chaussette.backends`."""
    _registered[name.lower()] = backend


def get(name: str) -> type[Backend]:
    """Return the class of a backend.

    Raises `UnknownBackend`, and `MissingPackage` when its module cannot be imported.
    """
    name = name.lower()
    if name in _registered:
        return _checked(name, _registered[name])
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        found: type[Backend] = getattr(importlib.import_module(f"chaussette.backend.{module}"), attribute)
    else:
        found = _of_another_package(name)
    _registered[name] = _checked(name, found)
    return found


def _checked(name: str, found: type[Backend]) -> type[Backend]:
    if not callable(getattr(found, "serve_forever", None)) or not callable(getattr(found, "stop", None)):
        raise BackendError(f"backend {name}: {found!r} is no class with serve_forever() and stop(seconds)")
    return found


def prepare(name: str, settings: Settings) -> type[Backend]:
    """Return the class of a backend whose package is there, imported and patched."""
    backend = get(name)
    try:
        getattr(backend, "prepare", lambda settings: None)(settings)
    except ImportError as error:
        package = getattr(backend, "package", "") or name
        raise MissingPackage(f"backend {name}: {_not_importable(name, package, error)}") from error
    return backend


def backends() -> list[str]:
    """Return the names of the backends whose packages are installed, `interpreters` first."""
    found = []
    for name in [*_BUILT_IN, *_registered, *(point.name for point in _entry_points())]:
        if name in found:
            continue
        try:
            package = getattr(get(name), "package", "") if name in _BUILT_IN else ""
        except (BackendError, ImportError):
            continue
        if not package or importlib.util.find_spec(_module_of(package)) is not None:
            found.append(name)
    return found


def is_gevent_backend(name: str) -> bool:
    """Tell whether a backend is made of gevent, as 1.3 did."""
    return name.lower() in ("gevent", "fastgevent", "geventwebsocket")


def _entry_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)


def _of_another_package(name: str) -> type[Backend]:
    for point in _entry_points():
        if point.name.lower() == name:
            try:
                found: type[Backend] = point.load()
            except (ImportError, AttributeError) as error:
                raise MissingPackage(f"backend {name} of {point.value}: {error}") from error
            return found
    if name in _GONE:
        raise UnknownBackend(f"there is no backend {name} any more: {_GONE[name]}")
    known = ", ".join(dict.fromkeys([*_BUILT_IN, *_registered, *(point.name for point in _entry_points())]))
    raise UnknownBackend(f"there is no backend {name}: use one of {known}")


def _module_of(package: str) -> str:
    return package.replace("-", "").lower()


def _not_importable(name: str, package: str, error: ImportError) -> str:
    missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == _module_of(package)
    if name == "meinheld":
        return "its last release (1.0.2, of 2020) does not build on this CPython: use --backend bjoern, or leave it out"
    if missing:
        return f"it is not installed: pip install {package}"
    return f"it cannot be imported: {error}"
