"""Which files this interpreter's application is made of: for `--reload`, and loaded for it alone.

Owns what counts as the application's own: not the standard library, not what pip installs.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeGuard

#: How many modules there were when `more` was asked last.
_seen = 0


def _foreign() -> tuple[str, ...]:
    """Return the folders whose modules nobody edits, with a slash at the end."""
    folders = {path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "scripts")}
    folders |= {path for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib")}
    folders |= {os.path.join(sys.base_prefix, "bin"), os.path.dirname(sys.executable or "/")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple({os.path.join(form, "") for path in folders for form in (path, os.path.realpath(path))})


FOREIGN = _foreign()


def _is_own(path: object) -> TypeGuard[str]:
    return isinstance(path, str) and bool(path) and not path.startswith("<") and not _forms(path)[0].startswith(FOREIGN)


def _forms(path: str) -> list[str]:
    """Return `path` as it will be told of: by the folder it was found in, and where that really is."""
    return [os.path.abspath(path), os.path.realpath(path)]


def made(error: BaseException | None) -> tuple[list[str], list[str]]:
    """Return the files of the application's modules, with those that `error` names, and folders of further ones."""
    global _seen
    _seen = len(sys.modules)
    files: set[str] = set()
    folders: set[str] = set()
    for module in list(sys.modules.values()):
        # Not getattr: a module may compute its attributes, or be anything else.
        attributes = getattr(module, "__dict__", {})
        file = attributes.get("__file__")
        if file is None:
            folders.update(path for path in _parts(attributes.get("__path__")) if _is_own(path))
        elif _is_own(file):
            files.update(_forms(file))
    for file in _blamed(error):
        if _is_own(file):
            files.update(_forms(file))
    folders.update(path for path in (entry or "." for entry in sys.path) if _is_own(path) and os.path.isdir(path))
    return sorted(files), sorted({form for path in folders for form in _forms(path)})


def more() -> tuple[list[str], list[str]] | None:
    """Return the same again if modules were imported since: many applications import views at the first request."""
    return None if len(sys.modules) == _seen else made(None)


def _parts(path: Iterable[str] | None) -> list[str]:
    """Return the folders of a namespace package, which has no file."""
    try:
        return list(path or ())
    except Exception:
        return []


def _blamed(error: BaseException | None) -> Iterator[str | None]:
    """Yield the files that a failed import names: it leaves no module behind."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError):
            yield error.filename
        if isinstance(error, ImportError):
            yield error.path
        tb = error.__traceback__
        while tb is not None:
            yield tb.tb_frame.f_code.co_filename
            tb = tb.tb_next
        error = error.__cause__ or error.__context__
