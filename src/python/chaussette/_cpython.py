"""What depends on the version and the build of CPython. Alone asks for them; the counterpart in Rust is interp/version.

Owns one function a difference, named after what differs. Imports nothing of ours.
"""

from __future__ import annotations

import sys
import sysconfig
import threading

#: This CPython's release, and the series that it belongs to.
RELEASE = ".".join(map(str, sys.version_info[:3]))
SERIES = ".".join(map(str, sys.version_info[:2]))

#: Words of the ImportError of an extension that cannot live in a sub-interpreter with a GIL of its own.
REFUSAL = "does not support loading in subinterpreters"


def is_free_threaded_build() -> bool:
    """Tell whether this CPython can do without a GIL; it may have switched it on."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gil_is_off() -> bool:
    """Tell whether threads of this interpreter run Python at the same time."""
    return not sys._is_gil_enabled()


def is_refusal(text: str, extension: str) -> bool:
    """Tell whether an ImportError with this text says that `extension` refuses this interpreter."""
    # CPython 3.13 names an extension of single-phase initialization by the last part of its name only (psutil, bcrypt,
    # psycopg2), every other by the whole name (`import_run_extension` and `PyModule_FromDefAndSpec2`).
    return any(f"module {name} {REFUSAL}" in text for name in (extension, extension.rpartition(".")[2]))


def adopt_thread() -> None:
    """Make the calling thread an ordinary one for `threading`.

    From CPython 3.13 a thread made outside Python is a dummy whose children inherit daemon=True; they would die
    silently at the end.
    """
    threading.current_thread()._daemonic = False


def leave_thread() -> None:
    """Undo `adopt_thread`, before the calling thread's state is deleted."""
    # The dummy's own clean-up runs when its thread state goes, too late for the names it uses: it would print
    # "Exception ignored in _DeleteDummyThreadOnDel.__del__" (3.13).
    info = getattr(threading, "_thread_local_info", None)
    if info is not None:
        info.__dict__.pop("_track_dummy_thread_ref", None)


def spawn_instead_of_fork(context) -> None:
    """Make *spawn* the default of `multiprocessing.context` where that is *fork*, as it is before CPython 3.14."""
    methods = context._concrete_contexts
    if context._default_context._default_context is methods.get("fork"):
        context._default_context = context.DefaultContext(methods["spawn"])


def tell_crashes(faulthandler) -> None:
    """Have `faulthandler` write where Python is when this process crashes, and no more."""
    if sys.version_info >= (3, 14):
        # The stack in C, that it adds, is as long as all else.
        faulthandler.enable(c_stack=False)
    else:
        faulthandler.enable()
