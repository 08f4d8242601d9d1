"""What is aimed at, as data, and whether it is met. Pure functions; knows no server."""

from collections.abc import Mapping
from dataclasses import dataclass

from figures import WORDS, Figures


@dataclass(frozen=True)
class Goal:
    """A figure of ours beside others' best, or by itself where there are none to compare with."""

    figure: str
    bound: float
    against: tuple[str, ...] = ()  # contestants
    at_least: bool = False
    ours: str = "chaussette"

    @property
    def text(self) -> str:
        bound = f"{self.bound:.3g}"
        if self.against:
            best = f"the best of {', '.join(self.against)}" if len(self.against) > 1 else self.against[0]
            bound += f" x {best}"
        whose = "" if self.ours == "chaussette" else f"{self.ours}: "
        return f"{whose}{WORDS[self.figure].heading} {'≥' if self.at_least else '≤'} {bound}"


@dataclass(frozen=True)
class Verdict:
    goal: str
    value: float | None  # None: not measured
    met: bool | None


def verdict(goal: Goal, medians: Mapping[str, Figures]) -> Verdict:
    """Judge by the medians of each contestant. Of `against`, those that were measured count."""
    ours = medians.get(goal.ours, {}).get(goal.figure)
    theirs = [medians[name][goal.figure] for name in goal.against if goal.figure in medians.get(name, {})]
    if ours is None or (goal.against and not theirs):
        return Verdict(goal.text, None, None)
    value = ours
    if goal.against:
        best = max(theirs) if goal.at_least else min(theirs)
        if best == 0:
            return Verdict(goal.text, None, None)
        value = ours / best
    return Verdict(goal.text, value, value >= goal.bound if goal.at_least else value <= goal.bound)
