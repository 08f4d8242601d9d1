"""Transfer-Encoding: RFC 9112 sections 6.1, 6.3 and 7."""

from .model import End, get, head, post, refusals, refused, served

BODY = b"3\r\nabc\r\n0\r\n\r\n"


def coded(*values, body=BODY):
    return post(*(f"Transfer-Encoding: {value}" for value in values), body=body)


NOT_CHUNKED = refusals(
    "9112 §6.3",
    400,
    {"an empty coding": coded(""), "a coding of white space": coded(" \t ")}
    | {
        f"the coding {value}": coded(value)
        for value in (
            *("identity", "gzip", "deflate", "compress", "x-gzip", "br", "zstd", "none", "trailers", "unknown"),
            *(
                "xchunked",
                "chunkedx",
                "x-chunked",
                "chunked-x",
                "chunke",
                "hunked",
                "chunkedchunked",
                "chunk",
                "chunks",
            ),
            *(
                "chunked, identity",
                "chunked, gzip",
                "gzip, chunked, gzip",
                "chunked, chunked, gzip",
                "chunked;q=1, gzip",
            ),
        )
    },
)

MALFORMED = refusals(
    "9112 §7",
    400,
    {
        f"the coding {value}": coded(value)
        for value in (
            *(
                '"chunked"',
                "'chunked'",
                "(chunked)",
                "<chunked>",
                "[chunked]",
                "chunked.",
                "chunked/1",
                "chunked\\",
                "=chunked",
            ),
            *("chunked;", "chunked;q=1", "chunked; q=0.5", "chunked;a=b", "chunked ; a", "chunked=1", "chunked:"),
            *("chu nked", "chunked chunked", "chunked gzip", "chunked\tgzip", "gzip chunked", "chunked;chunked"),
            *(
                "chunked,",
                ",chunked",
                ", chunked",
                "chunked, ",
                ",",
                ",,",
                "chunked,,",
                "gzip,,chunked",
                "gzip, , chunked",
            ),
            *(
                "\xa0chunked",
                "chunked\xa0",
                "chunked\xe9",
                "ch\xfcnked",
                "\xef\xbc\xa3hunked",
                "%63hunked",
                "chunked%0d%0a",
            ),
        )
    }
    | {
        "a vertical tab before chunked": coded("\x0bchunked"),
        "a form feed behind chunked": coded("chunked\x0c"),
        "a NUL behind chunked": coded("chunked\0"),
        "a NUL within chunked": coded("chun\0ked"),
        "a DEL behind chunked": coded("chunked\x7f"),
        "a bare CR before chunked": coded("\rchunked"),
        "a bare CR behind chunked": coded("chunked\r"),
        "a bare LF before chunked": coded("\nchunked"),
        "chunked on a continuation line": post("Transfer-Encoding:", " chunked", body=BODY),
        "chunked continued by a space": post("Transfer-Encoding: chunked", " ", body=BODY),
        "chunked continued by another coding": post("Transfer-Encoding: chunked", " , identity", body=BODY),
        "a header before that hides it by LF": post("A: b\nTransfer-Encoding: chunked", body=BODY),
        "a header before that hides it by CR": post("A: b\rTransfer-Encoding: chunked", body=BODY),
        "a space before its colon": post("Transfer-Encoding : chunked", body=BODY),
        "a space before its name": post("A: b", " Transfer-Encoding: chunked", body=BODY),
    },
)

TWICE = refusals(
    "9112 §6.1",
    400,
    {
        "chunked twice": coded("chunked, chunked"),
        "chunked on two lines": coded("chunked", "chunked"),
        "chunked and then identity on two lines": coded("chunked", "identity"),
        "chunked and then gzip on two lines": coded("chunked", "gzip"),
        "chunked and then nothing on two lines": coded("chunked", ""),
        "nothing and then chunked on two lines": coded("", "chunked"),
        "chunked around gzip": coded("chunked, gzip, chunked"),
        "chunked around gzip on three lines": coded("chunked", "gzip", "chunked"),
        "gzip and chunked twice": coded("gzip, chunked, chunked"),
        "chunked in two cases": coded("chunked", "CHUNKED"),
    },
)

UNKNOWN = refusals(
    "9112 §6.1",
    501,
    {
        "gzip and then chunked": coded("gzip, chunked"),
        "gzip and then chunked on two lines": coded("gzip", "chunked"),
        "identity and then chunked": coded("identity, chunked"),
        "xchunked and then chunked": coded("xchunked, chunked"),
        "a coding with a parameter and then chunked": coded("foo;a=b, chunked"),
        "two unknown codings and then chunked": coded("foo, bar, chunked"),
        "codings with white space and then chunked": coded("gzip \t,\t chunked"),
    },
)

WITH_LENGTH = refusals(
    "9112 §6.3",
    400,
    {
        "a length and chunked": post("Content-Length: 13", "Transfer-Encoding: chunked", body=BODY),
        "chunked and a length": post("Transfer-Encoding: chunked", "Content-Length: 13", body=BODY),
        "a length of 0 and chunked": post("Content-Length: 0", "Transfer-Encoding: chunked", body=BODY),
        "a length of 3 and chunked": post("Content-Length: 3", "Transfer-Encoding: chunked", body=BODY),
        "an empty length and chunked": post("Content-Length:", "Transfer-Encoding: chunked", body=BODY),
        "a malformed length and chunked": post("Content-Length: x", "Transfer-Encoding: chunked", body=BODY),
        "a length and Chunked": post("content-length: 13", "transfer-encoding: Chunked", body=BODY),
        "a length and identity": post("Content-Length: 3", "Transfer-Encoding: identity", body=b"abc"),
        "a length and xchunked": post("Content-Length: 3", "Transfer-Encoding: xchunked", body=b"abc"),
        "a length and an empty coding": post("Content-Length: 3", "Transfer-Encoding:", body=b"abc"),
        "a length and gzip, chunked": post("Content-Length: 3", "Transfer-Encoding: gzip, chunked", body=BODY),
        "a length and chunked of GET": get("Content-Length: 13", "Transfer-Encoding: chunked"),
    },
)

IN_1_0 = refusals(
    "9112 §6.1",
    400,
    {
        f"{what} in HTTP/1.0": head("POST / HTTP/1.0", "Host: x", "Connection: keep-alive", *lines) + BODY
        for what, lines in {
            "chunked": ["Transfer-Encoding: chunked"],
            "chunked and a length": ["Transfer-Encoding: chunked", "Content-Length: 13"],
            "gzip": ["Transfer-Encoding: gzip"],
            "identity": ["Transfer-Encoding: identity"],
            "identity and a length": ["Transfer-Encoding: identity", "Content-Length: 13"],
        }.items()
    },
)

SERVED = (
    [
        served(
            what,
            rule,
            data,
            method="POST",
            body=b"abc",
            environ={"CONTENT_LENGTH": "3", "HTTP_TRANSFER_ENCODING": None},
        )
        for what, rule, data in (
            ("a chunked body is read", "9112 §7.1", coded("chunked")),
            ("chunked has no case", "9112 §7", coded("ChUnKeD")),
            ("CHUNKED has no case", "9112 §7", coded("CHUNKED")),
            ("Transfer-Encoding has no case", "9110 §5.1", post("tRANSFER-eNCODING: chunked", body=BODY)),
            ("white space around chunked is not part of it", "9110 §5.5", coded(" \tchunked\t ")),
            ("chunked needs no space before it", "9110 §5.5", post("Transfer-Encoding:chunked", body=BODY)),
            (
                "TE is another header",
                "9110 §10.1.4",
                post("TE: trailers, gzip", "Transfer-Encoding: chunked", body=BODY),
            ),
            (
                "Trailer announces and frames nothing",
                "9110 §6.6.2",
                post("Trailer: X", "Transfer-Encoding: chunked", body=BODY),
            ),
        )
    ]
    + [
        served(
            f"{method} may have chunks",
            "9112 §6",
            head(f"{method} / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + BODY,
            method=method,
            body=b"abc",
        )
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "UNKNOWN")
    ]
    + [
        refused(
            "a coding before a missing Host",
            "9112 §3.2",
            400,
            head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + BODY,
        ),
        served(
            "Transfer_Encoding is no Transfer-Encoding",
            "9110 §5.1",
            post("Transfer_Encoding: chunked", "Content-Length: 3", body=b"abc"),
            method="POST",
            body=b"abc",
            environ={"HTTP_TRANSFER_ENCODING": None},
            end=End.ALIVE,
        ),
    ]
)

CASES = [*NOT_CHUNKED, *MALFORMED, *TWICE, *UNKNOWN, *WITH_LENGTH, *IN_1_0, *SERVED]
