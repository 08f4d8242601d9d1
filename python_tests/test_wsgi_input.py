"""wsgi.input, PEP 3333 "Input and Error Streams": a file of exactly the request's body, whatever its framing."""

import io
import random
from urllib.parse import urlencode

import pytest
from apps.reading import step, text
from support.wire import message

BODY = b"first line\nsecond line\n\nfourth, after an empty one\nlast without an end"


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.reading:app")


def target(steps):
    return "/?" + urlencode([("do", what) for what in steps])


def expected(body, steps):
    """What a file of that body gives, by io.BytesIO; PEP 3333 lets a server ignore the hint of readlines."""
    unhinted = ["readlines" if what.startswith("readlines:") else what for what in steps]
    return [
        [text(step(stream, what)) for what in given] for given in (steps, unhinted) for stream in [io.BytesIO(body)]
    ]


def framings(body, rng=None):
    """The same body under Content-Length, in one chunk, and in chunks of 1 to 7 bytes."""
    rng = rng or random.Random(1)
    yield {"body": body}
    yield {"chunks": [body]}
    pieces, start = [], 0
    while start < len(body):
        size = rng.randint(1, 7)
        pieces.append(body[start : start + size])
        start += size
    yield {"chunks": pieces}


STEPS = [
    ["read"],
    ["read:-1"],
    ["read:None"],
    ["read:0", "read:5", "read:0", "read"],
    ["read:5", "read:1000", "read:5", "read"],
    ["read:10000", "read:1", "read"],
    ["read", "read", "read:10", "readline", "readlines", "iterate"],
    ["readline", "readline", "readline", "readline", "readline", "readline"],
    ["readline:4", "readline:100", "readline:0", "readline:-1", "readline:1", "readline:5"],
    ["readline:None", "read:3", "readline"],
    ["readlines", "readlines"],
    ["readlines:1", "readlines:12", "readlines:0"],
    ["readlines:-1", "read"],
    ["readlines:None"],
    ["iterate", "iterate"],
    ["next", "read:3", "next", "readline", "iterate", "next"],
    ["read:11", "readlines:1", "iterate"],
]


@pytest.mark.parametrize("steps", STEPS, ids="-".join)
def test_the_input_reads_as_a_file_of_the_body(site, steps):
    for framing in framings(BODY):
        answer = site.request("POST", target(steps), **framing)
        assert answer.json() in expected(BODY, steps), framing


@pytest.mark.parametrize("steps", STEPS, ids="-".join)
def test_a_request_without_a_body_is_at_its_end_at_once(site, steps):
    assert site.get(target(steps)).json() in expected(b"", steps)


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_reads_gives_what_a_file_gives(site, seed):
    rng = random.Random(seed)
    body = bytes(rng.choice(b"abc\n\r\0\xff") for _ in range(rng.choice([1, 100, 3000])))
    names = ["read", "readline", "readlines"]
    steps = [f"{rng.choice(names)}:{rng.choice([0, 1, 2, 7, 50, 1000])}" for _ in range(20)]
    steps += rng.sample(["next", "iterate", "read", "readlines", "readline"], 3)
    for framing in framings(body, rng):
        assert site.request("POST", target(steps), **framing).json() in expected(body, steps)


def test_a_body_that_arrives_byte_by_byte_reads_the_same(site):
    steps = ["readline", "read:7", "readlines"]
    for framing in framings(BODY):
        with site.connect() as connection:
            for byte in message("POST", target(steps), **framing):
                connection.send(bytes([byte]))
            assert connection.response().json() in expected(BODY, steps)


def test_a_large_body_of_lines_is_read_line_by_line(site):
    """Larger than any buffer that a body may be collected in beforehand."""
    body = b"".join(b"%d\n" % n for n in range(200_000))
    for framing in ({"body": body}, {"chunks": [body[n : n + 10_000] for n in range(0, len(body), 10_000)]}):
        assert site.request("POST", target(["iterate"]), **framing).json() in expected(body, ["iterate"])


def test_a_line_longer_than_any_buffer_is_one_line(site):
    body = b"x" * 3_000_000 + b"\nend"
    assert site.request("POST", target(["readline", "readline"]), body=body).json() in expected(body, ["readline"] * 2)


def test_a_sized_read_of_a_large_body_is_full_unless_at_the_end(site):
    """A short read in mid-body would end a `while piece:` loop's assumptions; files give what was asked."""
    body = bytes(range(256)) * 4000
    steps = ["read:700000", "read:700000", "read:1"]
    assert [len(part) for part in site.request("POST", target(steps), body=body).json()] == [700_000, 324_000, 0]


def test_an_application_that_does_not_read_leaves_the_connection_usable(site):
    with site.connect() as connection:
        assert connection.request("POST", "/", body=b"unread " * 1000).json() == []
        assert connection.request("POST", target(["read:3"]), body=b"half read " * 1000).json() == ["hal"]
        assert connection.request("POST", target(["read"]), chunks=[b"fresh"]).json() == ["fresh"]


def test_what_follows_the_body_is_the_next_request_and_not_the_body(site):
    data = message("POST", target(["read", "read:10"]), body=b"one") + message(
        "POST", target(["read"]), chunks=[b"two"]
    )
    with site.connect() as connection:
        connection.send(data)
        assert connection.response().json() == ["one", ""]
        assert connection.response().json() == ["two"]


def test_trailers_of_a_chunked_body_are_not_part_of_it(site):
    with site.connect() as connection:
        connection.send(
            b"POST /?do=read&do=read HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;ext=1\r\nabc\r\n0\r\nX-Trailer: late\r\n\r\n"
        )
        assert connection.response().json() == ["abc", ""]
        assert connection.get("/").json() == []


def test_a_body_of_a_get_is_readable(site):
    assert site.request("GET", target(["read"]), body=b"in a GET").json() == ["in a GET"]
