"""Draws benches/results/*.svg from the JSON beside them: make bench BENCH=plot.

Owns the pictures: CPU per request, latencies on a logarithmic axis, memory and start. Measures nothing. Installs
matplotlib into benches/.venv and runs itself there.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environment
import figures

RESULTS = Path(__file__).parent / "results"
# Ours, and everybody else: the difference that a reader looks for.
COLOURS = {"chaussette": "#c2410c", "free-threaded": "#ea9a6a", "static": "#94a3b8"}
OTHERS_COLOUR = "#64748b"
TEXT = {"font.family": "sans-serif", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "chaussette"}


@dataclass(frozen=True)
class Panel:
    case: str
    figure: str
    title: str
    logarithmic: bool = False


PICTURES: dict[str, tuple[Panel, ...]] = {
    "cpu": (
        Panel("hello1", "cpu_us_per_request", "hello, 1 worker on one CPU"),
        Panel("hello2", "cpu_us_per_request", "hello, 2 workers"),
        Panel("flask2", "cpu_us_per_request", "Flask hello, 2 workers"),
        Panel("echo", "cpu_us_per_request", "POST of 10 KB, echoed"),
        Panel("mb", "cpu_us_per_request", "reply of 1 MB"),
        Panel("chunks", "cpu_us_per_request", "100 KB in 100 chunks"),
    ),
    "latency": (
        Panel("mixed", "fast_p99_ms", "1 % slow requests: p99 of the fast ones", logarithmic=True),
        Panel("rate", "p99_ms", "Flask at a constant rate: p99"),
        Panel("hello1c", "p50_ms", "hello, 1 connection: p50"),
    ),
    "memory": (
        Panel("memory-flask", "pss_mib", "8 workers with Flask"),
        Panel("memory-django", "pss_mib", "8 workers with Django"),
        Panel("start", "start_seconds", "8 workers with Django: start"),
    ),
}
COLUMNS = 3


def drawn(panels: Sequence[Panel], results: Path) -> list[tuple[Panel, dict[str, Any]]]:
    """Return the panels whose case was measured, with what was."""
    read = [(panel, results / f"{panel.case}.json") for panel in panels]
    return [(panel, json.loads(path.read_text())) for panel, path in read if path.exists()]


def bars(panel: Panel, content: dict[str, Any]) -> list[tuple[str, float, str]]:
    """Return the label, the length and the colour of each bar, ours first."""
    medians = {name: each[panel.figure] for name, each in content["medians"].items() if panel.figure in each}
    return [(name, value, COLOURS.get(name.split()[0], OTHERS_COLOUR)) for name, value in medians.items()]


def draw(panels: list[tuple[Panel, dict[str, Any]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(TEXT)
    from matplotlib import pyplot

    rows = -(-len(panels) // COLUMNS)
    columns = min(COLUMNS, len(panels))
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.4 * columns, 1.9 * rows), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (panel, content) in zip(axes.flat, panels, strict=False):
        labels, values, colours = zip(*bars(panel, content), strict=True)
        drawn_bars = axis.barh(range(len(values)), values, color=colours, height=0.7)
        word = figures.WORDS[panel.figure]
        axis.bar_label(drawn_bars, [word.format.format(value) for value in values], padding=3, fontsize=8)
        axis.set_yticks(range(len(values)), labels)
        axis.invert_yaxis()
        if panel.logarithmic:
            axis.set_xscale("log")
            axis.set_xlim(min(values) / 2, max(values) * 4)
        else:
            axis.set_xlim(0, max(values) * 1.25)
        axis.set_title(panel.title, fontsize=9, loc="left")
        axis.set_xlabel(word.heading + (" (logarithmic)" if panel.logarithmic else ""), fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    # No date, and names made from a fixed salt: the same figures give the same file.
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    pyplot.close(figure)
    print(f"written: {path}", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    if Path(sys.prefix) != environment.VENV:
        environment.make_venv(environment.VENV, sys.executable)
        environment.step([*environment.PIP, "--requirement", str(environment.HERE / "requirements-plot.txt")])
        os.execv(environment.BIN / "python", [str(environment.BIN / "python"), __file__, *arguments])
    for name, panels in PICTURES.items():
        measured = drawn(panels, options.results)
        if measured:
            draw(measured, options.results / f"{name}.svg")
        else:
            print(f"not drawn: {name}.svg: none of its cases is in {options.results}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
