"""Against waitress, gunicorn and cheroot: the same generated requests, and a row of a table for every difference.

The table is differential/table.py; docs/http.md shows it. A difference without a row fails, and so does a row that
explains nothing: the table stays true.
"""

import importlib.metadata
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from differential.document import DOCUMENT, read_section, section
from differential.explaining import BEYOND, MIXED, ORDINARY, TWO_FAULTS, compare
from differential.grammar import Request, Stream, streams
from differential.peers import NAMES, Entry, Peer, converse, is_installed
from differential.table import ROWS, VERDICTS, VIEWS
from differential.unusual import CUTS, PLACES

APPLICATION = "apps.telling:app"

#: Any number: the same requests in each run, so that a failure is the same tomorrow.
SEED = 20260

#: Streams of one to three requests. 3000: each mark of the grammar a dozen times, five seconds for each peer.
COUNT = 3000

#: Connections at once to a server. Fewer than a peer's threads: one that waits for a body keeps a thread.
AT_ONCE = 12

#: Seconds without a byte, for a second look at what has no row: a loaded machine is not a difference.
PATIENT = 8.0

#: Marks of requests that are valid, or that clients send all the same: they are taken.
PLAIN = frozenset(
    """
    target-plain target-two-slashes target-utf-8-escaped target-bad-escape target-marks target-absolute
    target-escaped-slash target-quote target-angle target-grave method-unusual method-marks version-1.2
    host-with-port host-lower-case host-after-others field-plain field-white-space field-empty field-repeated
    field-cookie-repeated field-obs-text field-token-marks field-keep-alive field-expect-continue field-expect-list
    length-zeros length-in-capitals coding-in-capitals coding-tab coding-and-trailer chunk-plain chunk-zeros
    chunk-hex chunk-large chunk-extension chunk-trailer chunk-extension-spaced chunk-crlf-behind line-crlf-before
    """.split()  # noqa: SIM905  eighty quotation marks would hide the words
)

#: The gunicorn that writes its refusals through textwrap.dedent(): to that a CR is white space from CPython 3.14 on.
DEDENTED = "27.0.1"

SERIES = sys.version_info[:2]

TABLE = (VERDICTS, VIEWS)


@pytest.fixture(scope="module")
def generated():
    return streams(SEED, COUNT)


@pytest.fixture(scope="module")
def site(module_server):
    return module_server(APPLICATION, "--interpreters", "2")


@pytest.fixture(scope="module")
def ours(site, generated):
    # Nothing waits here, so patience costs nothing.
    return converse_all(site.address, generated, PATIENT)


@pytest.fixture(scope="module", params=NAMES)
def peer(request, tmp_path_factory):
    if not is_installed(request.param):
        pytest.skip(f"NOT TESTED: {request.param} is not installed for this Python, so nothing is compared with it")
    if request.param == "gunicorn" and SERIES >= (3, 14) and importlib.metadata.version("gunicorn") == DEDENTED:
        pytest.skip(f"gunicorn {DEDENTED} ends the head of what it refuses with a bare LF on CPython 3.14 and later")
    started = Peer(request.param, APPLICATION, tmp_path_factory.mktemp("peers"))
    try:
        yield started
    finally:
        started.clean_up()


@pytest.fixture(scope="module")
def differences(site, peer, generated, ours):
    """All differences as pairs of stream and finding."""
    theirs = converse_all(peer.address, generated)
    found = []
    for stream, here, there in zip(generated, ours, theirs, strict=True):
        differing = compare(stream, here, there, peer.name, TABLE)
        if any(one.row is None for one in differing):
            here, there = (converse(server.address, stream, PATIENT) for server in (site, peer))
            differing = compare(stream, here, there, peer.name, TABLE)
        found += [(stream, one) for one in differing]
    return found


def converse_all(address, generated, *quiet):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda stream: converse(address, stream, *quiet), generated))


def test_every_difference_from_a_peer_has_a_row(peer, differences):
    findings = {}
    for stream, found in differences:
        if found.row is None:
            request = stream.requests[found.at] if found.at < len(stream.requests) else BEYOND
            findings.setdefault((found.what, request.marks), (stream, found.at))
    lines = [
        f"ours / {peer.name}'s: {what}\n  request {at} of the stream, {sorted(marks)}\n  {stream.data!r}"
        for (what, marks), (stream, at) in findings.items()
    ]
    assert not lines, "\n".join([f"{len(lines)} kinds of differences have no row:", *lines[:20]])


def test_every_row_of_a_peer_explains_something(peer, differences):
    used = Counter(found.row for _, found in differences)
    idle = [row.name for row in ROWS if peer.name in row.peers and not used[row.name]]
    assert not idle, f"rows that explain no difference from {peer.name}: {idle}"


def test_plain_requests_reach_the_application_and_the_last_one_closes(generated, ours):
    plain = [
        (stream, [entry.kind for entry in entries])
        for stream, entries in zip(generated, ours, strict=True)
        if all(request.marks <= PLAIN | ORDINARY - {"1.0"} for request in stream.requests)
    ]
    assert len(plain) > COUNT / 10
    wrong = [(stream.data, kinds) for stream, kinds in plain if kinds != ["app"] * (len(kinds) - 1) + ["closed"]]
    assert not wrong
    short = [stream.data for stream, kinds in plain if len(kinds) != len(stream.requests) + 2]
    assert not short


def test_no_request_is_left_without_an_answer_or_a_close(generated, ours):
    """Every stream ends with a request that asks for a close, so whatever came before, nothing waits."""
    waiting = [stream.data for stream, entries in zip(generated, ours, strict=True) if entries[-1].kind == "waits"]
    assert not waiting


def test_only_the_last_request_of_a_stream_is_cut(generated):
    cut = [stream for stream in generated if stream.is_cut]
    assert cut
    assert all(request.marks.isdisjoint(CUTS) for stream in cut for request in stream.requests[:-1])


# The comparison itself


def one_request(*marks):
    return Stream([Request(b"GET", b"/", b"", frozenset(marks))])


def test_a_difference_without_a_row_is_found():
    found = compare(one_request("host-missing"), [Entry("200")], [Entry("app")], "gunicorn", TABLE)
    assert [one.row for one in found] == [None]


def test_a_row_explains_only_its_own_marks():
    outcomes = ([Entry("400")], [Entry("app")], "gunicorn", TABLE)
    assert [one.row for one in compare(one_request("host-missing"), *outcomes)] == ["HTTP/1.1 without Host"]
    assert [one.row for one in compare(one_request("host-lower-case"), *outcomes)] == [None]


def test_a_value_that_differs_otherwise_than_its_row_says_is_found():
    def cookies(theirs):
        here = Entry("app", {"HTTP_COOKIE": "a=b; c=d"})
        return compare(one_request("field-cookie-repeated"), [here], [theirs], "gunicorn", TABLE)

    assert [one.row for one in cookies(Entry("app", {"HTTP_COOKIE": "a=b,c=d"}))] == ["repeated Cookie"]
    assert [one.row for one in cookies(Entry("app", {"HTTP_COOKIE": "a=b"}))] == [None]
    assert [one.row for one in cookies(Entry("app"))] == [None]


def test_two_refusals_may_differ_only_where_there_are_two_faults():
    outcomes = ([Entry("400")], [Entry("501")], "gunicorn", TABLE)
    assert [one.row for one in compare(one_request("host-missing"), *outcomes)] == [None]
    assert [one.row for one in compare(one_request("host-missing", "head"), *outcomes)] == [None]
    assert [one.row for one in compare(one_request("host-missing", "coding-identity"), *outcomes)] == [TWO_FAULTS]


def test_nothing_is_compared_behind_a_request_that_only_one_of_them_took():
    here, there = [Entry("400"), Entry("closed")], [Entry("app"), Entry("app"), Entry("closed")]
    assert len(compare(one_request("host-missing"), here, there, "gunicorn", TABLE)) == 1


def test_every_mark_of_a_row_is_one_of_the_grammar():
    known = {mark for table in PLACES.values() for mark in table} | ORDINARY
    assert {mark for row in ROWS for mark in row.marks} <= known


def test_names_of_rows_are_unique():
    names = [row.name for row in ROWS] + [TWO_FAULTS]
    assert len(names) == len(set(names))
    assert MIXED in names


# The document


def test_the_document_shows_the_table():
    assert read_section() == section(), f"put this into {DOCUMENT}:\n{section()}"


def test_the_document_names_the_versions_that_are_compared():
    versions = [f"{name} {importlib.metadata.version(name)}" for name in NAMES if is_installed(name)]
    assert all(version in read_section() for version in versions)
