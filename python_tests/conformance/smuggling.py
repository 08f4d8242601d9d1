"""Request smuggling: a second request hidden where another reader might see one. RFC 9112 section 11.2.

Each is refused as a whole, or read in the one way that the RFC allows; the application never sees the hidden one.
"""

from .model import Answer, End, chunked, get, head, post, refusals, refused, served

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"0\r\n\r\n"


def both(*lines, body):
    return post(*lines, body=body)


CL_TE = refusals(
    "9112 §6.1",
    400,
    {
        "CL.TE with the hidden request behind the last chunk": both(
            f"Content-Length: {len(LAST + HIDDEN)}", "Transfer-Encoding: chunked", body=LAST + HIDDEN
        ),
        "CL.TE with a prefix behind the last chunk": both(
            "Content-Length: 6", "Transfer-Encoding: chunked", body=LAST + b"G"
        ),
        "TE.CL with the hidden request in a chunk": both(
            "Transfer-Encoding: chunked", "Content-Length: 4", body=b"%x\r\n%s\r\n" % (len(HIDDEN), HIDDEN) + LAST
        ),
        "TE.CL with a length of 0": both("Transfer-Encoding: chunked", "Content-Length: 0", body=LAST + HIDDEN),
        "TE.CL with a long length": both("Transfer-Encoding: chunked", "Content-Length: 10000", body=LAST + HIDDEN),
        "CL.TE of GET": get(f"Content-Length: {len(LAST + HIDDEN)}", "Transfer-Encoding: chunked") + LAST + HIDDEN,
        "CL.TE in lower case": both("content-length: 5", "transfer-encoding: chunked", body=LAST + HIDDEN),
        "CL.TE with keep-alive": both(
            "Connection: keep-alive", "Content-Length: 5", "Transfer-Encoding: chunked", body=LAST + HIDDEN
        ),
        "CL.TE where Connection names the length": both(
            "Connection: Content-Length", "Content-Length: 5", "Transfer-Encoding: chunked", body=LAST + HIDDEN
        ),
        "CL.TE where Connection names the coding": both(
            "Connection: Transfer-Encoding", "Content-Length: 5", "Transfer-Encoding: chunked", body=LAST + HIDDEN
        ),
    },
)

#: Spellings that some readers take for chunked and others do not.
SPELLINGS = {
    "a space before the colon": ["Transfer-Encoding : chunked"],
    "a tab before the colon": ["Transfer-Encoding\t: chunked"],
    "a vertical tab before the value": ["Transfer-Encoding:\x0bchunked"],
    "a form feed before the value": ["Transfer-Encoding:\x0cchunked"],
    "a NUL behind the value": ["Transfer-Encoding: chunked\0"],
    "a NUL in the name": ["Transfer-Encoding\0: chunked"],
    "a CR before the value": ["Transfer-Encoding: \rchunked"],
    "a CR before the name": ["A: b\r\rTransfer-Encoding: chunked"],
    "a LF before the name": ["A: b\nTransfer-Encoding: chunked"],
    "a fold before the value": ["Transfer-Encoding:", " chunked"],
    "a fold behind another coding": ["Transfer-Encoding: identity,", " chunked"],
    "a fold before the name": ["A: b", " Transfer-Encoding: chunked"],
    "quotation marks": ['Transfer-Encoding: "chunked"'],
    "a parameter": ["Transfer-Encoding: chunked; a=b"],
    "identity behind it": ["Transfer-Encoding: chunked, identity"],
    "identity on a second line": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    "nothing on a second line": ["Transfer-Encoding: chunked", "Transfer-Encoding:"],
    "x on a second line": ["Transfer-Encoding: chunked", "Transfer-Encoding: x"],
    "an x before it": ["Transfer-Encoding: xchunked"],
    "an x behind it": ["Transfer-Encoding: chunkedx"],
    "a comma before it": ["Transfer-Encoding: ,chunked"],
    "a comma behind it": ["Transfer-Encoding: chunked,"],
    "a byte 0xa0 before it": ["Transfer-Encoding: \xa0chunked"],
    "a byte 0xff behind it": ["Transfer-Encoding: chunked\xff"],
    "a long s": ["Tran\xc5\xbffer-Encoding: chunked"],
    "a space in the name": ["Transfer Encoding: chunked"],
    "a bracket in the name": ["[Transfer-Encoding]: chunked"],
}

TE_TE = refusals(
    "9112 §6.3",
    400,
    {f"TE.TE with {what}": both(*lines, body=LAST + HIDDEN) for what, lines in SPELLINGS.items()}
    | {
        f"CL.TE with {what}": both("Content-Length: 5", *lines, body=LAST + HIDDEN) for what, lines in SPELLINGS.items()
    },
)


def one(name, data, body, rule="9112 §6.3", **given):
    """Read in one way only: all that is hidden is the body."""
    return served(name, rule, data, method=given.pop("method", "POST"), body=body, **given)


ONE_WAY = [
    one("a request in a body of a length is the body", post(f"Content-Length: {len(HIDDEN)}", body=HIDDEN), HIDDEN),
    one("a request in GET's body is the body", get(f"Content-Length: {len(HIDDEN)}") + HIDDEN, HIDDEN, method="GET"),
    one(
        "a request in the body of an upgrade is the body",
        post("Connection: upgrade", "Upgrade: h2c", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
        HIDDEN,
    ),
    one("a request in a chunk is the body", chunked(b"%x\r\n%s\r\n" % (len(HIDDEN), HIDDEN) + LAST), HIDDEN),
    one("a request in a chunk extension is none", chunked(b'3;a="GET /smuggled HTTP/1.1"\r\nabc\r\n' + LAST), b"abc"),
    one("a request in a trailer is none", chunked(b"3\r\nabc\r\n0\r\nA: GET /smuggled HTTP/1.1\r\n\r\n"), b"abc"),
    one("a request in a header value is none", get("A: GET /smuggled HTTP/1.1"), b"", method="GET"),
    one("a length with an underscore is none", post("Content_Length: 5", "Content-Length: 3", body=b"abc"), b"abc"),
    one(
        "a coding with an underscore is none",
        post("Transfer_Encoding: chunked", "Content-Length: 3", body=b"abc"),
        b"abc",
    ),
    one("a coding with a dot is none", post("Transfer.Encoding: chunked", "Content-Length: 3", body=b"abc"), b"abc"),
    one("X-Transfer-Encoding is none", post("X-Transfer-Encoding: chunked", "Content-Length: 3", body=b"abc"), b"abc"),
    one("Content-Encoding is no coding", post("Content-Encoding: chunked", "Content-Length: 3", body=b"abc"), b"abc"),
    one("TE is no coding", post("TE: chunked", "Content-Length: 3", body=b"abc"), b"abc"),
    one(
        "a method override overrides nothing",
        post("X-HTTP-Method-Override: GET", "Content-Length: 3", body=b"abc"),
        b"abc",
    ),
    one(
        "the headers that a client calls hop-by-hop stay",
        post("Connection: close, Content-Length, A", "Content-Length: 3", "A: b", body=b"abc"),
        b"abc",
        end=End.CLOSED,
        environ={"HTTP_A": "b", "CONTENT_LENGTH": "3"},
    ),
    served(
        "HEAD with a hidden body is followed by the next request",
        "9112 §6",
        head("HEAD / HTTP/1.1", "Host: x", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
        method="HEAD",
    ),
]

HIDDEN_REQUESTS = refusals(
    "9112 §11.2",
    400,
    {
        "a request behind a length of words": post("Content-Length: none", body=HIDDEN),
        "a request behind a negative length": post("Content-Length: -1", body=HIDDEN),
        "a request behind two lengths, the shorter first": post(
            "Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN
        ),
        "a request behind two lengths, the longer first": post(
            f"Content-Length: {len(HIDDEN)}", "Content-Length: 0", body=HIDDEN
        ),
        "a request behind a list of lengths": post(f"Content-Length: 0, {len(HIDDEN)}", body=HIDDEN),
        "a request behind a length hidden by LF": post(f"A: b\nContent-Length: {len(HIDDEN)}", body=HIDDEN),
        "a request behind a length hidden by CR": post(f"A: b\rContent-Length: {len(HIDDEN)}", body=HIDDEN),
        "a request behind a folded length": post("Content-Length:", f" {len(HIDDEN)}", body=HIDDEN),
        "a request behind a chunk size with LF": chunked(b"0\n\r\n" + HIDDEN),
        "a request behind a chunk size with an underscore": chunked(b"0_\r\n\r\n" + HIDDEN),
        "a request behind a chunk size that wraps to 0": chunked(b"1" + b"0" * 16 + b"\r\n\r\n" + HIDDEN),
        "a request behind a chunk extension with LF": chunked(b"3;\nxx\r\nabc\r\n0\r\n\r\n" + HIDDEN),
        "a request behind a chunk extension with CR": chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n" + HIDDEN),
        "a request behind a chunk's end of two other bytes": chunked(b"3\r\nabcXX" + LAST + HIDDEN),
        "a request behind a trailer with LF": chunked(b"0\r\nA: b\n\r\n" + HIDDEN),
        "a request behind a trailer that is a length": chunked(b"0\r\nContent-Length: 36\r\n\r\n" + HIDDEN),
        "a request behind a trailer that is a coding": chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN),
        "a request line in a header by LF": get("A: b\n\nGET /smuggled HTTP/1.1\nHost: x"),
        "a request behind a space before the first header": head("GET / HTTP/1.1", " Content-Length: 36", "Host: x")
        + HIDDEN,
        "a target with a request behind a bare LF": b"GET /\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    },
)

#: The first request is good, and what is behind it is none.
BEHIND = [
    refused(
        name,
        "9112 §9.3.2",
        400,
        data,
        before=(
            Answer(method=data.partition(b" ")[0].decode(), reached=data.partition(b" HTTP")[0].decode(), body=body),
        ),
    )
    for name, data, body in (
        ("CL.0: a body where no length is", post(body=b"x=" + HIDDEN), b""),
        ("CL.0 of GET", get() + b"x=" + HIDDEN, b""),
        ("0.CL: a length of 0 before a body", post("Content-Length: 0", body=b"x=" + HIDDEN), b""),
        ("a length that is too short by one", post(f"Content-Length: {len(HIDDEN) - 1}", body=HIDDEN), HIDDEN[:-1]),
        ("bytes behind the last chunk", chunked(b"3\r\nabc\r\n" + LAST + b"x=" + HIDDEN), b"abc"),
        ("a second last chunk", chunked(b"3\r\nabc\r\n" + LAST + LAST), b"abc"),
    )
]

CASES = [*CL_TE, *TE_TE, *ONE_WAY, *HIDDEN_REQUESTS, *BEHIND]
