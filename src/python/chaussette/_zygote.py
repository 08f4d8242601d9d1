"""The process that loads an application once and forks its workers: how it is started, and what it does in Python.

Owns its command line, and what is said of the process before it is forked. Run as a file by `sys.executable`, so that
`ps` shows whose it is; its orders are heard in Rust.
"""

import os
import sys

if __name__ == "__main__":
    # Found beside this file, whatever the path is, which comes with the settings. Our folder itself is no place to
    # look for modules.
    sys.path[: 0 if sys.flags.safe_path else 1] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]


def command(application: str) -> list[str]:
    """Return the program and the words that start a zygote as this interpreter was started."""
    from subprocess import _args_from_interpreter_flags

    return [sys.executable or "", *_args_from_interpreter_flags(), os.path.abspath(__file__), application]


#: What Werkzeug and `socket` import with the first request, the codec of host names: 2 MiB in each worker otherwise.
SHARED = ("encodings.idna",)


def freeze() -> list[str]:
    """Make this process fit to be forked; return the names of threads that no fork will have."""
    import contextlib
    import gc
    import importlib
    import threading

    for name in [*SHARED, *_of_django()]:
        # What is not there, or cannot be imported, is told by whoever misses it: with its first request, as ever.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    database = sys.modules.get("django.db")
    if database is not None:
        # One that was opened by now would be shared by all workers. Django opens another when it needs one.
        with contextlib.suppress(Exception):
            database.connections.close_all()
    # What is there now is looked at by no collection of a worker, and its pages stay shared.
    gc.collect()
    gc.freeze()
    return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]


def _of_django() -> list[str]:
    """Return the modules that Django would import with its first request: that of the URLs, and all their views'."""
    handlers, conf = (sys.modules.get(f"django.{name}") for name in ("core.handlers.wsgi", "conf"))
    if handlers is None or conf is None or not conf.settings.configured:
        return []
    return [conf.settings.ROOT_URLCONF]


def fork() -> int:
    """Fork, without CPython's warning of threads: that was ours to give, once."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def main() -> None:
    from chaussette import _process

    _process.keep_signals()
    from chaussette import _native

    # What the application has registered for its end is its workers' to call, and they have.
    os._exit(_native.zygote())


if __name__ == "__main__":
    main()
