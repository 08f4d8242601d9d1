"""No request leaves an object or a reference behind, in any interpreter, whatever way it was answered."""

import pytest
from support.isolation import SEVERAL, turns
from support.wire import Closed, Truncated, message

PLAIN = [("X-One", "1"), ("X-Two", "two"), ("Cookie", "a=b"), ("Accept", "*/*")]
KINDS = {
    "plain": message("GET", "/plain?q=1", PLAIN),
    "body": message("POST", "/body", PLAIN, b"abc" * 100),
    "chunked": message("POST", "/body", PLAIN, chunks=[b"abc", b"def"]),
    "body_unread": message("POST", "/body_unread", PLAIN, b"abc"),
    "lines": message("POST", "/lines", PLAIN, b"a\nb\nc"),
    "large": message("GET", "/large", PLAIN),
    "large_parts": message("GET", "/large_parts", PLAIN),
    "generated": message("GET", "/generated", PLAIN),
    "written": message("GET", "/written", PLAIN),
    "wrapped": message("GET", "/wrapped", PLAIN),
    "wrapped_file": message("GET", "/wrapped_file", PLAIN),
    "exc_info": message("GET", "/exc_info", PLAIN),
    "refused": message("GET", "/refused", PLAIN),
    "head": message("HEAD", "/generated", PLAIN),
}

#: Requests of a burst: pipelined, so that ten thousand take seconds.
BURST = 50

#: Of one kind, on top of a warm-up; together more than 10,000.
REQUESTS = 2_000

#: Blocks are counted for the whole process, whose caches fill once by some 400 an interpreter. A leak would be at
#: least one block for each request.
SHARE_OF_BLOCKS = 0.25


def ask(site, data, count, method="GET"):
    with site.connect() as connection:
        for _ in range(count // BURST):
            connection.send(data * BURST)
            for _ in range(BURST):
                connection.response(method)


def counts(site, interpreters):
    """What each interpreter says it holds."""
    seen = {}
    with site.connect() as connection:
        for _ in range(1000):
            answer = connection.get("/count").json()
            seen[answer.pop("interpreter")] = answer
            if len(seen) == interpreters:
                return seen
    raise AssertionError(f"1000 requests have reached interpreters {sorted(seen)} only")


def settled(site, data, count, interpreters, method="GET"):
    """Warm up with `data`, ask `count` more; returns the counts before and after.

    The counting itself is warmed up too, in each interpreter.
    """
    ask(site, data, REQUESTS, method)
    for _ in range(2):
        counts(site, interpreters)
    before = counts(site, interpreters)
    ask(site, data, count, method)
    for _ in range(2):
        after = counts(site, interpreters)
    return before, after


def assert_nil(before, after, requests):
    for number, seen in before.items():
        now = after[number]
        assert now["objects"] - seen["objects"] <= 5, f"interpreter {number}: objects after {requests} requests"
        assert now["blocks"] - seen["blocks"] <= SHARE_OF_BLOCKS * requests, (
            f"interpreter {number}: blocks after {requests} requests"
        )
        for name, references in seen["references"].items():
            grown = now["references"][name] - references
            assert grown <= 5, f"interpreter {number}: {grown} references to {name} after {requests} requests"


@pytest.fixture(scope="module", params=turns())
def site(request, module_server):
    site = module_server("apps.references:app", "--isolation", request.param)
    ask(site, KINDS["plain"], BURST)
    return site


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_requests_leave_nothing_behind(site, kind):
    before, after = settled(site, KINDS[kind], REQUESTS, 1, "HEAD" if kind == "head" else "GET")
    assert_nil(before, after, REQUESTS)


def test_requests_that_fail_leave_nothing_behind(site):
    before, after = settled(site, message("GET", "/raises", PLAIN), REQUESTS, 1)
    assert_nil(before, after, REQUESTS)


def test_clients_that_leave_leave_nothing_behind(site):
    def leave():
        for kind in ("generated", "wrapped_file", "body", "large", "large_parts"):
            with site.connect() as connection:
                connection.send(KINDS[kind] * 5)
                connection.reset()
            with site.connect() as connection:
                connection.send(KINDS[kind][:-1])

    for _ in range(10):
        leave()
    for _ in range(3):
        before = counts(site, 1)
    for _ in range(100):
        leave()
    for _ in range(3):
        after = counts(site, 1)
    assert_nil(before, after, 5500)


@SEVERAL
def test_ten_thousand_requests_leave_nothing_behind_in_each_of_two_interpreters(server):
    site = server("apps.references:app", "--interpreters", "2", "--threads", "2")
    for kind in ("generated", "plain"):
        ask(site, KINDS[kind], 1000)
    before, after = settled(site, KINDS["plain"], 10_000, 2)
    assert_nil(before, after, 10_000)


@pytest.mark.isolation("own-gil", reason="it is the memory of one process that is measured")
def test_the_memory_of_the_process_stays_flat(server):
    """20,000 requests of all kinds after a warm-up: less than 64 bytes a request, which is noise of the allocator."""
    site = server("apps.references:app", "--interpreters", "2")

    def all_kinds(rounds):
        for _ in range(rounds):
            for kind, data in KINDS.items():
                try:
                    ask(site, data, BURST, "HEAD" if kind == "head" else "GET")
                except (Closed, Truncated) as error:
                    raise AssertionError(f"{kind}: {error}") from error

    all_kinds(10)
    before = site.status_kib("VmRSS")
    all_kinds(20_000 // (BURST * len(KINDS)))
    assert (site.status_kib("VmRSS") - before) * 1024 < 64 * 20_000
