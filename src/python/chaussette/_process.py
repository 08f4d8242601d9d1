"""What belongs to the whole process, as an application meets it: fork, exec, signal handlers, leaving at once.

Owns the texts of these refusals, each with its cure, and what ends the helper processes of `multiprocessing`. Replaces
functions of `os` and `_signal` in the interpreter that it is imported in, before the application can import them.
"""

from __future__ import annotations

import _signal
import os
import sys
from importlib.machinery import PathFinder

from chaussette._cpython import spawn_instead_of_fork

CURE_OF_FORK = (
    "here the process has other interpreters and threads, which a forked child would lose; use subprocess, or "
    'multiprocessing.get_context("spawn"), or --isolation process'
)
CURE_OF_EXEC = "it would replace the server; use subprocess, or --isolation process"
CURE_OF_SIGNALS = (
    "here that thread never runs Python, and signals are the server's; clean up in atexit handlers or --post-hook"
)


def guard(own: bool, say) -> None:
    """Refuse what would break the process, with the cure; `say` logs what ends it. `own`: not the main interpreter."""
    for name in ("signal", "set_wakeup_fd"):
        _explain(_signal, name, CURE_OF_SIGNALS)
    signal = sys.modules.get("signal")
    if signal is not None:
        # It has a copy already: the main interpreter's start imports it.
        signal.set_wakeup_fd = _signal.set_wakeup_fd
    if own:
        for name in ("fork", "forkpty"):
            _explain(os, name, CURE_OF_FORK)
        for name in ("execv", "execve"):
            _explain(os, name, CURE_OF_EXEC)
        sys.meta_path.insert(0, _SpawnByDefault())
    tell_of_exit(say)


def tell_of_exit(say) -> None:
    """Have `say` told who ends the process from within."""
    os._exit = _told(os._exit, say)
    os.abort = _told(os.abort, say)


#: Signals that a manager sends to all processes of a tree, which only the server obeys.
OF_THE_SERVER = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")


def _unheard(number, frame) -> None:
    """Do nothing. Not SIG_IGN: that would be inherited by programs which the application starts, and ends by TERM."""


def keep_signals(say=None) -> None:
    """Let the server's signals pass by this process; `say` logs who else has wanted them."""
    for name in OF_THE_SERVER:
        before = _signal.signal(getattr(_signal, name), _unheard)
        if say is not None and callable(before) and before is not _unheard:
            say(f"the application's handler of {name} is not called: that signal is the server's")
    if say is not None:
        os.register_at_fork(after_in_child=_give_signals_back)


def _give_signals_back() -> None:
    # A child that the application forks is ended by signals, as any other process.
    for name in OF_THE_SERVER:
        if _signal.getsignal(getattr(_signal, name)) is _unheard:
            _signal.signal(getattr(_signal, name), _signal.SIG_DFL)


def _explain(module, name, cure):
    """Add the cure to CPython's own refusal; what it does not refuse goes on as ever."""
    original = getattr(module, name)

    def explained(*arguments, **options):
        try:
            return original(*arguments, **options)
        except (ValueError, RuntimeError) as error:
            if "main thread" in str(error) or "not supported" in str(error):
                raise type(error)(f"{error}: {cure}") from None
            raise

    setattr(module, name, explained)


def _told(leave, say):
    """`leave`, after a line in the log that says who called it: nobody can say it later."""
    process = os.getpid()
    name = leave.__name__

    def told(*arguments, **options):
        # A child of fork is no business of the log; and whoever held the log's lock does not exist in it.
        if os.getpid() == process:
            caller = sys._getframe(1)
            shown = ", ".join([*map(repr, arguments), *(f"{key}={value!r}" for key, value in options.items())])
            called = f"os.{name}({shown}) at {caller.f_code.co_filename}:{caller.f_lineno}"
            say(f"the application called {called}: the process ends at once, with all that is in it")
        return leave(*arguments, **options)

    told.__name__ = name
    return told


class _SpawnByDefault:
    """Makes *spawn* the start method of `multiprocessing` where its default is *fork*, as soon as that is imported."""

    def find_spec(self, name, path, target=None):
        if name != "multiprocessing.context":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            spawn_instead_of_fork(module)

        spec.loader.exec_module = exec_module
        return spec


def end_helpers() -> None:
    """End the processes that `multiprocessing` keeps for this interpreter; nobody else does before the process ends."""
    for name, attribute in (("forkserver", "_forkserver"), ("resource_tracker", "_resource_tracker")):
        module = sys.modules.get(f"multiprocessing.{name}")
        try:
            getattr(module, attribute)._stop()
        except (AttributeError, OSError):
            # None was started, or a later CPython has another way: they end with the process.
            pass
