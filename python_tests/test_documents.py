"""docs/http.md stays true: each rule has a function and a test, and each of them exists.

docs/wsgi.md is checked in the same way by tests/architecture.rs.
"""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "http.md"

#: What may stand for a function: the rule is kept by hyper, or by leaving something alone.
ELSEWHERE = {"hyper", "-"}


def tables():
    """The rows of all tables that have a test column: the line's number, and the cells by their heading."""
    heading = None
    for number, line in enumerate(DOCUMENT.read_text().splitlines(), 1):
        if not line.startswith("|"):
            heading = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if heading is None:
            heading = cells
        elif not set(line) <= set("|-") and "test" in heading:
            yield number, dict(zip(heading, cells, strict=True))


def test_functions():
    """The names of all test functions: Rust's, those of python_tests, and unit tests beside their rule."""
    texts = [path.read_text() for folder in ("tests", "src") for path in (ROOT / folder).rglob("*.rs")]
    names = set(re.findall(r"#\[test\]\s+fn (\w+)\(\)", "\n".join(texts)))
    for path in (ROOT / "python_tests").glob("test_*.py"):
        names |= set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE))
    return names


test_functions.__test__ = False

ROWS = list(tables())
TESTS = test_functions()


def cases(name):
    """The table of cases that "area.NAME" stands for; empty when there is none."""
    area, _, table = name.partition(".")
    try:
        return getattr(importlib.import_module(f"conformance.{area}"), table, [])
    except ModuleNotFoundError:
        return []


def test_the_document_has_its_tables():
    assert len(ROWS) > 70
    assert len(TESTS) > 300


@pytest.mark.parametrize(("number", "row"), ROWS, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_each_rule_names_tests_that_exist(number, row):
    names = [name.strip() for name in row["test"].split(",")]
    unknown = [name for name in names if name not in TESTS and not ("." in name and cases(name))]
    assert not unknown, f"docs/http.md:{number}"
    assert len(names) == len(set(names))


def defined(name, text):
    return re.search(rf"\bfn {name}\b", text)


@pytest.mark.parametrize(
    ("number", "row"),
    [(number, row) for number, row in ROWS if "bound" not in row],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_each_rule_names_functions_that_exist(number, row):
    """Each file in the second column is followed by functions of its own."""
    where = row.get("where") or row["closed by"]
    text = None
    for part in where.split(", "):
        if part in ELSEWHERE:
            continue
        for name in re.findall(r"`([^`]+)`", part):
            if name.endswith(".rs"):
                path = ROOT / "src" / name
                text = (path if path.exists() else ROOT / "src" / "http" / name).read_text()
            else:
                assert text is not None, f"docs/http.md:{number}: {name} is of no file"
                assert defined(name, text), f"docs/http.md:{number}: there is no {name}"
    assert text is not None or set(where.split(", ")) <= ELSEWHERE


def test_each_table_of_cases_stands_in_the_document():
    """A case whose rule is not in the document is one that nobody looks for there."""
    mentioned = set(re.findall(r"\b([a-z_]+)\.([A-Z][A-Z_0-9]*)\b", DOCUMENT.read_text()))
    missing = []
    for path in sorted((ROOT / "python_tests" / "conformance").glob("*.py")):
        module = importlib.import_module(f"conformance.{path.stem}")
        whole = getattr(module, "CASES", [])
        for name, value in vars(module).items():
            is_part = isinstance(value, list) and value and all(any(one is case for case in whole) for one in value)
            if is_part and name != "CASES" and (path.stem, name) not in mentioned:
                missing.append(f"{path.stem}.{name}")
    assert not missing
