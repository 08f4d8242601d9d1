"""The cases of RFC 9112 and RFC 9110: bytes, and what must come back. Data only; test_conformance.py runs them."""

from . import (
    abuse,
    answers,
    chunks,
    connections,
    content_length,
    expectations,
    header_lines,
    hosts,
    names,
    request_line,
    smuggling,
    targets,
    transfer_encoding,
)

AREAS = (
    request_line,
    targets,
    header_lines,
    hosts,
    content_length,
    transfer_encoding,
    chunks,
    expectations,
    connections,
    answers,
    names,
    smuggling,
    abuse,
)

CASES = [case for area in AREAS for case in area.CASES]
