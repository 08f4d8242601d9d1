"""What is refused, RFC 9110 and 9112: each bad message ends in the right answer or in a close, never in the app."""

import pytest
from support.waiting import soon
from support.wire import Closed, Connection, Truncated, message


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.waiting:app")


def outcome(site, data):
    """The status of the only answer to `data`, or "closed"; the connection must end afterwards."""
    with site.connect() as connection:
        connection.send(data)
        try:
            answer = connection.response()
        except (Closed, ConnectionResetError):
            return "closed"
        rest = connection.rest()
        assert rest == b"", f"answered {answer.status}, and then {rest[:200]!r}"
        return answer.status


HEAD = b"POST /mark/%s HTTP/1.1\r\nHost: test\r\n"

BAD_REQUEST = {
    "two-lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a-list-of-lengths": b"Content-Length: 3, 4\r\n\r\nabcd",
    "a-length-and-chunked": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked-and-a-length": b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a-length-of-words": b"Content-Length: three\r\n\r\nabc",
    "a-negative-length": b"Content-Length: -3\r\n\r\nabc",
    "a-signed-length": b"Content-Length: +3\r\n\r\nabc",
    "a-hexadecimal-length": b"Content-Length: 0x3\r\n\r\nabc",
    "an-empty-length": b"Content-Length:\r\n\r\nabc",
    "a-huge-length": b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "two-hosts": b"Host: other\r\n\r\n",
    "a-space-before-the-colon": b"X-Space : x\r\n\r\n",
    "a-folded-line": b"X-Folded: a\r\n b\r\n\r\n",
    "a-line-without-a-colon": b"nonsense\r\n\r\n",
    "an-empty-name": b": x\r\n\r\n",
    "a-nul-in-a-value": b"X-Nul: a\0b\r\n\r\n",
    "a-bare-cr-in-a-value": b"X-Cr: a\rb\r\n\r\n",
    "a-name-that-is-no-token": b"X[]: x\r\n\r\n",
    "a-coding-like-chunked": b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "an-empty-coding": b"Transfer-Encoding:\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "codings-on-two-lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a-tab-before-the-colon": b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a-line-ended-by-lf": b"X-Lf: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a-length-in-parts": b"Content-Length: 1 1\r\n\r\nabc",
    "chunked-twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked-not-last": b"Transfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_REQUEST)
def test_an_ambiguous_or_malformed_header_is_answered_400(site, name):
    codings = ("chunked-twice", "chunked-not-last", "a-coding-like-chunked", "an-empty-coding", "codings-on-two-lines")
    also = {"a-huge-length": 413} | dict.fromkeys(codings, 501)
    assert outcome(site, HEAD % name.encode() + BAD_REQUEST[name]) in (400, also.get(name))
    assert f"/mark/{name}" not in site.get("/list_seen").json()


BAD_LINES = {
    "no-target": b"GET\r\nHost: test\r\n\r\n",
    "no-version": b"GET /\r\nHost: test\r\n\r\n",
    "two-spaces": b"GET  / HTTP/1.1\r\nHost: test\r\n\r\n",
    "a-space-in-the-target": b"GET /a b HTTP/1.1\r\nHost: test\r\n\r\n",
    "a-bad-method": b"GE(T / HTTP/1.1\r\nHost: test\r\n\r\n",
    "no-slash": b"GET path HTTP/1.1\r\nHost: test\r\n\r\n",
    "a-control-byte-in-the-target": b"GET /a\x01b HTTP/1.1\r\nHost: test\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "a-broken-host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50 + b"\r\n\r\n",
    "asterisk-of-get": b"GET * HTTP/1.1\r\nHost: test\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_malformed_request_line_or_host_is_answered_400(site, name):
    assert outcome(site, BAD_LINES[name]) == 400


@pytest.mark.parametrize(
    ("version", "statuses"), [(b"HTTP/2.0", (505, 400)), (b"HTTP/3.0", (505, 400)), (b"HTTP/1.2", (505, 400, 200))]
)
def test_a_version_that_is_not_spoken_is_refused(site, version, statuses):
    data = b"GET /list_seen " + version + b"\r\nHost: test\r\nConnection: close\r\n\r\n"
    assert outcome(site, data) in statuses


def test_a_transfer_coding_that_is_not_known_is_answered_501(site):
    data = HEAD % b"gzip" + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    assert outcome(site, data) in (501, 400)
    assert "/mark/gzip" not in site.get("/list_seen").json()


def test_chunks_from_a_1_0_client_are_refused(site):
    data = b"POST /mark/old HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert outcome(site, data) in (400, 411, 501)
    assert "/mark/old" not in site.get("/list_seen").json()


def test_connect_is_refused(site):
    data = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"
    assert outcome(site, data) in (400, 405, 501)


def test_an_upgrade_is_not_taken_up(site):
    with site.connect() as connection:
        answer = connection.get("/list_seen", [("Connection", "upgrade"), ("Upgrade", "h2c, websocket")])
        assert (answer.status, answer["Upgrade"]) == (200, None)


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_a_bare_lf_never_makes_two_views_of_a_message(site, line):
    """A line ended by LF alone is refused, or read as a line; what it must not do is hide a header."""
    with site.connect() as connection:
        connection.send(b"GET /mark/lf HTTP/1.1\r\nHost: test\r\nX-One: 1" + line + b"Content-Length: 3\r\n\r\nabc")
        connection.send(message("GET", "/list_seen", [("Connection", "close")]))
        try:
            statuses = [connection.response().status]
            if statuses == [200]:
                statuses.append(connection.response().status)
        except Closed:
            statuses = ["closed"]
    assert statuses in (([200, 200],) if line == b"\r\n" else ([400], ["closed"]))


BAD_CHUNKS = {
    "not-hexadecimal": b"xyz\r\nabc\r\n0\r\n\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "empty-size": b"\r\nabc\r\n0\r\n\r\n",
    "too-large": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "no-end-of-line": b"3\r\nabcXX0\r\n\r\n",
    "longer-than-said": b"3\r\nabcd\r\n0\r\n\r\n",
    "prefixed": b"0x3\r\nabc\r\n0\r\n\r\n",
    "signed": b"+3\r\nabc\r\n0\r\n\r\n",
    "underscored": b"0_3\r\nabc\r\n0\r\n\r\n",
    "ended-by-lf": b"3\nabc\n0\n\n",
    "lf-in-an-extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "an-extension-without-end": b"3;" + b"x" * 300_000 + b"\r\nabc\r\n0\r\n\r\n",
    "trailers-without-end": b"3\r\nabc\r\n0\r\n" + b"X-Trailer: x\r\n" * 20_000 + b"\r\n",
}


@pytest.fixture(scope="module")
def uploads(module_server):
    return module_server("apps.counting_bytes:app")


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_malformed_chunk_ends_the_connection_and_is_no_end_of_the_body(uploads, name):
    site = uploads
    site.request("POST", "/upload", body=b"whole")
    with site.connect() as connection:
        connection.send(message("POST", "/upload", [("Transfer-Encoding", "chunked")]) + BAD_CHUNKS[name])
        try:
            assert connection.response().status in (400, 413, 500)
        except (Closed, Truncated):
            pass
        connection.rest()
    state = site.get("/state").json()
    assert state["state"] != "end of body" or state["size"] == 5, state


# Limits


def test_too_many_headers_are_answered_431(server):
    site = server("apps.hello:app", "--max-headers", "10")
    assert site.get("/", [(f"X-{n}", "x") for n in range(9)]).status == 200
    assert outcome(site, message("GET", "/", [(f"X-{n}", "x") for n in range(11)])) == 431


def test_a_hundred_headers_are_allowed_unless_said(server):
    site = server("apps.hello:app")
    assert site.get("/", [(f"X-{n}", "x") for n in range(99)]).status == 200
    assert outcome(site, message("GET", "/", [(f"X-{n}", "x") for n in range(150)])) == 431


def test_a_head_that_is_too_large_is_answered_431(server):
    site = server("apps.hello:app", "--max-header-size", "8192")
    assert site.get("/", [("X-Large", "x" * 7000)]).status == 200
    assert outcome(site, message("GET", "/", [("X-Large", "x" * 9000)])) == 431
    assert outcome(site, message("GET", "/", [(f"X-{n}", "x" * 500) for n in range(20)])) == 431


def test_a_head_of_32_kib_is_allowed_unless_said(server):
    site = server("apps.hello:app")
    assert site.get("/", [("X-Large", "x" * 30_000)]).status == 200
    assert outcome(site, message("GET", "/", [("X-Large", "x" * 40_000)])) == 431


def test_a_target_that_is_too_long_is_answered_414_or_431(server):
    site = server("apps.hello:app", "--max-header-size", "8192")
    assert outcome(site, message("GET", "/" + "x" * 9000)) in (414, 431)


def test_a_head_without_end_is_refused_at_the_limit(server):
    """The client goes on sending: it is cut off, and not read for ever."""
    site = server("apps.hello:app")
    line = b"X-Endless: " + b"x" * 4000 + b"\r\n"
    with site.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n" + line * 16)
        assert connection.response().status == 431

        def cut_off():
            try:
                connection.send(line * 16)
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        soon(cut_off, what="the connection to be closed while the client sends")
    assert site.get("/").status == 200


def test_a_body_over_the_limit_is_answered_413_and_never_reaches_the_application(server):
    site = server("apps.counting_bytes:app", "--max-body", "1000")
    assert site.request("POST", "/upload", body=b"x" * 1000).json()["size"] == 1000
    with site.connect() as connection:
        connection.send(message("POST", "/upload", [("Content-Length", "1001")]))
        assert connection.response().status == 413
    assert site.get("/state").json() == {"state": "end of body", "size": 1000}


def test_a_body_over_the_limit_is_not_asked_for(server):
    site = server("apps.counting_bytes:app", "--max-body", "1000")
    with site.connect() as connection:
        connection.send(message("POST", "/upload", [("Content-Length", "1001"), ("Expect", "100-continue")]))
        answer = connection.response()
        assert (answer.status, answer.interim) == (413, [])


@pytest.mark.parametrize("size", [2000, 2_000_000])
def test_a_chunked_body_over_the_limit_is_no_end_of_the_body(server, size):
    site = server("apps.counting_bytes:app", "--max-body", "1000")
    with site.connect() as connection:
        try:
            assert connection.request("POST", "/upload", chunks=[b"x" * 500] * (size // 500)).status in (413, 500)
        except (Closed, Truncated, ConnectionResetError, BrokenPipeError):
            pass
    assert site.get("/state").json().get("state") != "end of body"


def test_a_limit_of_0_means_no_limit_on_the_body(server):
    site = server("apps.counting_bytes:app", "--max-body", "0")
    assert site.request("POST", "/upload", body=b"x" * 3_000_000).json()["size"] == 3_000_000


def test_a_refusal_does_not_cost_the_server_anything(site):
    for data in list(BAD_LINES.values()) * 5:
        with Connection(site.address) as connection:
            connection.send(data)
    assert site.get("/list_seen").status == 200
