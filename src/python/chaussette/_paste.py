"""PasteDeploy's ini files: applications in them (`paste:file.ini#name`), and this server in them (`egg:chaussette`).

Owns the reading of both, the logging configuration included, in each interpreter. PasteDeploy itself is imported when
it is needed only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

#: The words that ini files have for yes and no, as PasteDeploy's own `asbool`.
_YES, _NO = ("true", "yes", "on", "y", "t", "1"), ("false", "no", "off", "n", "f", "0")

#: Options of the command line that have no value, by their names in an ini file.
_FLAGS = ("clear_untrusted_proxy_headers", "no_monkey")

#: What makes `egg:chaussette` load the file again in interpreters of its own: the application is an object of the
#: main interpreter otherwise.
_OWN = ("interpreters", "isolation")


def load_application(spec: str) -> object:
    """Return the application that `file.ini` or `file.ini#name` describes, after its logging configuration."""
    try:
        from paste.deploy import loadapp
    except ImportError as error:
        if error.name in ("paste", "paste.deploy"):
            raise ImportError("paste: applications need PasteDeploy: pip install PasteDeploy") from error
        raise
    path, _, name = spec.partition("#")
    path = os.path.abspath(path)
    _configure_logging(path)
    return loadapp(f"config:{path}", name=name or None)


def _configure_logging(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        if not any(line.strip() == "[loggers]" for line in file):
            return
    import logging.config

    # As pserve does. Loggers that are there already are not switched off: 1.3 did that to its own, unless it was named.
    defaults = {"__file__": path, "here": os.path.dirname(path)}
    logging.config.fileConfig(path, defaults, disable_existing_loggers=False, encoding="utf-8")


def serve_paste(app: object, global_conf: Mapping[str, str], **settings: str) -> int:
    """Serve for `[server:main] use = egg:chaussette`, until told to stop, and end the process (paste.server_runner).

    Each option of the command line is a key, with `_` for `-`.
    """
    from chaussette.backend import _command

    status = serve(words(app, global_conf, settings))
    if status:
        # pserve makes every SystemExit a success. Exit handlers have been run.
        _command.leave_at_once(status)
    return status


def server_factory(global_conf: Mapping[str, str], **settings: str) -> object:
    """Return what serves an application by the same settings (paste.server_factory, for code that wants one)."""
    return lambda app: serve_paste(app, global_conf, **settings)


def words(app: object, global_conf: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    """Return the command line that an ini file's `[server:…]` section stands for, program name first."""
    given = {"host": "127.0.0.1", **settings}
    for key in ("fd", "bind"):
        if key in settings and "host" not in settings:
            del given["host"]
    name = given.pop("app_name", "")
    options: list[str] = []
    for key, value in given.items():
        options += _option(key, value)
    file = global_conf.get("__file__")
    if file is not None and any(key in given for key in _OWN) and given.get("isolation") != "main":
        spec = f"paste:{file}#{name}" if name else f"paste:{file}"
    else:
        from chaussette.backend._interpreters import named

        spec = named(app)
        options += [] if "isolation" in given or "backend" in given else ["--isolation", "main"]
    return [sys.argv[0] or "chaussette", *options, spec, "--", *sys.argv[1:]]


def _option(key: str, value: str) -> list[str]:
    option = "--" + key.replace("_", "-")
    if key not in _FLAGS:
        return [f"{option}={each}" for each in value.split()] if key == "bind" else [f"{option}={value}"]
    if value.strip().lower() in _YES:
        return [option]
    if value.strip().lower() in _NO:
        return []
    raise ValueError(f"{key} = {value}: write true or false")


def serve(argv: list[str]) -> int:
    """Run the command line in this process, whose signals are ours from here on; return the exit status."""
    import signal

    from chaussette import _native
    from chaussette.backend import _command

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    outcome = _native.main(argv)
    return outcome if isinstance(outcome, int) else _command.run(outcome)
