"""The life of a check: try each isolation → try what refused → judge → tell.

Owns the verdict and its exit status. Loads nothing of the application in this process: `_trial` starts processes that
do, by the server's own loader (`_native.rehearse`). Opens no socket.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from chaussette import __version__, _interpreter
from chaussette._check import _circus, _report
from chaussette._check._extensions import Distributions, Extension, examine
from chaussette._check._trial import Stage, Trial

if TYPE_CHECKING:
    from chaussette._native import Asked, Handover

FITS, INTERNAL, USAGE, LOAD, PROCESS = 0, 1, 2, 4, 10

#: Of the report. Fields may be added; what one means, or that it goes, makes the next.
SCHEMA = 1

#: Workers that are measured. The second has told what a further one takes; as many as these show whether it stays so.
LEAST, MOST = 2, 8

OWN_GIL, FREE_THREADED, PROCESSES, MAIN = "own-gil", "free-threaded", "process", "main"

#: What `--isolation auto` may come to, in the order in which it is wished for.
_ON_A_GIL, _WITHOUT = (OWN_GIL, PROCESSES, MAIN), (FREE_THREADED, PROCESSES)

NEEDS_FREE_THREADING = (
    "chaussette: error: --isolation free-threaded needs a free-threaded build of CPython whose GIL is off; this one "
    "has a GIL: use --isolation own-gil, or a python3.14t"
)


def run(given: Handover) -> int:
    """Check the application that the command line names, print the report, and return the exit status."""
    asked = given["check"]
    assert asked is not None
    isolation = dict(asked["given"]).get("isolation", ["auto"])[-1]
    free = _interpreter.gil_is_off()
    if isolation == FREE_THREADED and not free:
        print(NEEDS_FREE_THREADING, file=sys.stderr)
        return USAGE
    stage = Stage(given["path"], asked["timeout"])
    with stage.guarded():
        report = Check(given, asked, stage, isolation, free).report()
    try:
        print(json.dumps(report, indent=1) if asked["json"] else _report.text(report), flush=True)
    except BrokenPipeError:
        # A reader that left early is no failure of ours; nor shall Python flush again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status: int = report["status"]
    return status


class Check:
    """One application, tried in one isolation after the other."""

    def __init__(self, given: Handover, asked: Asked, stage: Stage, isolation: str, free: bool) -> None:
        self._given, self._asked, self._stage = given, asked, stage
        self._isolation, self._free = isolation, free
        self._wished = (_WITHOUT if free else _ON_A_GIL) if isolation == "auto" else (isolation,)
        self._trials: dict[str, Trial] = {}
        self._results: dict[str, dict[str, Any]] = {}
        self._distributions = Distributions(given["path"])

    def report(self) -> dict[str, Any]:
        """Try everything, and return what was found as `--json` prints it."""
        # First where the most is seen: whoever else loads it, loads it as this one did.
        for isolation in sorted(self._wished, key=lambda one: one != PROCESSES):
            self._results[isolation] = self._try(isolation)
        extensions = self._refusing()
        verdict = next((one for one in self._wished if self._results[one]["loads"]), None)
        given, asked = self._given, self._asked
        section = None
        if verdict is not None:
            graceful = given["options"]["graceful_timeout"]
            assert isinstance(graceful, int | float)
            words = [given["application"], *given["argv"][1:]]
            section = _circus.section(asked["given"], verdict, asked["interpreters"], graceful, words)
        return {
            "schema": SCHEMA,
            "chaussette": __version__,
            "python": {
                "version": platform.python_version(),
                "free_threaded": self._free,
                "executable": sys.executable,
            },
            "application": given["application"],
            "isolation": self._isolation,
            "status": self._status(verdict),
            "verdict": verdict,
            "reason": self._reason(verdict, extensions),
            "timeout_seconds": asked["timeout"],
            "isolations": [self._results[one] for one in self._wished],
            "extensions": [extension.told() for extension in extensions],
            "gil_enabled_by": self._gil_enabled_by(),
            "seen_at_import": self._seen(),
            "circus": section,
        }

    def _status(self, verdict: str | None) -> int:
        if verdict is None:
            return LOAD
        # One that was asked for by name is what is wanted.
        return FITS if self._isolation != "auto" or verdict in (OWN_GIL, FREE_THREADED) else PROCESS

    def _try(self, isolation: str) -> dict[str, Any]:
        hung = next((name for name, trial in self._trials.items() if trial.end == "timeout"), None)
        if hung is not None:
            return _untried(isolation, f"it did not come back in {hung}")
        trial = self._trial(isolation)
        self._trials[isolation] = trial
        failure = self._failure(trial, isolation)
        loaded = trial.event("loaded") or {}
        return {
            "isolation": isolation,
            "loads": failure is None,
            "failure": failure,
            "import_seconds": loaded.get("seconds"),
            "workers": self._workers(),
            "memory": None if failure else _memory(trial, isolation),
            "rescued": loaded.get("rescued", []),
            "done_without": [name for name, _ in loaded.get("refused", []) if name not in loaded["rescued"]],
        }

    def _trial(self, isolation: str, workers: int | None = None) -> Trial:
        given = self._given
        return self._stage.run(
            "fork" if isolation == PROCESSES else "rehearse",
            isolation=isolation,
            workers=self._workers() if workers is None else workers,
            watched=isolation != OWN_GIL,
            preloads="no-zygote" not in dict(self._asked["given"]),
            spec=given["application"],
            factory=given["factory"],
            argv=given["argv"],
        )

    def _workers(self) -> int:
        return min(max(self._asked["interpreters"], LEAST), MOST)

    def _failure(self, trial: Trial, isolation: str) -> dict[str, Any] | None:
        """What kept the application from being loaded, if anything did."""
        failed, not_loaded = trial.event("failed"), trial.event("not loaded")
        if failed is not None:
            refusal, report = failed["refusal"], failed["report"]
            message = _last_line(report)
            if refusal is not None:
                message = f"extension module {refusal[0]} refuses (imported through {' > '.join(refusal[1])})"
            kind = "refused" if refusal is not None or _interpreter.REFUSAL in report else "exception"
            return {"kind": kind, "message": message, "report": report}
        loaded = trial.event("loaded")
        if isolation == FREE_THREADED and loaded is not None and not loaded["gil_is_off"]:
            # The server's loader does not want it, then.
            by = self._gil_enabled_by()
            name = "an extension" if by is None else by["module"]
            return {"kind": "gil", "message": f"{name} switched the GIL on again", "report": ""}
        if not_loaded is not None:
            return {"kind": "exception", "message": _last_line(not_loaded["report"]), "report": not_loaded["report"]}
        if trial.end != "done":
            kind = {"timeout": "timeout", "exit": "exit"}.get(trial.end, "crash")
            message = trial.how()
            if trial.end == "timeout":
                message += f" ({self._asked['timeout']:g} s, --check-timeout)"
            return {"kind": kind, "message": message, "report": trial.log}
        return None

    def _survey(self) -> dict[str, Any] | None:
        """What was found where the application could be seen from the main interpreter."""
        for isolation in (PROCESSES, MAIN, FREE_THREADED):
            trial = self._trials.get(isolation)
            event = trial and (trial.event("loaded") or trial.event("failed"))
            if event and "seen" in event:
                return event
        return None

    def _refusing(self) -> list[Extension]:
        """The extensions that refuse own-GIL interpreters, where that matters."""
        result = self._results.get(OWN_GIL)
        if result is None or result["loads"] is None:
            return []
        if result["loads"] or result["failure"]["kind"] in ("refused", "crash"):
            survey = self._survey()
            if survey is None and not result["loads"]:
                # It was asked for alone: what it imports is not known yet.
                self._trials[PROCESSES] = self._trial(PROCESSES, workers=1)
                survey = self._survey()
            found = survey["extensions"] if survey is not None else []
            if result["loads"]:
                # All that could refuse has done so there.
                refused = {name for name, _ in (self._trials[OWN_GIL].event("loaded") or {}).get("refused", [])}
                found = [each for each in found if each[0] in refused]
            return examine(self._stage, found, self._given["path"])
        return []

    def _gil_enabled_by(self) -> dict[str, Any] | None:
        trial = self._trials.get(FREE_THREADED)
        event = trial and trial.event("loaded")
        if not event or not event["gil_enabled_by"]:
            return None
        name = event["gil_enabled_by"][0]
        known = {module: (file, chain) for module, file, chain in event["extensions"]}
        file, chain = known.get(name, (None, [name]))
        distribution, version = self._distributions.of(name, file)
        return {"module": name, "distribution": distribution, "version": version, "chain": chain}

    def _seen(self) -> dict[str, Any] | None:
        survey = self._survey()
        return None if survey is None else survey["seen"]

    def _reason(self, verdict: str | None, extensions: list[Extension]) -> str:
        """One sentence that says why."""
        best = self._results[self._wished[0]]
        if verdict == self._wished[0]:
            return {
                OWN_GIL: "it loads in interpreters with their own GIL",
                FREE_THREADED: "it loads, and the GIL stays off",
                PROCESSES: "it loads in worker processes",
            }.get(verdict, "it loads in the main interpreter")
        if verdict is None:
            # Where nothing in particular hinders it, the failure is the application's own.
            last = next((self._results[one] for one in reversed(self._wished) if self._results[one]["failure"]), best)
            return f"it cannot be loaded: {last['failure']['message']}"
        blocking = [extension for extension in extensions if extension.blocks]
        if blocking:
            owners = list(dict.fromkeys(extension.distribution or extension.module for extension in blocking))
            return f"own-GIL interpreters are refused by {_listed(owners)}"
        failure = best["failure"]
        return f"{self._wished[0]}: {failure['message']}"


def _untried(isolation: str, why: str) -> dict[str, Any]:
    failure = {"kind": "untried", "message": f"not tried: {why}", "report": ""}
    return {
        "isolation": isolation,
        "loads": None,
        "failure": failure,
        "import_seconds": None,
        "workers": 0,
        "memory": None,
        "rescued": [],
        "done_without": [],
    }


def _memory(trial: Trial, isolation: str) -> dict[str, dict[str, int | None]]:
    """Bytes for the first worker, the server included, and for each further one."""
    bare = trial.event("bare") or {}
    steps = [event for event in trial.events if event["event"] == "memory"]
    first, last = steps[0], steps[-1]
    more = last["workers"] - first["workers"]
    told: dict[str, dict[str, int | None]] = {"first": {}, "further": {}}
    for kind in ("rss", "pss"):
        if first[kind] is None or last[kind] is None or bare[kind] is None:
            told["first"][kind] = told["further"][kind] = None
            continue
        # Beside worker processes there is one that has no Python application: the server.
        told["first"][kind] = first[kind] + (bare[kind] if isolation == PROCESSES else 0)
        told["further"][kind] = max(last[kind] - first[kind], 0) // more
    return told


def _last_line(report: str) -> str:
    lines = [line for line in report.splitlines() if line.strip() and not line.startswith(" ")]
    return lines[-1] if lines else report


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
