"""Answers with how its interpreter is set up."""

import os
import sys
import threading
import warnings

from apps.routes import answer


def settings():
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if not name.startswith(("_", "n_"))}
    return {
        "argv": sys.argv,
        "path": sys.path,
        "cwd": os.getcwd(),
        "warnoptions": sys.warnoptions,
        "filters": [[str(part) for part in entry] for entry in warnings.filters],
        "flags": {name: value for name, value in flags.items() if not callable(value)},
        "xoptions": sys._xoptions,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "executable": sys.executable,
        "dont_write_bytecode": sys.dont_write_bytecode,
        "pycache_prefix": sys.pycache_prefix,
        "int_max_str_digits": sys.get_int_max_str_digits(),
        "encodings": [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding],
        "stdout_errors": [sys.stdout.errors, sys.stderr.errors],
        "recursion_limit": sys.getrecursionlimit(),
        "orig_argv": sys.orig_argv,
    }


def app(environ, start_response):
    thread = threading.Thread(target=int)
    return answer(
        start_response,
        {
            "interpreter": environ["chaussette.interpreter"],
            "settings": settings(),
            "own_environ": sorted(os.environ),
            "environment": open("/proc/self/environ").read(),
            "new_thread_is_daemon": thread.daemon,
            "threads": threading.active_count(),
        },
    )
