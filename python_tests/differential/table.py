"""The whole table."""

from .body_rows import CHUNKS, CONNECTIONS, FRAMING
from .head_rows import HEADERS, REQUEST_LINES, TARGETS
from .view_rows import VIEWS

#: Rows of who takes what, by the title that the document gives them.
VERDICTS_BY_TITLE = {
    "Request lines": REQUEST_LINES,
    "Targets": TARGETS,
    "Headers": HEADERS,
    "Framing": FRAMING,
    "Chunks": CHUNKS,
    "Connections": CONNECTIONS,
}

VERDICTS = tuple(row for rows in VERDICTS_BY_TITLE.values() for row in rows)

ROWS = VERDICTS + VIEWS
