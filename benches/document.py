"""Prints what docs/performance.md and README.md say of benches/results, in Markdown: make bench BENCH=report.

    python3.13 benches/document.py             prints it
    python3.13 benches/document.py --write     writes it into both, between <!-- bench:NAME --> and <!-- /bench -->

Owns those lines: figures reach the documents by this, never by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import figures
import report
from cases import cases
from environment import HERE

DOCUMENTS = (HERE.parent / "docs" / "performance.md", HERE.parent / "README.md")
Contents = dict[str, dict[str, Any]]
# What README.md shows: a case and the figure of it.
SUMMARY = (
    ("hello, 1 worker: CPU µs a request", "hello1", "cpu_us_per_request"),
    ("Flask, 2 workers: CPU µs a request", "flask2", "cpu_us_per_request"),
    ("Flask at 1,500 requests/s: p99, ms", "rate", "p99_ms"),
    ("hello beside 1 % slow requests: p99, ms", "mixed", "fast_p99_ms"),
    ("8 workers with Flask: PSS, MiB", "memory-flask", "pss_mib"),
)
SUMMARY_SERVERS = ("chaussette", "granian", "gunicorn", "bjoern")


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def rows(lines: list[list[str]]) -> str:
    """A table: the first line is its heading."""
    return "\n".join([row(lines[0]), "|" + "---|" * len(lines[0]), *map(row, lines[1:])])


def machine(contents: Contents) -> str:
    """Where and when, in a sentence; of the latest case, and how many there are."""
    latest = max(contents.values(), key=lambda content: content["date"])
    about = latest["machine"]
    dates = sorted({content["date"][:10] for content in contents.values()})
    servers = ", ".join(
        f"{name} {latest['versions'][name]}" for name in ("granian", "gunicorn", "bjoern") if name in latest["versions"]
    )
    noisy = [name for name, content in contents.items() if content["noisy"]]
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    said = f"Measured {when} on {about['cpus_usable']} CPUs ({about['cpu']}), Linux {about['kernel']}, "
    said += f"CPython {about['python']}, {servers}, {about['wrk']}, {about['oha']}."
    return said + (f" Noisy, in spite of repeats: {', '.join(noisy)}." if noisy else "")


def goals(contents: Contents) -> str:
    lines = [["case", "goal", "measured", ""]]
    for name, content in contents.items():
        for goal, value, word in report.verdicts(content):
            lines.append([name, goal, value, f"**{word}**" if word.startswith("NOT") else word])
    return rows(lines)


def tables(contents: Contents) -> str:
    """One table a case: medians of each contestant."""
    parts = []
    for name, content in contents.items():
        lines = [["", *(figures.WORDS[figure].heading for figure in content["figures"])]]
        for who, medians in content["medians"].items():
            mark = " (noisy)" if who in content["noisy"] else ""
            lines.append([who + mark, *(figures.shown(figure, medians[figure]) for figure in content["figures"])])
        parts.append(f"**{name}**: {content['case']}.\n\n{rows(lines)}")
    return "\n\n".join(parts)


def summary(contents: Contents) -> str:
    lines = [["", *SUMMARY_SERVERS]]
    for title, case, figure in SUMMARY:
        if case in contents:
            medians = contents[case]["medians"]
            cells = [figures.shown(figure, medians[who][figure]) if who in medians else "-" for who in SUMMARY_SERVERS]
            lines.append([title, *cells])
    return rows(lines)


def limit(contents: Contents) -> str:
    """How far hello is from hyper without Python."""
    medians = contents.get("hello1", {}).get("medians", {})
    if not {"chaussette", "static"} <= set(medians):
        return "Not measured."
    ours, static = (medians[name]["cpu_us_per_request"] for name in ("chaussette", "static"))
    said = f"A hello costs {ours:.1f} µs of CPU a request, hyper's own reply {static:.1f}: "
    return said + f"{ours - static:.1f} µs above the limit, {ours / static:.2f} times it."


PARTS: dict[str, Callable[[Contents], str]] = {
    "machine": machine,
    "goals": goals,
    "limit": limit,
    "tables": tables,
    "summary": summary,
}


def filled(document: str, contents: Contents) -> str:
    """Return the document with what stands between its markers replaced."""

    def part(match: re.Match[str]) -> str:
        if match["name"] not in PARTS:
            raise SystemExit(f"error: marker bench:{match['name']}: there are {', '.join(PARTS)}")
        return f"<!-- bench:{match['name']} -->\n{PARTS[match['name']](contents)}\n<!-- /bench -->"

    return re.sub(r"<!-- bench:(?P<name>\w+) -->\n.*?<!-- /bench -->", part, document, flags=re.DOTALL)


def read(directory: Path) -> Contents:
    """Return what there is of the cases, in their order."""
    # The names are the same whatever the number of CPUs.
    paths = {name: directory / f"{name}.json" for name in cases(2)}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="DIRECTORY")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md and README.md")
    options = parser.parse_args(arguments)
    contents = read(options.results)
    if not contents:
        raise SystemExit(f"error: --results {options.results}: no case was measured; cure: make bench")
    if not options.write:
        print("\n\n".join(part(contents) for part in (machine, goals, tables)))
        return 0
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text(), contents))
        print(f"written: {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
