"""The section of docs/http.md that shows the table of differences.

Owns its form; the rows are those of table.py. Run as a program it prints the section.
"""

from pathlib import Path

from .explaining import TWO_FAULTS
from .rows import ALL
from .table import VERDICTS_BY_TITLE, VIEWS

ROOT = Path(__file__).resolve().parent.parent.parent

DOCUMENT = ROOT / "docs" / "http.md"

TITLE = "## Differences from other servers"

INTRODUCTION = """\
Compared with waitress 3.0.2, gunicorn 27.0.1 (gthread) and cheroot 11.1.2, each with its default settings:
`python_tests/test_differential.py` sends some thousand streams of generated requests to all four. Whatever differs is a
row here; the test fails for a difference without a row, and for a row without a difference. The tables are generated:
`python -m differential.document`, run in `python_tests`.

*accepts*: the application is asked. *waits*: for more bytes. *closes*: without an answer. An empty cell: as here. After
a request that one server takes and another does not, nothing more of that connection is compared. A request with two
faults is refused for the one that is seen first, which is not the same one everywhere (*{two_faults}*)."""

WORDS = {"app": "accepts", "closed": "closes", "waits": "waits", "junk": "answers what no client can read"}


def section():
    parts = [TITLE, "", INTRODUCTION.format(two_faults=TWO_FAULTS)]
    for title, rows in VERDICTS_BY_TITLE.items():
        parts += ["", f"### {title}", "", *heading()]
        parts += [line(row, words(row.ours), {peer: words(kinds) for peer, kinds in row.peers.items()}) for row in rows]
    parts += ["", "### What the application sees", "", *heading()]
    parts += [line(row, row.ours, row.told) for row in VIEWS]
    return "\n".join(parts) + "\n"


def heading():
    return [f"| requests | here | {' | '.join(ALL)} | why |", "|---|---|" + "---|" * len(ALL) + "---|"]


def line(row, ours, told):
    cells = [row.name, ours, *(told.get(peer, "") for peer in ALL), row.why]
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def words(kinds):
    return " or ".join(WORDS.get(kind, kind) for kind in sorted(kinds))


def read_section():
    """The section as it stands in the document, up to the next heading of its level."""
    behind = DOCUMENT.read_text().partition(TITLE + "\n")[2].partition("\n## ")[0]
    return f"{TITLE}\n{behind.rstrip()}\n"


if __name__ == "__main__":
    print(section(), end="")
