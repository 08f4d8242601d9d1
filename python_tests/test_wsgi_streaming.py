"""Large bodies in both directions: whole, and in bounded memory."""

import hashlib

import pytest
from apps.producing import PIECE
from support.waiting import soon, steady
from support.wire import message

#: A body far above what a server may hold.
SIZE = 200 * 1024 * 1024

#: KiB the process may grow by while such a body passes. Buffers, the allocator's arenas and the interpreter's own
#: pieces of 64 KiB take some MiB.
GROWTH = 48 * 1024


@pytest.fixture(scope="module")
def uploads(module_server):
    return module_server("apps.counting_bytes:app", "--interpreters", "1", "--threads", "2")


@pytest.fixture(scope="module")
def downloads(module_server):
    return module_server("apps.producing:app", "--interpreters", "1", "--threads", "2")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole_in_bounded_memory(uploads, chunked):
    piece = bytes(range(256)) * 4096
    count, digest = SIZE // len(piece), hashlib.sha256()
    before = uploads.status_kib("VmRSS")
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(count * len(piece)))
    with uploads.connect(timeout=60) as connection:
        connection.send(message("POST", "/upload", [framing]))
        for _ in range(count):
            digest.update(piece)
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            connection.send(b"0\r\n\r\n")
        assert connection.response().json() == {"size": SIZE, "digest": digest.hexdigest()}
    assert uploads.status_kib("VmHWM") - before < GROWTH


@pytest.mark.parametrize("path", ["download", "sized", "written"])
def test_a_large_download_arrives_whole_in_bounded_memory(downloads, path):
    count = SIZE // len(PIECE)
    before = downloads.status_kib("VmRSS")
    with downloads.connect(timeout=60) as connection:
        connection.ask("GET", f"/{path}?pieces={count}")
        answer, seen = connection.head(), 0
        if path == "sized":
            while seen < SIZE:
                part = connection.exactly(min(SIZE - seen, len(PIECE)))
                assert part == PIECE
                seen += len(part)
        else:
            assert answer["Transfer-Encoding"] == "chunked"
            digest = hashlib.sha256()
            while part := connection.chunk():
                digest.update(part)
                seen += len(part)
            assert digest.digest() == hashlib.sha256(PIECE * count).digest()
        assert seen == SIZE
    assert downloads.status_kib("VmHWM") - before < GROWTH


def unchunked(data):
    """The body in the chunks of `data`."""
    body, place = [], 0
    while True:
        end = data.index(b"\r\n", place)
        size = int(data[place:end], 16)
        if size == 0:
            assert data[end:] == b"\r\n\r\n"
            return b"".join(body)
        body.append(data[end + 2 : end + 2 + size])
        place = end + 4 + size


def test_a_million_tiny_parts_arrive_in_bounded_memory(downloads):
    before = downloads.status_kib("VmRSS")
    with downloads.connect(timeout=60) as connection:
        connection.ask("GET", "/tiny", [("Connection", "close")])
        assert connection.head()["Transfer-Encoding"] == "chunked"
        assert unchunked(connection.rest()) == b"x" * 1_000_000
    assert downloads.status_kib("VmHWM") - before < GROWTH


def test_one_part_of_100_mb_arrives_whole(downloads):
    assert downloads.get("/one_large").body == b"x" * 100_000_000


def test_an_application_waits_for_a_client_that_does_not_read(downloads):
    """Back-pressure: what the application may be ahead of the client is bounded."""
    before = downloads.get("/state").json()["bytes"]
    with downloads.connect() as connection:
        connection.ask("GET", f"/download?pieces={SIZE // len(PIECE)}")
        connection.head()
        produced = steady(lambda: downloads.get("/state").json()["bytes"]) - before
        assert 0 < produced < SIZE // 4
        closed = downloads.get("/state").json()["closed"]
    soon(lambda: downloads.get("/state").json()["closed"] == closed + 1, what="the iterable to be closed")


def test_a_client_that_leaves_in_mid_upload_is_an_error_and_not_the_end_of_the_body(uploads):
    with uploads.connect() as connection:
        connection.send(message("POST", "/upload", [("Content-Length", "50000000")]) + b"x" * 5_000_000)
        soon(lambda: uploads.get("/state").json().get("size", 0) > 0, what="the application to read")
    state = soon(lambda: (s := uploads.get("/state").json())["state"] != "reading" and s["state"])
    assert state.startswith("error: True"), state


def test_a_client_that_leaves_in_mid_chunk_is_an_error_and_not_the_end_of_the_body(uploads):
    with uploads.connect() as connection:
        head = message("POST", "/upload", [("Transfer-Encoding", "chunked")])
        connection.send(head + b"100000\r\n" + b"x" * 0x100000 + b"\r\n100000\r\nxxx")
        soon(lambda: uploads.get("/state").json().get("size", 0) > 0, what="the application to read")
    state = soon(lambda: (s := uploads.get("/state").json())["state"] != "reading" and s["state"])
    assert state.startswith("error: True"), state


def test_a_small_body_that_never_becomes_whole_is_never_taken_for_a_whole_one(uploads):
    uploads.request("POST", "/upload", body=b"whole")
    with uploads.connect() as connection:
        connection.send(message("POST", "/upload", [("Content-Length", "100")]) + b"x" * 50)
        port = connection.port
        soon(lambda: uploads.has_connection_from(port))
    soon(lambda: not uploads.has_connection_from(port), what="the server to let the connection go")
    state = soon(lambda: (s := uploads.get("/state").json())["state"] != "reading" and s)
    assert state["state"] != "end of body" or state["size"] == 5, state
