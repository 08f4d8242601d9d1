"""What each interpreter that serves runs of ours in Python: set-up, loading, reports, the end.

Owns the interpreter's view of `sys`, the rescue of packages whose C extension refuses it, and the texts of failures.
Called from Rust only, on the interpreter's own threads; never imports `chaussette._native`, which refuses
sub-interpreters.
"""

from __future__ import annotations

import _thread
import atexit
import importlib.machinery
import io
import os
import stat
import sys
import threading
import time

from chaussette import RequestTimeout as RequestTimeout  # found here by what interrupts a request
from chaussette import _process
from chaussette._cpython import REFUSAL as REFUSAL  # these, too, by who looks here for them
from chaussette._cpython import adopt_thread as adopt_thread
from chaussette._cpython import gil_is_off as gil_is_off
from chaussette._cpython import is_refusal
from chaussette._cpython import leave_thread as leave_thread

TYPE_CHECKING = False
if TYPE_CHECKING:  # the name alone tells a type checker
    from types import FrameType, TracebackType

#: Seconds that threads get to end after exit handlers have asked them to. Half of one: they only have to wake up.
ASKED = 0.5

#: Seconds that plain threads of the main interpreter get at its end, out of the 3 s after which the process is left.
IN_MAIN = 2.0

#: This interpreter's number, never given twice in a process; set before `prepare`.
number: int | None = None
#: Seconds of `--timeout`, if there is one; set with it.
request_timeout: float | None = None

#: Frames of a traceback, above which only the innermost are told: formatting 100,000 takes ten seconds, on the GIL.
MANY, INNERMOST = 2000, 100

#: (extension module, import chain) of each extension that refused this interpreter, in order.
refused: list[tuple[str, list[str]]] = []
#: Modules whose .py was loaded in place of a refusing extension, in order.
rescued: list[str] = []
#: Extensions after whose import the GIL of a free-threaded build was on again.
gil_enabled_by: list[str] = []


def prepare(path: list[str], argv: list[str], rescue: bool, say) -> None:
    """Give this interpreter the main one's `sys.path` and `sys.argv`; watch its extension modules; guard the process.

    `rescue`: it is not the main one. `say` logs a text.
    """
    sys.path[:] = path
    sys.argv[:] = argv
    _process.guard(rescue, say)
    _write_by_the_line()
    if rescue or gil_is_off():
        _watch_extensions(rescue)
    adopt_thread()


def begin(path: list[str], argv: list[str], pool: str | None) -> None:
    """Give the interpreter of a process that will serve, or be forked, the server's `sys.path` and `sys.argv`.

    `pool`: what it is to find in CHAUSSETTE_POOL, where the server has several.
    """
    if pool is not None:
        os.environ["CHAUSSETTE_POOL"] = pool
    sys.path[:] = path
    sys.argv[:] = argv
    _write_by_the_line()
    if gil_is_off():
        _watch_extensions(False)


def take_place(say) -> None:
    """Be a worker process from here on: of what is the process's, little is anybody else's. `say` logs a text."""
    _process.keep_signals(say)
    _process.tell_of_exit(say)


def _write_by_the_line() -> None:
    # An interpreter that cannot be ended is left behind, and what it had buffered with it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _watch_extensions(rescue: bool) -> None:
    loader = importlib.machinery.ExtensionFileLoader
    create, execute = loader.create_module, loader.exec_module

    def create_module(self, spec):
        before = gil_is_off()
        try:
            module = create(self, spec)
            # Single-phase initialization runs here, the other kind in exec_module.
            if before and not gil_is_off():
                gil_enabled_by.append(spec.name)
            return module
        except ImportError as error:
            if not rescue or REFUSAL not in str(error):
                raise
            _refuse(spec.name)
            source = _source_beside(self.path)
            if source is None:
                raise
        # Cython and mypyc packages ship the same module as .py beside the .so: slower, but it loads.
        spec.loader = importlib.machinery.SourceFileLoader(spec.name, source)
        spec.origin = source
        spec.cached = None
        rescued.append(spec.name)
        return None

    def exec_module(self, module):
        before = gil_is_off()
        execute(self, module)
        if before and not gil_is_off():
            gil_enabled_by.append(module.__name__)

    loader.create_module = create_module
    loader.exec_module = exec_module
    if rescue:
        _watch_builtins()


def _refuse(name: str) -> None:
    # Once: `traceback` tries again with each AttributeError that it formats.
    if all(name != other for other, _ in refused):
        refused.append((name, [*_import_chain(), name]))


def _watch_builtins() -> None:
    """Watch what is a part of CPython and refuses all the same: faulthandler, _tracemalloc."""
    importer = importlib.machinery.BuiltinImporter
    create = importer.create_module

    def create_module(spec):
        try:
            return create(spec)
        except ImportError as error:
            if REFUSAL in str(error):
                _refuse(spec.name)
            raise

    importer.create_module = staticmethod(create_module)


def _source_beside(extension: str) -> str | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if extension.endswith(suffix):
            source = extension.removesuffix(suffix) + ".py"
            return source if os.path.isfile(source) else None
    return None


def _import_chain() -> list[str]:
    """Return the modules being executed on this thread, outermost first."""
    chain: list[str] = []
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name = frame.f_globals.get("__name__")
            if name and (not chain or chain[-1] != name):
                chain.append(name)
        frame = frame.f_back
    return chain[::-1]


class NotAnApplication(TypeError):
    """What an application's name leads to cannot be called."""


def load(spec: str, factory: bool) -> object:
    """Return the WSGI application that `spec` names; with `factory`, what calling that gives."""
    if spec.startswith("paste:"):
        from chaussette._paste import load_application

        application = load_application(spec.removeprefix("paste:"))
    else:
        from chaussette.util import import_string

        application = import_string(spec)
    if factory:
        if not callable(application):
            raise NotAnApplication(f"{spec!r} with --factory is not callable: {application!r}")
        application = application()
    if not callable(application):
        raise NotAnApplication(f"{spec!r} is not callable: {application!r} (expected module:attribute)")
    return application


def refusal(error: BaseException) -> tuple[str, list[str]] | None:
    """Return the extension that `error` comes from, with its import chain, if an extension's refusal is its cause."""
    seen: set[int] = set()
    cause: BaseException | None = error
    names = []
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        names += [extension for extension, _ in refused if is_refusal(str(cause), extension)]
        cause = cause.__cause__ or cause.__context__
    for extension, chain in reversed(refused):
        if extension in names:
            return extension, chain
    return None


def report(error: BaseException) -> str:
    """Return the traceback of `error`, without our own frames at its top.

    A name that leads nowhere gets one line: no code of the application's had a part in it.
    """
    util = sys.modules.get("chaussette.util")
    if isinstance(error, NotAnApplication) or (util is not None and isinstance(error, util.ImportStringError)):
        return str(error)
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and _is_machinery(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    text = _formatted(error, tb)
    # A lone surrogate has no UTF-8, and the log is UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def _formatted(error: BaseException, tb: TracebackType | None) -> str:
    try:
        # Not before there is something to tell: with re, enum and collections it is 1.3 MiB of each interpreter.
        import traceback

        depth = _depth(tb)
        limit = -INNERMOST if depth > MANY else None
        text = "".join(traceback.format_exception(type(error), error, tb, limit=limit)).rstrip()
        return f"{text}\n(the {INNERMOST} innermost of {depth} frames)" if limit else text
    except Exception:
        # No descriptor is left to read it with, or the application has broken it.
        return _shortly_formatted(error, tb)


def _shortly_formatted(error: BaseException, tb: TracebackType | None) -> str:
    lines = ["Traceback (most recent call last):"]
    while tb is not None:
        code = tb.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {tb.tb_lineno}, in {code.co_name}')
        tb = tb.tb_next
    return "\n".join([*lines, f"{type(error).__name__}: {error}"])


def stack(frame: FrameType) -> str:
    """Return the stack of another thread, whose innermost frame is `frame`.

    Who calls it has imported `traceback` before the frame was taken, since the thread runs on while a module is read.
    """
    import traceback

    text = "Stack (most recent call last):\n" + "".join(traceback.format_stack(frame)).rstrip()
    return text.encode("utf-8", "backslashreplace").decode()


def _depth(tb) -> int:
    depth = 0
    while tb is not None:
        depth, tb = depth + 1, tb.tb_next
    return depth


def _is_machinery(filename: str) -> bool:
    """Tell whether code in `filename` is ours or the import system's."""
    return filename.startswith((os.path.dirname(__file__), "<frozen importlib", importlib.__path__[0]))


class ErrorStream:
    """`wsgi.errors` of PEP 3333 "Input and Error Streams": standard error, which `close` does not close."""

    def __init__(self, stream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            name = type(text).__name__
            raise TypeError(f'wsgi.errors takes str, not {name} (PEP 3333, "Input and Error Streams")')
        return self._stream.write(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: applications must not close it, and it is every request's."""

    def __getattr__(self, name: str) -> object:
        # encoding, isatty and the like, for what takes any text file.
        return getattr(self._stream, name)


def error_stream() -> ErrorStream:
    """Return the `wsgi.errors` of this interpreter."""
    # Without descriptor 2 there is no sys.stderr.
    return ErrorStream(sys.stderr or open(os.devnull, "w", encoding="utf-8"))


class FileWrapper:
    """`wsgi.file_wrapper` of PEP 3333: a file-like object as an iterable of blocks."""

    def __init__(self, filelike, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        data = self.filelike.read(self.block_size)
        if data:
            return data
        raise StopIteration


def real_file(wrapper: FileWrapper) -> tuple[int, int, int] | None:
    """Return (descriptor, offset, bytes left) if `wrapper` holds a regular file that can be read without Python."""
    file = wrapper.filelike
    # Exactly these types: a subclass, or GzipFile, may read something else than the descriptor holds.
    if type(file).__name__ == "_TemporaryFileWrapper" and type(file).__module__ == "tempfile":
        file = file.file
    if type(file) not in (io.BufferedReader, io.BufferedRandom, io.FileIO):
        return None
    if type(file) is not io.FileIO and type(file.raw) is not io.FileIO:
        return None
    try:
        if type(file) is io.BufferedRandom:
            file.flush()
        status = os.fstat(file.fileno())
        # A file that is open for writing alone is for its own read() to refuse.
        if not stat.S_ISREG(status.st_mode) or not file.readable():
            return None
        offset = file.tell()
    except (OSError, ValueError):
        return None
    return file.fileno(), offset, max(status.st_size - offset, 0)


def find_hook(name: str, path: list[str]) -> object:
    """Return the function that `--pre-hook` or `--post-hook` names; in the main interpreter."""
    from chaussette.util import import_string

    sys.path[:] = path
    _write_by_the_line()
    hook = import_string(name)
    if not callable(hook):
        raise NotAnApplication(f"{name!r} is not callable: {hook!r}")
    return hook


def run_hook(name: str, path: list[str], options: dict[str, object]) -> None:
    """Call a hook as 1.3 did: with one argument, a namespace of the options."""
    from types import SimpleNamespace

    find_hook(name, path)(SimpleNamespace(**options))


def finish(end: bool, patience_ms: int) -> bool:
    """Run what Python runs at the end of an interpreter: join its threads, call exit handlers, flush.

    With `end` this interpreter ends after it; without, it is the main one, for which `finish_main` does it. Plain
    threads get `patience_ms` milliseconds; returns whether one was left, for which CPython would wait for ever.
    """
    left = _run_exit_handlers(patience_ms / 1000) if end else False
    _flush()
    leave_thread()
    return left


def finish_main() -> int:
    """Do the same for the main interpreter, on its main thread; return how many of its threads still run.

    With any left Python must not end it: CPython aborts when a daemon thread holds a lock that it needs then.
    """
    _run_exit_handlers(IN_MAIN)
    _flush()
    return _thread._count()


def _run_exit_handlers(patience: float) -> bool:
    joiner = _join_threads(patience)
    atexit._run_exitfuncs()
    # They may have asked threads to end.
    end = time.monotonic() + ASKED
    for thread in threading.enumerate() if _thread._count() else ():
        if thread not in (threading.current_thread(), threading.main_thread()):
            thread.join(max(0, end - time.monotonic()))
    _process.end_helpers()
    return joiner is not None and joiner.is_alive()


def _join_threads(patience: float) -> threading.Thread | None:
    """Let pools end and join plain threads, as Python does at its end, but not for ever; return who still joins."""
    if not _thread._count():
        _shut_down()
        return None
    joiner = threading.Thread(target=_shut_down, name="chaussette-end", daemon=True)
    joiner.start()
    joiner.join(patience)
    return joiner


def _shut_down() -> None:
    try:
        threading._shutdown()
    except BaseException as error:
        print(_formatted(error, error.__traceback__), file=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
