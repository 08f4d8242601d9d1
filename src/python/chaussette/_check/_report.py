"""The report of a check as text for a person: the verdict first, what to do last."""

from __future__ import annotations

import sys
from typing import Any

#: Bytes.
_MIB = 1 << 20

#: Lines of a traceback, or of what a process wrote, that are told. `--json` has all.
_LINES = 40


def text(report: dict[str, Any]) -> str:
    """Return the whole text."""
    python = report["python"]
    kind = "free-threaded" if python["free_threaded"] else "with a GIL"
    parts = [
        f"{report['application']} on chaussette {report['chaussette']}, CPython {python['version']} {kind}",
        f"verdict: {_verdict(report)}\n         {report['reason']}",
        _table(_isolations(report)),
        *_failures(report),
        *_extensions(report),
        *_gil(report),
        *_seen(report),
    ]
    if report["circus"]:
        parts.append(f"for Circus:\n\n{_indented(report['circus'])}")
    return "\n\n".join(parts)


def _verdict(report: dict[str, Any]) -> str:
    if report["verdict"] is None:
        return "cannot be loaded" + (
            "" if report["isolation"] == "auto" else f" with --isolation {report['isolation']}"
        )
    needed = " needed" if report["status"] else ""
    return f"--isolation {report['verdict']}{needed}"


def _isolations(report: dict[str, Any]) -> list[list[str]]:
    rows = [["ISOLATION", "LOADS", "IMPORT", "FIRST WORKER (PSS/RSS)", "EACH FURTHER (PSS/RSS)"]]
    for result in report["isolations"]:
        memory = result["memory"]
        loads = {True: "yes", False: "no", None: "-"}[result["loads"]]
        seconds = "-" if result["import_seconds"] is None else f"{result['import_seconds']:.2f} s"
        sizes = ["-", "-"] if memory is None else [_size(memory["first"]), _size(memory["further"])]
        rows.append([result["isolation"], loads, seconds, *sizes])
    return rows


def _size(sizes: dict[str, int | None]) -> str:
    if sizes["pss"] is None or sizes["rss"] is None:
        return "not told by this system"
    return f"{sizes['pss'] / _MIB:.1f} / {sizes['rss'] / _MIB:.1f} MiB"


def _failures(report: dict[str, Any]) -> list[str]:
    """What failed where; what failed in the same way, once."""
    groups: dict[tuple[str, str], list[str]] = {}
    for result in report["isolations"]:
        failure = result["failure"]
        if failure is not None:
            # A refusal is told by its table.
            told = "" if failure["kind"] == "refused" else _cut(failure["report"])
            groups.setdefault((failure["message"], told), []).append(result["isolation"])
    return [
        f"{', '.join(names)}: {message}" + (f"\n{_indented(told)}" if told else "")
        for (message, told), names in groups.items()
    ]


def _cut(report: str) -> str:
    lines = report.splitlines()
    return "\n".join(lines if len(lines) <= _LINES else ["…", *lines[-_LINES:]])


def _extensions(report: dict[str, Any]) -> list[str]:
    extensions = report["extensions"]
    parts = []
    blocking = [each for each in extensions if each["blocks"]]
    if blocking:
        rows = [["DISTRIBUTION", "EXTENSION", "IMPORTED THROUGH"]]
        notes = []
        for owner, group in _grouped(blocking).items():
            first, more = group[0], len(group) - 1
            module = first["module"] + (f" and {more} more" if more else "")
            error = "" if first["refuses"] else f" ({first['error']})"
            rows.append([owner, module + error, " > ".join(first["chain"][:-1])])
            if first["advice"]:
                notes.append(f"  {owner}: {'; '.join(first['advice'])}")
        told = "\n".join(["", "", "what is known to help:", *notes]) if notes else ""
        parts.append(f"refuse own-GIL interpreters:\n{_table(rows)}{told}")
    harmless = [each for each in extensions if not each["blocks"]]
    if harmless:
        rows = [["DISTRIBUTION", "EXTENSION", "INSTEAD"]]
        for owner, group in _grouped(harmless).items():
            first, more = group[0], len(group) - 1
            instead = "its .py, which is slower"
            if not first["source_beside"]:
                instead = f"{first['done_without_by']} does without"
            rows.append([owner, first["module"] + (f" and {more} more" if more else ""), instead])
        parts.append(f"refuse, and are not needed:\n{_table(rows)}")
    return parts


def _grouped(extensions: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for extension in extensions:
        distribution = extension["distribution"]
        owner = "the application" if distribution is None else f"{distribution} {extension['version']}"
        groups.setdefault(owner, []).append(extension)
    return groups


def _gil(report: dict[str, Any]) -> list[str]:
    found = report["gil_enabled_by"]
    if found is None:
        return []
    owner = "" if found["distribution"] is None else f" of {found['distribution']} {found['version']}"
    return [f"the GIL was switched on again by {found['module']}{owner}, imported through {' > '.join(found['chain'])}"]


def _seen(report: dict[str, Any]) -> list[str]:
    seen = report["seen_at_import"]
    if seen is None:
        return []
    lines = []
    for thread in seen["threads"]:
        kind = "a daemon thread" if thread["daemon"] else "a thread"
        lines.append(f"{kind}, {thread['name']}: {thread['runs']}")
    if seen["native_threads"]:
        lines.append(f"threads of C libraries: {seen['native_threads']}")
    for process in seen["processes"]:
        lines.append(f"{process['call']} by {process['by']}: {process['what']}".rstrip(": "))
    for handler in seen["signal_handlers"]:
        lines.append(f"a handler of {handler['signal']}: {handler['handler']}")
    for handler in seen["exit_handlers"]:
        # The standard library's are every application's.
        if handler["by"].partition(".")[0] not in sys.stdlib_module_names:
            lines.append(f"an exit handler: {handler['handler']}, by {handler['by']}")
    if seen["sockets"]:
        lines.append(f"open sockets: {len(seen['sockets'])}; worker processes would share them")
    if not lines:
        return ["at import: no threads, processes, signal handlers, exit handlers or open sockets"]
    return ["at import:\n" + "\n".join(f"  {line}" for line in lines)]


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return _indented("\n".join(lines))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
