"""Extension modules that refuse own-GIL interpreters: all of them in one go, whose they are, and what helps.

Owns the question what refuses, which CPython answers for one module at a time: with the first refusal the import of
the application has failed. So each is tried by itself, in processes that may crash.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from typing import Any

from chaussette._check._trial import Stage, Trial
from chaussette._cpython import REFUSAL, RELEASE, SERIES
from chaussette._interpreter import _source_beside

#: What does the same work in own-GIL interpreters, by distribution (PEP 503 names). Checked with the table of
#: `known.json`, whose date they share.
INSTEAD = {
    "argon2-cffi-bindings": "hashlib.scrypt",
    "bcrypt": "hashlib.scrypt",
    "greenlet": "nothing needs it without gevent or SQLAlchemy's asyncio: leave it out",
    "hiredis": "redis without it",
    "lxml": "xml.etree of the standard library",
    "msgspec": "json and dataclasses of the standard library",
    "mysqlclient": "PyMySQL",
    "orjson": "json of the standard library",
    "psutil": "os.getloadavg, shutil.disk_usage, /proc",
    "psycopg-binary": "psycopg without it",
    "psycopg-c": "psycopg without it",
    "psycopg2": "psycopg (version 3), without its C part",
    "psycopg2-binary": "psycopg (version 3), without its C part",
    "pydantic-core": "dataclasses, attrs or marshmallow",
    "pyyaml": "yaml.SafeLoader in place of yaml.CSafeLoader",
    "regex": "re of the standard library",
    "ujson": "json of the standard library",
}


@dataclass
class Extension:
    """One extension module that the application has imported."""

    module: str
    #: None: built into CPython.
    path: str | None
    #: Who imported whom, outermost first, the extension last.
    chain: list[str]
    distribution: str | None
    version: str | None
    #: None: it could not be found out; `error` says why.
    refuses: bool | None = None
    error: str = ""
    #: Whether its .py is beside it, and is loaded in its place.
    source_beside: bool = False
    #: The module that is imported all the same, because it expects the refusal.
    done_without_by: str | None = None
    advice: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> bool:
        """Whether it keeps the application from being loaded in own-GIL interpreters."""
        return self.refuses is not False and not self.source_beside and self.done_without_by is None

    def told(self) -> dict[str, Any]:
        """Return it as the report has it."""
        return {
            "module": self.module,
            "distribution": self.distribution,
            "version": self.version,
            "chain": self.chain,
            "path": self.path,
            "refuses": self.refuses,
            "error": self.error or None,
            "blocks": self.blocks,
            "source_beside": self.source_beside,
            "done_without_by": self.done_without_by,
            "advice": self.advice,
        }


def examine(stage: Stage, found: list[list[Any]], path: list[str]) -> list[Extension]:
    """Return those of the extensions `found` that cannot be loaded in own-GIL interpreters, in the order of import."""
    distributions = Distributions(path)
    extensions: dict[str, Extension] = {}
    for module, file, chain in found:
        if module not in extensions:
            extensions[module] = Extension(module, file, chain, *distributions.of(module, file))
    _probe(stage, extensions)
    guilty = [extension for extension in extensions.values() if extension.refuses is not False]
    for extension in guilty:
        extension.source_beside = bool(extension.path and _source_beside(extension.path))
        extension.advice = advice(extension)
    _climb(stage, guilty, distributions)
    return guilty


def _probe(stage: Stage, extensions: dict[str, Extension]) -> None:
    """Try each extension by itself. One that takes its process down is followed by a new process for the rest."""
    rest = list(extensions)
    while rest:
        trial = stage.run("probe", names=[f"{name}={extensions[name].path or ''}" for name in rest])
        for event in trial.events:
            if event["event"] == "end":
                extension, error = extensions[event["name"]], event["error"]
                extension.refuses = True if REFUSAL in error else None if error else False
                extension.error = error
        rest = _rest(trial, rest, extensions)


def _rest(trial: Trial, names: list[str], extensions: dict[str, Extension]) -> list[str]:
    """What is left to be tried after a trial; what ended it is told with the one that was being tried."""
    if trial.end == "done":
        return []
    begun = [event["name"] for event in trial.events if event["event"] == "begin"]
    if not begun:
        for name in names:
            extensions[name].error = f"not tried: the process {trial.how()}"
        return []
    extensions[begun[-1]].error = f"the process {trial.how()}"
    return names[names.index(begun[-1]) + 1 :]


def _climb(stage: Stage, guilty: list[Extension], distributions: Distributions) -> None:
    """Find who does without an extension: import what imports it, distribution by distribution, from inside out."""
    ladders = {extension.module: _ladder(extension, distributions) for extension in guilty if extension.blocks}
    imported: dict[str, bool] = {}
    while True:
        wanted = [ladder[0] for ladder in ladders.values() if ladder and ladder[0] not in imported]
        if not wanted:
            return
        imported |= _attempt(stage, list(dict.fromkeys(wanted)))
        for extension in guilty:
            ladder = ladders.get(extension.module)
            while ladder and ladder[0] in imported and extension.done_without_by is None:
                if imported[ladder[0]]:
                    extension.done_without_by = ladder[0]
                    ladder.clear()
                else:
                    ladder.pop(0)


def _ladder(extension: Extension, distributions: Distributions) -> list[str]:
    """The outermost module of each distribution on the way to an extension, from inside out.

    Of the application's own modules the one that imports it: further out, others refuse as well.
    """
    if extension.distribution is None:
        return extension.chain[-2:-1]
    ladder = [extension.module]
    before: str | None = extension.distribution
    for module in reversed(extension.chain[:-1]):
        owner = distributions.of_module(module)
        if owner == before:
            ladder[-1] = module
            continue
        ladder.append(module)
        before = owner
        if owner is None:
            break
    return ladder


def _attempt(stage: Stage, names: list[str]) -> dict[str, bool]:
    """Import each module in an own-GIL interpreter of its own."""
    imported = dict.fromkeys(names, False)
    rest = names
    while rest:
        trial = stage.run("attempt", names=rest)
        for event in trial.events:
            if event["event"] == "end":
                imported[event["name"]] = not event["error"]
        begun = [event["name"] for event in trial.events if event["event"] == "begin"]
        if trial.end == "done" or not begun:
            break
        rest = rest[rest.index(begun[-1]) + 1 :]
    return imported


class Distributions:
    """Which distribution a file came with, by the records of what is installed."""

    def __init__(self, path: list[str]) -> None:
        self._path = path
        self._records: list[tuple[str, str, str, str]] | None = None
        self._standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]

    def of(self, module: str, file: str | None) -> tuple[str | None, str | None]:
        """Return the name and version of the distribution that has the module's file."""
        if file is None or self._is_standard(file):
            return "Python", RELEASE
        for folder, record, name, version in self._all():
            if file.startswith(folder):
                relative = file[len(folder) :].lstrip(os.sep)
                if f"\n{relative}," in record:
                    return name, version
        return None, None

    @cache  # noqa: B019 (it lives as long as the command)
    def of_module(self, module: str) -> str | None:
        """Return the name of the distribution that a module came with, without importing it."""
        if module.partition(".")[0] in sys.stdlib_module_names:
            return "Python"
        names = module.split(".")
        path: list[str] | None = self._path
        file = None
        for depth in range(len(names)):
            spec = importlib.machinery.PathFinder.find_spec(".".join(names[: depth + 1]), path)
            if spec is None:
                return None
            file, path = spec.origin, list(spec.submodule_search_locations or ())
        return self.of(module, file)[0] if file else None

    def _is_standard(self, file: str) -> bool:
        inside = any(file.startswith(folder + os.sep) for folder in self._standard if folder)
        return inside and "site-packages" not in file and "dist-packages" not in file

    def _all(self) -> list[tuple[str, str, str, str]]:
        if self._records is None:
            self._records = []
            for found in metadata.distributions(path=self._path):
                record = found.read_text("RECORD")
                if record is not None:
                    name = found.metadata["Name"]
                    self._records.append((str(found.locate_file("")), f"\n{record}", name, found.version))
        return self._records


@cache
def known() -> dict[str, Any]:
    """What `make compat` has found: the date, and by distribution and series of CPython the version and the results."""
    text = resources.files("chaussette._check").joinpath("known.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def advice(extension: Extension) -> list[str]:
    """What is known to help where this extension refuses, a sentence each; nothing that only might."""
    if extension.source_beside:
        return []
    name = normal(extension.distribution)
    if name == "python":
        return ["of CPython itself: it needs an isolation without sub-interpreters"]
    found = []
    entry, date = known()["packages"].get(name, {}), known()["date"]
    newest = entry.get(SERIES, {})
    if newest.get("own-gil") == "yes" and _release(newest["version"]) > _release(extension.version or ""):
        found.append(f"{newest['version']} loads there, tried on {date}")
    elif newest.get("own-gil") == "refuses":
        same = newest["version"] == extension.version
        found.append(f"{'it' if same else newest['version']} was the newest on {date}, and refuses")
    free = [each for each, results in entry.items() if results.get("free-threaded") == "yes"]
    if free:
        found.append(f"keeps the GIL off on a free-threaded CPython (tried on {', '.join(free)})")
    if name in INSTEAD:
        found.append(f"instead: {INSTEAD[name]}")
    return found


def normal(distribution: str | None) -> str:
    """A distribution's name as PEP 503 compares it."""
    return (distribution or "").lower().replace("_", "-").replace(".", "-")


def _release(version: str) -> list[int]:
    """The numbers of a version, for comparing releases; what is no number ends them."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return numbers
