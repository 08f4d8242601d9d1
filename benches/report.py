"""Tables for a terminal, and files: benches/results.

Owns the words and the files. Measures nothing but the machine's facts; the arithmetic is figures.py's and goals.py's.
"""

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import figures
from environment import HERE, Environment
from measure import CONNECTIONS, TICKS_PER_SECOND
from tools import OHA

RESULTS = HERE / "results"


def table(content: dict[str, Any]) -> str:
    """Return the medians of each contestant of a case; after the first figure its ratio to the first contestant's."""
    first, *rest = content["figures"]
    headings = [figures.WORDS[first].heading, "ratio", *(figures.WORDS[name].heading for name in rest)]
    lines = [["", *headings, "spread", "rounds", ""]]
    base = next(iter(content["medians"].values()), {}).get(first)
    for name, medians in content["medians"].items():
        cells = [figures.shown(each, medians[each]) for each in content["figures"]]
        cells.insert(1, f"{medians[first] / base:.2f}" if base else "-")
        marks = [f"{content['spread'][name]:.0%}", str(content["rounds_used"][name])]
        lines.append([name, *cells, *marks, "noisy" if name in content["noisy"] else ""])
    return aligned(lines)


def verdicts(content: dict[str, Any]) -> list[list[str]]:
    """Return for each goal of a case: the goal, what was measured, whether it is met."""
    words = {True: "met", False: "NOT MET", None: "not measured"}
    noisy = ", noisy" if content["noisy"] else ""
    return [
        [goal["goal"], "-" if goal["value"] is None else _ratio(goal["value"]), words[goal["met"]] + noisy]
        for goal in content["goals"]
    ]


def _ratio(value: float) -> str:
    # What is small beyond all noise is not nothing.
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def aligned(lines: list[list[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def machine_facts() -> dict[str, object]:
    """What a reader needs to compare these figures with others; nothing that names the machine or its user."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[0]) // 1024 if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_compiler": platform.python_compiler(),
        # It prints its version with its usage, and exits with 1.
        "wrk": _first_line(["wrk", "-v"]).partition(" [")[0],
        "oha": _first_line([str(OHA), "--version"]),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "cpu_clock_resolution_ms": 1000 / TICKS_PER_SECOND,
    }


def _first_line(command: list[str]) -> str:
    """Return the first line that the program prints; nothing when it is not there."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def write(path: Path, content: dict[str, object], environment: Environment, machine: dict[str, object]) -> None:
    """Write `content` with what it was measured on to `path`."""
    about: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": environment.versions,
        "wheel": environment.wheel,
        "missing": environment.missing,
        "connections": CONNECTIONS,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | content, indent=2) + "\n")
    print(f"written: {path}", flush=True)
