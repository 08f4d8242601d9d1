"""The chunked transfer coding: sizes, line ends, extensions, trailers. RFC 9112 section 7.1, RFC 9110 section 6.5."""

from .model import Step, chunked, head, refusals, refused, served
from .request_line import CONTROLS

LAST = b"0\r\n\r\n"


def of_size(size, data=b"abc"):
    """A body whose one chunk has this size line."""
    return chunked((size if isinstance(size, bytes) else size.encode("latin-1")) + b"\r\n" + data + b"\r\n" + LAST)


SIZES = refusals(
    "9112 §7.1",
    400,
    {"an empty chunk size": of_size(""), "no chunk size before an extension": of_size(";a=b")}
    | {
        f"the chunk size {size}": of_size(size)
        for size in (
            *("+3", "-3", "-0", "3-", "0x3", "0X3", "x3", "3x", "3h", "3H", "3.0", "3_", "_3", "0_3", "3_0"),
            *(
                "3,3",
                "3, 3",
                "3:",
                "3=",
                "'3'",
                '"3"',
                "(3)",
                "{3}",
                "three",
                "g",
                "G",
                "/",
                "@",
                "`",
                "\xb3",
                "\xd9\xa3",
            ),
            *(
                " 3",
                "\t3",
                "  3",
                "3 ",
                "3\t",
                "3 3",
                "3\t3",
                "3 3;a",
                "3\xa0",
                "\xa03",
                "3%",
                "%33",
                "3\x85",
                "3#a",
                "3&a",
            ),
        )
    }
    | {
        "a chunk size with a NUL": of_size("3\0"),
        "a chunk size with a vertical tab": of_size("3\x0b"),
        "a chunk size with a form feed": of_size("\x0c3"),
        "a chunk size of 16 digits that fills 64 bits": of_size("f" * 16),
        "a chunk size of 17 digits": of_size("1" + "0" * 15 + "3"),
        "a chunk size that wraps to 3 in 64 bits": of_size("1" + "0" * 15 + "3"),
        "a chunk size that wraps to 3 in 32 bits and in 64": of_size("1" + "0" * 30 + "3"),
        "a chunk size of 2**63": of_size("8" + "0" * 15),
        "a chunk size of 1,000 digits": of_size("f" * 1000),
        "a chunk size of 100,000 zeros": of_size("0" * 100_000 + "3"),
        "a last chunk with a sign": chunked(b"3\r\nabc\r\n-0\r\n\r\n"),
        "a last chunk with a prefix": chunked(b"3\r\nabc\r\n0x0\r\n\r\n"),
        "a last chunk with a space behind it": chunked(b"3\r\nabc\r\n0 \r\n\r\n"),
        "a last chunk with a space before it": chunked(b"3\r\nabc\r\n 0\r\n\r\n"),
    },
)

ENDS = refusals(
    "9112 §7.1",
    400,
    {
        "a chunk size ended by LF alone": chunked(b"3\nabc\r\n0\r\n\r\n"),
        "a chunk size ended by CR alone": chunked(b"3\rabc\r\n0\r\n\r\n"),
        "a chunk size ended by CR CR LF": chunked(b"3\r\r\nabc\r\n0\r\n\r\n"),
        "a chunk size ended by LF CR": chunked(b"3\n\rabc\r\n0\r\n\r\n"),
        "a chunk's data ended by LF alone": chunked(b"3\r\nabc\n0\r\n\r\n"),
        "a chunk's data ended by CR alone": chunked(b"3\r\nabc\r0\r\n\r\n"),
        "a chunk's data ended by nothing": chunked(b"3\r\nabc0\r\n\r\n"),
        "a chunk's data ended by two other bytes": chunked(b"3\r\nabcXX0\r\n\r\n"),
        "a chunk's data ended by CR CR LF": chunked(b"3\r\nabc\r\r\n0\r\n\r\n"),
        "a chunk's data ended by two CRLF": chunked(b"3\r\nabc\r\n\r\n0\r\n\r\n"),
        "a chunk longer than its size": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
        "a chunk shorter than its size": chunked(b"3\r\nab\r\n0\r\n\r\n"),
        "a last chunk ended by LF alone": chunked(b"3\r\nabc\r\n0\n\r\n"),
        "a last chunk ended by CR alone": chunked(b"3\r\nabc\r\n0\r\r\n"),
        "a chunked body ended by LF alone": chunked(b"3\r\nabc\r\n0\r\n\n"),
        "a chunked body ended by CR CR LF": chunked(b"3\r\nabc\r\n0\r\n\r\r\n"),
        "a chunked body whose lines all end with LF": chunked(b"3\nabc\n0\n\n"),
        "a body that is not in chunks": chunked(b"abc"),
        "a body of one line end": chunked(b"\r\n"),
        "a NUL in place of a chunk": chunked(b"\0"),
    },
)

EXTENSIONS = refusals(
    "9112 §7.1.1",
    400,
    {
        f"the control byte 0x{byte:02x} in a chunk extension": of_size(f"3;a{chr(byte)}b")
        for byte in CONTROLS
        if byte != 9
    }
    | {
        "a chunk extension without a name": of_size("3;"),
        "a chunk extension of white space": of_size("3; "),
        "two semicolons before a chunk extension": of_size("3;;a"),
        "a semicolon behind a chunk extension": of_size("3;a;"),
        "a chunk extension of a value alone": of_size("3;=b"),
        "a chunk extension without its value": of_size("3;a="),
        "a chunk extension of two values": of_size("3;a=b=c"),
        "a chunk extension of two words": of_size("3;a b"),
        "a chunk extension whose value has two words": of_size("3;a=b c"),
        "a chunk extension with white space at its end": of_size("3;a "),
        "a chunk extension with a quoted name": of_size('3;"a"'),
        "a word behind a quoted chunk extension": of_size('3;a="b"c'),
        "a byte above ASCII in a chunk extension": of_size("3;a\xe9"),
        "a bare CR in a quoted chunk extension": of_size('3;a="\r"'),
        "a bare LF in a quoted chunk extension": of_size('3;a="\n"'),
        "a CRLF in a quoted chunk extension": of_size('3;a="\r\n"'),
        "a CR behind a backslash in a chunk extension": of_size('3;a="\\\r"'),
        "a chunk extension that is not closed": of_size('3;a="b'),
        "a chunk extension of 5,000 bytes": of_size("3;" + "a" * 5000),
        "a chunk extension of 300,000 bytes": of_size("3;" + "a" * 300_000),
        "a chunk extension of 5,000 spaces": of_size("3" + " " * 5000 + ";a"),
        "a space and no chunk extension": of_size("3 "),
        "an extension of the last chunk with LF": chunked(b"3\r\nabc\r\n0;a\n\r\n"),
    },
)

TRAILERS = refusals(
    "9112 §7.1.2",
    400,
    {
        f"the trailer {line!r}": chunked(b"3\r\nabc\r\n0\r\n" + line.encode("latin-1") + b"\r\n\r\n")
        for line in (
            *("A", "A b", "A : b", "A\t: b", ": b", " A: b", "\tA: b", "A: b\r\n c", "A: b\r\n\tc", "A B: c", "A(: b"),
            *("A: \0", "A: b\x0bc", "A: b\x7f", "A: b\rc", "\xe9: b", "A: b\nB: c", "A=b", "GET / HTTP/1.1"),
        )
    }
    | {
        "a trailer ended by LF alone": chunked(b"0\r\nA: b\n\r\n"),
        "trailers of 40,000 bytes": chunked(b"0\r\nA: " + b"b" * 40_000 + b"\r\n\r\n"),
        "a hundred and one trailers": chunked(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"),
    },
) + refusals(
    "9110 §6.5.1",
    400,
    {
        f"the trailer {line}": chunked(b"3\r\nabc\r\n0\r\n" + line.encode() + b"\r\n\r\n")
        for line in ("Content-Length: 3", "content-length: 0", "Transfer-Encoding: chunked", "Host: y", "HOST: x")
    },
)


def read(name, data, body=b"abc", rule="9112 §7.1", **given):
    return served(name, rule, *((data,) if isinstance(data, bytes) else data), method="POST", body=body, **given)


SERVED = (
    [
        read("an empty chunked body is empty", chunked(LAST), b""),
        read("several chunks are one body", chunked(b"1\r\na\r\n2\r\nbc\r\n" + LAST)),
        read("a chunk size has no case", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n" + LAST), b"0123456789" * 2),
        read(
            "a chunk size of all digits is hexadecimal",
            chunked(b"10\r\n0123456789abcdef\r\n" + LAST),
            b"0123456789abcdef",
        ),
        read("a chunk size may have leading zeros", of_size("0003")),
        read("a chunk size may have 16 digits", of_size("0" * 15 + "3")),
        read("a chunk size may have 40 digits when most are zeros", of_size("0" * 39 + "3")),
        read("a last chunk may have several zeros", chunked(b"3\r\nabc\r\n0000\r\n\r\n")),
        read("a last chunk may have 40 zeros", chunked(b"3\r\nabc\r\n" + b"0" * 40 + b"\r\n\r\n")),
        read("a chunk may hold line ends", chunked(b"4\r\n\r\n\r\n\r\n" + LAST), b"\r\n\r\n"),
        read("a chunk may hold what looks like the last one", chunked(b"5\r\n0\r\n\r\n\r\n" + LAST), b"0\r\n\r\n"),
        read(
            "a chunk may hold what looks like a request",
            chunked(b"11\r\nGET /x HTTP/1.1\r\n\r\n" + LAST),
            b"GET /x HTTP/1.1\r\n",
        ),
        read("a chunk may hold all bytes", chunked(b"100\r\n" + bytes(range(256)) + b"\r\n" + LAST), bytes(range(256))),
        read("a thousand chunks of one byte are one body", chunked(b"1\r\nx\r\n" * 1000 + LAST), b"x" * 1000),
        read(
            "a chunk of 300,000 bytes is read", chunked(b"493e0\r\n" + b"x" * 300_000 + b"\r\n" + LAST), b"x" * 300_000
        ),
        read("chunks in pieces are one body", [chunked(b""), b"3", b"\r", b"\nab", b"c\r", b"\n0\r\n", b"\r\n"]),
        served(
            "a chunked body unread by the application is not the next request",
            "9112 §9.3",
            head("POST /reply/unread HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n" + LAST,
            method="POST",
            target="/reply/unread",
            text=b"unread",
        ),
    ]
    + [
        read(name, of_size(size), rule="9112 §7.1.1")
        for name, size in {
            "a chunk extension is ignored": "3;a",
            "a chunk extension with a value is ignored": "3;a=b",
            "a chunk extension with a quoted value is ignored": '3;a="b c"',
            "a quoted semicolon in a chunk extension is ignored": '3;a="b;c=d"',
            "an escaped quotation mark in a chunk extension is ignored": '3;a="b\\"c"',
            "several chunk extensions are ignored": '3;a;b=c;d="e"',
            "a chunk extension that looks like a size is ignored": "3;5",
            "white space around a chunk extension is ignored": "3 ; a = b ; c",
            "a tab before a chunk extension is ignored": "3\t;a",
            "a chunk extension of 3,000 bytes is ignored": "3;" + "a" * 3000,
            "bytes above ASCII in a quoted chunk extension are ignored": '3;a="\xe9"',
        }.items()
    ]
    + [
        read("an extension of the last chunk is ignored", chunked(b"3\r\nabc\r\n0;a=b\r\n\r\n"), rule="9112 §7.1.1"),
        *(
            read(name, chunked(b"3\r\nabc\r\n0\r\n" + lines + b"\r\n"), environ={"HTTP_A": None}, rule="9112 §7.1.2")
            for name, lines in {
                "a trailer is read over": b"A: b\r\n",
                "several trailers are read over": b"A: b\r\nC: d\r\nA: e\r\n",
                "an empty trailer is read over": b"A:\r\n",
                "a trailer with bytes above ASCII is read over": b"A: \xe9\r\n",
                "a hundred trailers are read over": b"A: b\r\n" * 100,
                "a trailer that looks like a chunk is read over": b"A: 3\r\nB: abc\r\n",
            }.items()
        ),
        read(
            "a trailer changes no header",
            chunked(b"3\r\nabc\r\n0\r\nA: trailer\r\nAuthorization: root\r\n\r\n", "A: header"),
            environ={"HTTP_A": "header", "HTTP_AUTHORIZATION": None},
            rule="9110 §6.5.1",
        ),
    ]
)

STREAMED = [
    refused(
        f"{what} behind 100,000 bytes",
        "9112 §7.1",
        400,
        chunked(b"186a0\r\n" + b"x" * 100_000 + rest),
        reached="POST /",
    )
    for what, rest in {
        "a malformed chunk size": b"\r\nxyz\r\n",
        "a chunk's data without its line end": b"XX0\r\n\r\n",
        "a chunk size with LF": b"\r\n0\n\r\n",
        "a forbidden trailer": b"\r\n0\r\nHost: y\r\n\r\n",
    }.items()
]

WHOLE = b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"

INCOMPLETE = [
    refused(f"a chunked body that ends {what}", "9112 §8", 400, chunked(WHOLE[:at]), Step.HALF_CLOSE, follow=b"")
    for what, at in {
        "before its first chunk": 0,
        "within a size": 1,
        "within a size's line end": 2,
        "before its data": 3,
        "within its data": 4,
        "before its data's line end": 6,
        "within its data's line end": 7,
        "before the last chunk": 8,
        "within the last chunk": 9,
        "before its trailers": 11,
        "within a trailer": 13,
        "before its empty line": 17,
        "within its empty line": 18,
    }.items()
]

CASES = [*SIZES, *ENDS, *EXTENSIONS, *TRAILERS, *SERVED, *STREAMED, *INCOMPLETE]
