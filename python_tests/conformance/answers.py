"""What answers look like: framing, statuses without content, HEAD, Date.

RFC 9112 section 6, RFC 9110 sections 6.4, 6.6 and 8.6.
"""

from .model import STREAM, End, get, head, post, refused, served


def status(code, method="GET", version="1.1", **given):
    target = f"/reply/status?is={code}"
    headers = given.pop("headers", {})
    host = ("Host: x",) if version == "1.1" else ()
    return served(
        f"{method} answered {code} in HTTP/{version} {'has' if given.get('text') else 'has not'} content",
        "9110 §6.4.1",
        head(f"{method} {target} HTTP/{version}", *host),
        method=method,
        target=target,
        end=End.ALIVE if version == "1.1" else End.CLOSED,
        status=code,
        headers=headers,
        **given,
    )


NONE = {"Content-Length": None, "Transfer-Encoding": None}
FOUR = {"Content-Length": "4", "Transfer-Encoding": None}

STATUSES = [
    *(
        status(code, version=version, text=b"body", headers=FOUR)
        for code in (200, 201, 404, 500, 299, 599)
        for version in ("1.1", "1.0")
    ),
    *(status(code, version=version, text=b"", headers=NONE) for code in (204, 304) for version in ("1.1", "1.0")),
    *(
        status(code, method="HEAD", version=version, text=b"")
        for code in (200, 404, 204, 304)
        for version in ("1.1", "1.0")
    ),
    status(205, text=b"", headers={"Content-Length": "0"}),
    status(200, method="POST", text=b"body", headers=FOUR),
    status(204, method="POST", text=b"", headers=NONE),
    status(204, method="DELETE", text=b"", headers=NONE),
]


def reply(name, path, rule, method="GET", lines=(), version="1.1", **given):
    target = f"/reply/{path}"
    host = ("Host: x",) if version == "1.1" else ()
    return served(
        name, rule, head(f"{method} {target} HTTP/{version}", *host, *lines), method=method, target=target, **given
    )


FRAMING = [
    reply(
        "an answer of unknown length is chunked in HTTP/1.1",
        "streamed",
        "9112 §6.1",
        text=STREAM,
        headers={"Transfer-Encoding": "chunked", "Content-Length": None},
    ),
    reply(
        "an answer of known length has it",
        "sized?is=10",
        "9112 §6.2",
        text=b"x" * 10,
        headers={"Content-Length": "10", "Transfer-Encoding": None},
    ),
    reply("an empty answer has the length 0", "sized?is=0", "9112 §6.2", text=b"", headers={"Content-Length": "0"}),
    reply("an answer of 1,000,000 bytes is whole", "sized?is=1000000", "9112 §6.2", text=b"x" * 1_000_000),
    reply(
        "HEAD has the length of GET",
        "sized?is=10",
        "9110 §8.6",
        method="HEAD",
        text=b"",
        headers={"Content-Length": "10"},
    ),
    reply("HEAD of a streamed answer has no body", "streamed", "9110 §9.3.2", method="HEAD", text=b""),
    reply(
        "HEAD of a large answer has no body",
        "sized?is=1000000",
        "9110 §9.3.2",
        method="HEAD",
        text=b"",
        headers={"Content-Length": "1000000"},
    ),
    reply(
        "a failing application is answered 500",
        "failing",
        "9110 §15.6.1",
        status=500,
        headers={"Content-Type": "text/plain; charset=utf-8"},
    ),
    reply(
        "a failing application's answer to HEAD has no body",
        "failing",
        "9110 §9.3.2",
        method="HEAD",
        status=500,
        text=b"",
    ),
    reply(
        "an application may give its own Date and Server",
        "named",
        "9110 §6.6.1",
        headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Server": "mine"},
    ),
    reply(
        "TE of a client changes no framing",
        "streamed",
        "9110 §10.1.4",
        lines=["TE: gzip, trailers", "Connection: TE"],
        text=STREAM,
        headers={"Transfer-Encoding": "chunked"},
    ),
    reply(
        "TE of nothing changes no framing",
        "streamed",
        "9110 §10.1.4",
        lines=["TE:", "Connection: TE"],
        text=STREAM,
        headers={"Transfer-Encoding": "chunked"},
    ),
    served("an answer is in HTTP/1.1", "9110 §6.2", get(), version="HTTP/1.1", headers={"Server": "chaussette"}),
    served(
        "Accept-Encoding encodes nothing by itself",
        "9110 §12.5.3",
        get("Accept-Encoding: gzip"),
        headers={"Content-Encoding": None},
    ),
    served("Range is the application's", "9110 §14.2", get("Range: bytes=0-1"), environ={"HTTP_RANGE": "bytes=0-1"}),
    served(
        "If-Modified-Since is the application's",
        "9110 §13",
        get("If-None-Match: *", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"),
        environ={"HTTP_IF_NONE_MATCH": "*"},
    ),
]

REFUSALS = [
    refused("the refusal of HEAD has no body", "9110 §9.3.2", 400, head("HEAD / HTTP/1.1"), method="HEAD", text=b""),
    refused(
        "the refusal of HEAD * has no body",
        "9110 §9.3.2",
        400,
        head("HEAD * HTTP/1.1", "Host: x"),
        method="HEAD",
        text=b"",
    ),
    refused(
        "the refusal of HEAD's expectation has no body",
        "9110 §9.3.2",
        417,
        head("HEAD / HTTP/1.1", "Host: x", "Expect: x"),
        method="HEAD",
        text=b"",
    ),
    refused(
        "the refusal of HEAD's body has no body",
        "9110 §9.3.2",
        413,
        head("HEAD / HTTP/1.1", "Host: x", "Content-Length: 2000001"),
        method="HEAD",
        text=b"",
    ),
    refused("the refusal of a version is in HTTP/1.1", "9110 §15.6.6", 505, head("GET / HTTP/3.0"), version="HTTP/1.1"),
    refused("a refusal of HTTP/1.0 is one", "9112 §3.2", 400, head("GET / HTTP/1.0", "Host: a b")),
    refused(
        "a body of chunks beyond the limit",
        "9110 §15.5.14",
        413,
        post("Transfer-Encoding: chunked", body=b"186a0\r\n" + b"x" * 100_000 + b"\r\n"),
        follow=b"1e8480\r\n" + b"x" * 2_000_000,
        reached="POST /",
    ),
]

CASES = [*STATUSES, *FRAMING, *REFUSALS]
