"""One case, round by round, over the contestants that keep working.

Owns the order of rounds: another contestant begins each time, and what others on the machine disturbed is repeated,
within bounds. Its result is plain data. What a round is, is the case's work.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import figures
import servers
from cases import Case, Contestant
from figures import ERRORS, OTHERS, Figures
from goals import verdict
from loads import LoadError
from measure import Others
from servers import ServerError, Settings

NOISY_SPREAD = 0.25


@dataclass
class Patience:
    """How much may be repeated for the sake of quiet: of one case, and of all cases together."""

    passes: int
    seconds: float


@dataclass(frozen=True)
class Bounds:
    rounds: int
    seconds: int  # of load in a round
    patience: Patience


class Comparison:
    def __init__(
        self, case: Case, names: list[str], bounds: Bounds, settings: Callable[[Case, Contestant], Settings]
    ) -> None:
        """`names`: of the case's contestants, those that take part."""
        self.case = case
        self.bounds = bounds
        self.settings = {name: settings(case, case.contestants[name]) for name in names}
        self.rounds: dict[str, list[Figures]] = {name: [] for name in names}
        self.failures: dict[str, str] = {}
        self.notes: list[str] = []
        self.wanted = case.rounds or bounds.rounds

    def run(self) -> None:
        for number in range(self.wanted):
            self._pass(number, list(self.rounds))
        patience = self.bounds.patience
        for number in range(patience.passes):
            again = self._unquiet()
            if not again or patience.seconds <= 0:
                break
            began = time.monotonic()
            self._pass(number, again)
            patience.seconds -= time.monotonic() - began
        if unquiet := self._unquiet():
            listed = "; ".join(f"{name}: {why}" for name, why in unquiet.items())
            self.notes.append(f"noisy, to be read with care: {listed}")
        for name, taken in self.rounds.items():
            wrong = sum(each.get(ERRORS, 0) for each in taken)
            if wrong:
                self.notes.append(f"{name} had {wrong:.0f} errors: refused, broken or late replies")

    def _pass(self, number: int, names: list[str]) -> None:
        names = [name for name in names if name not in self.failures]
        # Another one begins each time: none is always the first after a pause.
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            others = Others()
            try:
                taken = self.case.work.round(
                    self.case.contestants[name].server, self.settings[name], self.bounds.seconds
                )
            except (ServerError, LoadError, OSError, subprocess.SubprocessError) as error:
                self.failures[name] = str(error)
                self._note(f"FAILED: {name}: {error}")
                continue
            self.rounds[name].append(taken | {OTHERS: others.cpus()})
            shown = ", ".join(f"{figures.WORDS[each].heading} {taken[each]:.4g}" for each in self.case.figures)
            print(f"  {name}: {shown}; others {self.rounds[name][-1][OTHERS]:.2f} CPUs", file=sys.stderr, flush=True)

    def _unquiet(self) -> dict[str, str]:
        """Contestants with too few quiet rounds, or whose rounds differ much; with the reason for a reader."""
        found = {}
        for name in self.measured() if self.case.minds_others else ():
            spread = self._spread(name)
            disturbed = sum(map(figures.noisy, self.used(name)))
            if disturbed:
                found[name] = f"others used the machine in {disturbed} of {len(self.used(name))} rounds"
            elif spread > NOISY_SPREAD:
                found[name] = f"rounds differ by {spread:.0%}"
        return found

    def _spread(self, name: str) -> float:
        return figures.spread(self.used(name), self.case.steady or self.case.figures[0])

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(f"  {text}", file=sys.stderr, flush=True)

    def measured(self) -> dict[str, list[Figures]]:
        return {name: taken for name, taken in self.rounds.items() if taken and name not in self.failures}

    def used(self, name: str) -> list[Figures]:
        return figures.quietest(self.rounds[name], self.wanted)

    def content(self) -> dict[str, object]:
        """All that is kept of it."""
        measured = self.measured()
        medians = {name: figures.medians(self.used(name)) for name in measured}
        return {
            "case": self.case.title,
            "seconds": self.bounds.seconds,
            "figures": self.case.figures,
            "cpus": {name: self.settings[name].cpus for name in measured},
            "commands": {name: self._command(name) for name in measured},
            "medians": medians,
            "rounds_used": {name: len(self.used(name)) for name in measured},
            "spread": {name: self._spread(name) for name in measured},
            "noisy": self._unquiet(),
            "goals": [asdict(each) for each in (verdict(goal, medians) for goal in self.case.goals)],
            "rounds": self.rounds,
            "notes": self.notes,
            "failures": self.failures,
        }

    def _command(self, name: str) -> str:
        """Without the directories of this machine."""
        command = " ".join(servers.command_of(self.case.contestants[name].server, self.settings[name]))
        return command.replace(str(Path(servers.HERE).parent) + "/", "")
