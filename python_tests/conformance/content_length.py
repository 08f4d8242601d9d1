"""Content-Length: RFC 9110 section 8.6, RFC 9112 sections 6.2 and 6.3."""

from .model import Answer, Case, End, Step, get, head, post, refusals, refused, served


def sized(value, body=b"abc"):
    return post(f"Content-Length: {value}", body=body)


MALFORMED = refusals(
    "9110 §8.6",
    400,
    {"an empty length": sized(""), "a length of white space": sized(" \t ")}
    | {
        f"the length {value}": sized(value)
        for value in (
            *(
                "+3",
                "-3",
                "-0",
                "+0",
                "3-",
                "3+",
                "--3",
                "0x3",
                "0X3",
                "x3",
                "3x",
                "3h",
                "0b11",
                "0o3",
                "1e1",
                "3.0",
                "3.",
                ".3",
            ),
            *("3 3", "3\t3", "3 0", "1_0", "_3", "3_", "3;", "3;q=1", "3/3", "'3'", '"3"', "(3)", "3 (three)", "three"),
            *(
                "3 bytes",
                "3B",
                "inf",
                "NaN",
                "null",
                "true",
                "\xb3",
                "\xd9\xa3",
                "3\xa0",
                "\xa03",
                "%33",
                "=3",
                "3=",
                "<3>",
            ),
            *("3,3", "3, 3", "3,4", "3,", ",3", ",", "3 ,3", "0,0", "3;3"),
        )
    },
)

DUPLICATES = refusals(
    "9112 §6.3",
    400,
    {
        "two equal lengths": post("Content-Length: 3", "Content-Length: 3", body=b"abc"),
        "two different lengths": post("Content-Length: 3", "Content-Length: 4", body=b"abcd"),
        "a length and a longer one": post("Content-Length: 0", "Content-Length: 60", body=b""),
        "two lengths that differ by a zero": post("Content-Length: 3", "Content-Length: 03", body=b"abc"),
        "a length and an empty one": post("Content-Length: 3", "Content-Length:", body=b"abc"),
        "an empty length and a length": post("Content-Length:", "Content-Length: 3", body=b"abc"),
        "two lengths in different cases": post("Content-Length: 3", "content-length: 3", body=b"abc"),
        "two lengths that are not neighbours": post("Content-Length: 3", "A: b", "Content-Length: 3", body=b"abc"),
        "two lengths in HTTP/1.0": head("POST / HTTP/1.0", "Content-Length: 3", "Content-Length: 4") + b"abcd",
        "three equal lengths": post(*["Content-Length: 3"] * 3, body=b"abc"),
        "two lengths of GET": get("Content-Length: 0", "Content-Length: 0"),
    },
)

OVERFLOW = [
    case
    for size in (2**63, 2**64 - 2, 2**64 - 1, 2**64, 2**64 + 3, 10**30, 10**100)
    for case in refusals("9110 §8.6", 413, {f"a length of {size}": sized(size)})
] + [
    refused("a length beyond the limit on bodies", "9110 §15.5.14", 413, sized(2_000_001)),
    refused("a length of GET beyond the limit on bodies", "9110 §15.5.14", 413, get("Content-Length: 2000001")),
    refused("a length of many zeros and too much", "9110 §8.6", 413, sized("0" * 50 + str(2**64))),
]


INNER = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"


def read(name, data, body, method="POST", rule="9112 §6.2", **given):
    return served(name, rule, data, method=method, body=body, **given)


SERVED = [
    read("a body of a length is read", sized(3), b"abc"),
    read("a length may have leading zeros", sized("0003"), b"abc", rule="9110 §8.6"),
    read("a length may have many leading zeros", sized("0" * 50 + "3"), b"abc", rule="9110 §8.6"),
    read("white space around a length is not part of it", sized("\t 3 \t"), b"abc", rule="9110 §5.5"),
    read("Content-Length has no case", post("cONTENT-lENGTH: 3", body=b"abc"), b"abc", rule="9110 §5.1"),
    read("a length of 0 is an empty body", sized(0, b""), b""),
    read("a length of 000 is an empty body", sized("000", b""), b""),
    read("POST without a length has an empty body", post(), b"", rule="9112 §6.3"),
    read("GET without a length has an empty body", get(), b"", "GET", "9112 §6.3"),
    read("GET with a length of 0 has an empty body", get("Content-Length: 0"), b"", "GET"),
    read("the application is told the length", sized(3), b"abc", environ={"CONTENT_LENGTH": "3"}),
    read("the application is told no length where there is none", post(), b"", environ={"CONTENT_LENGTH": None}),
    read("a body of line ends is read", sized(4, b"\r\n\r\n"), b"\r\n\r\n"),
    read("a body of all bytes is read", sized(256, bytes(range(256))), bytes(range(256))),
    read("a body that looks like a request is a body", sized(len(INNER), INNER), INNER),
    read("a body that looks like chunks is a body", sized(13, b"3\r\nabc\r\n0\r\n\r\n"), b"3\r\nabc\r\n0\r\n\r\n"),
    read("a body of 65,536 bytes is read", sized(65_536, b"x" * 65_536), b"x" * 65_536),
    read("a body of 300,000 bytes is read", sized(300_000, b"x" * 300_000), b"x" * 300_000),
    read("a body as large as the limit is read", sized(2_000_000, b"x" * 2_000_000), b"x" * 2_000_000),
    served(
        "a body in pieces is one",
        "9112 §6.2",
        post("Content-Length: 6"),
        b"ab",
        b"cd",
        b"ef",
        method="POST",
        body=b"abcdef",
    ),
    served(
        "a body unread by the application is not the next request",
        "9112 §9.3",
        head("POST /reply/unread HTTP/1.1", "Host: x", f"Content-Length: {len(INNER)}") + INNER,
        method="POST",
        target="/reply/unread",
        text=b"unread",
    ),
    served(
        "HTTP/1.0 may have a length",
        "9112 §6.2",
        head("POST / HTTP/1.0", "Content-Length: 3") + b"abc",
        method="POST",
        body=b"abc",
        end=End.CLOSED,
    ),
    served(
        "HTTP/1.0 without a length has an empty body",
        "9112 §6.3",
        head("POST / HTTP/1.0"),
        method="POST",
        body=b"",
        end=End.CLOSED,
    ),
] + [
    read(
        f"{method} may have a body",
        head(f"{method} / HTTP/1.1", "Host: x", "Content-Length: 3") + b"abc",
        b"abc",
        method,
        "9112 §6",
    )
    for method in ("GET", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE", "UNKNOWN", "PROPFIND")
]

INCOMPLETE = [
    refused(
        f"a body that ends {missing} short of its length",
        "9112 §8",
        400,
        post("Content-Length: 100") + b"x" * (100 - missing),
        Step.HALF_CLOSE,
        follow=b"",
    )
    for missing in (1, 50, 100)
] + [
    Case(
        "HEAD may have a body",
        "9112 §6",
        (head("HEAD / HTTP/1.1", "Host: x", "Content-Length: 3") + b"abc",),
        (Answer(method="HEAD", reached="HEAD /"),),
    )
]

CASES = [*MALFORMED, *DUPLICATES, *OVERFLOW, *SERVED, *INCOMPLETE]
