"""Header lines: names, colons, values, line ends, limits. RFC 9112 section 5, RFC 9110 section 5."""

from .model import get, head, refusals, refused, served
from .request_line import CONTROLS, DELIMITERS

START = b"GET / HTTP/1.1\r\n"

ENDS = refusals(
    "9112 §2.2",
    400,
    {
        "a header line ended by LF alone": START + b"Host: x\r\nA: b\nB: c\r\n\r\n",
        "the last header line ended by LF alone": START + b"Host: x\r\nA: b\n\r\n",
        "the empty line ended by LF alone": START + b"Host: x\r\n\n",
        "a Host line ended by LF alone": START + b"Host: x\nA: b\r\n\r\n",
        "a header line ended by CR alone": START + b"Host: x\r\nA: b\rB: c\r\n\r\n",
        "a header line ended by CR CR LF": START + b"Host: x\r\nA: b\r\r\n\r\n",
        "a header line ended by LF CR": START + b"Host: x\r\nA: b\n\rB: c\r\n\r\n",
        "an empty line of CR alone": START + b"Host: x\r\n\rA: b\r\n\r\n",
        "an empty line of CR CR LF": START + b"Host: x\r\n\r\r\n",
        "a bare CR within a value": START + b"Host: x\r\nA: b\rc\r\n\r\n",
        "a bare CR before a value": START + b"Host: x\r\nA:\rb\r\n\r\n",
        "a bare CR within a name": START + b"Host: x\r\nA\rB: c\r\n\r\n",
        "a bare LF within a name": START + b"Host: x\r\nA\nB: c\r\n\r\n",
        "a bare CR in Host": START + b"Host: x\ry\r\n\r\n",
    },
)

FOLDING = refusals(
    "9112 §5.2",
    400,
    {
        "a value folded by a space": get("A: b", " c"),
        "a value folded by a tab": get("A: b", "\tc"),
        "a value folded by an empty continuation": get("A: b", " "),
        "a value that begins on its second line": get("A:", " b"),
        "a folded line that looks like a header": get("A: b", " Content-Length: 5"),
        "a folded Host": head("GET / HTTP/1.1", "Host:", " x"),
        "a Host line that continues": head("GET / HTTP/1.1", "Host: x", " y"),
        "a folded Transfer-Encoding": get("Transfer-Encoding:", " chunked"),
        "a folded Content-Length": get("Content-Length:", " 0"),
    },
) + refusals(
    "9112 §2.2",
    400,
    {
        "a space before the first header": head("GET / HTTP/1.1", " Host: x"),
        "a tab before the first header": head("GET / HTTP/1.1", "\tHost: x"),
        "a line of a space as the first header": head("GET / HTTP/1.1", " ", "Host: x"),
        "a space before the first of two headers": head("GET / HTTP/1.1", " A: b", "Host: x"),
    },
)

COLONS = refusals(
    "9112 §5.1",
    400,
    {
        f"{what} before the colon of {name}": get(f"{name}{space}: {value}")
        for what, space in {"a space": " ", "a tab": "\t", "two spaces": "  ", "a vertical tab": "\x0b"}.items()
        for name, value in {"A": "b", "Content-Length": "0", "Transfer-Encoding": "chunked"}.items()
    }
    | {
        "a space before the colon of Host": head("GET / HTTP/1.1", "Host : x"),
        "a header line without a colon": get("A"),
        "a header line without a colon but with a value": get("A b"),
        "a header line of an equals sign": get("A=b"),
        "a header line of a colon alone": get(":"),
        "a header line without a name": get(": b"),
        "a header line of two colons": get(":: b"),
        "a header line that is a request line": get("GET /a HTTP/1.1"),
    },
)

NAMES = refusals(
    "9110 §5.1",
    400,
    {f"the delimiter {chr(byte)} in a name": get(f"A{chr(byte)}B: c") for byte in DELIMITERS if byte != ord(":")}
    | {f"the control byte 0x{byte:02x} in a name": get(f"A{chr(byte)}B: c") for byte in CONTROLS}
    | {
        "a space in a name": get("A B: c"),
        "a byte 0x80 in a name": get("A\x80: c"),
        "a byte 0xff in a name": get("\xff: c"),
        "a Content-Length with a sharp s": get("Content-Length\xdf: 3"),
        "a name in quotation marks": get('"A": b'),
        "a Kelvin sign in a name": get("A\xe2\x84\xaa: b"),
    },
)

VALUES = refusals(
    "9110 §5.5",
    400,
    {f"the control byte 0x{byte:02x} in a value": get(f"A: b{chr(byte)}c") for byte in CONTROLS if byte != 9}
    | {
        "a NUL before a value": get("A:\0b"),
        "a NUL at the end of a value": get("A: b\0"),
        "a NUL as a value": get("A: \0"),
        "a vertical tab before a value": get("A:\x0bb"),
        "a form feed behind a value": get("A: b\x0c"),
        "a NUL in a Cookie": get("Cookie: a=\0"),
    },
)


def valued(name, line, value, key="HTTP_A", rule="9110 §5.5"):
    return served(name, rule, get(line), environ={key: value})


SERVED_VALUES = [
    valued("a value is told as it is", "A: b", "b"),
    valued("a value needs no space before it", "A:b", "b"),
    valued("spaces and tabs around a value are not part of it", "A: \t b \t ", "b"),
    valued("white space within a value stays", "A: b  c\td", "b  c\td"),
    valued("a value may be empty", "A:", ""),
    valued("a value of white space is empty", "A: \t ", ""),
    valued("a value may begin with a colon", "A::b", ":b"),
    valued("a value may have colons", "A: b: c:", "b: c:"),
    valued("a value may have commas and quotation marks", 'A: "b, c", d', '"b, c", d'),
    valued("a value may have backslashes", 'A: "\\"', '"\\"'),
    valued("a value may have parentheses", "A: b (c (d))", "b (c (d))"),
    valued(
        "a value of all visible characters is told",
        "A: " + bytes(range(33, 127)).decode(),
        bytes(range(33, 127)).decode(),
    ),
    valued(
        "bytes above ASCII pass as latin-1",
        "A: " + bytes(range(0x80, 0x100)).decode("latin-1"),
        bytes(range(0x80, 0x100)).decode("latin-1"),
    ),
    valued("UTF-8 passes byte by byte", "A: caf\xc3\xa9", "caf\xc3\xa9"),
    valued("a value of 1,000 bytes is told", "A: " + "b" * 1000, "b" * 1000),
    valued("a value of 30,000 bytes is told", "A: " + "b" * 30_000, "b" * 30_000),
    valued("a value that looks like a percent form is left alone", "A: %0D%0AB: c", "%0D%0AB: c"),
    valued("a name has no case", "aCcEpT: b", "b", "HTTP_ACCEPT", "9110 §5.1"),
    valued("a name of one character is one", "z: b", "b", "HTTP_Z", "9110 §5.1"),
    valued(
        "a name may be of all token characters", "!#$%&'*+-.^`|~09z: b", "b", "HTTP_!#$%&'*+_.^`|~09Z", "9110 §5.6.2"
    ),
    valued("a name may be of digits", "123: b", "b", "HTTP_123", "9110 §5.1"),
    valued("a name of 1,000 characters is told", "n" * 1000 + ": b", "b", "HTTP_" + "N" * 1000, "9110 §5.1"),
]

LIMITS = [
    served(
        "a hundred headers are taken",
        "9110 §5.4",
        get(*(f"A-{n}: {n}" for n in range(99))),
        environ={"HTTP_A_0": "0", "HTTP_A_98": "98"},
    ),
    *refusals(
        "9110 §5.4",
        431,
        {
            "a hundred and one headers": get(*(f"A-{n}: {n}" for n in range(100))),
            "a hundred and one lines of one header": get(*["A: b"] * 100),
            "a thousand headers": get(*["A: b"] * 1000),
            "ten thousand headers": get(*["A: b"] * 10_000),
            "a value of 40,000 bytes": get("A: " + "b" * 40_000),
            "a name of 40,000 bytes": get("b" * 40_000 + ": a"),
            "a Host of 40,000 bytes": head("GET / HTTP/1.1", "Host: " + "b" * 40_000),
            "a Cookie of 40,000 bytes": get("Cookie: " + "b" * 40_000),
            "forty headers of 1,000 bytes": get(*["A: " + "b" * 1000] * 40),
        },
    ),
    refused("a header line without end", "9110 §5.4", 431, START + b"A: " + b"b" * 40_000, follow=b""),
    refused("header lines without end", "9110 §5.4", 431, START + b"A: b\r\n" * 9_000, follow=b""),
    served("a head in two packets is one", "9112 §2.1", get("A: b")[:20], get("A: b")[20:], environ={"HTTP_A": "b"}),
    served("a head cut before its last LF is one", "9112 §2.1", get()[:-1], b"\n"),
    served("a head cut within a CRLF is one", "9112 §2.1", get()[:15], get()[15:]),
]

SINGLE = refusals(
    "9110 §5.3",
    400,
    {
        "two different Content-Types": get("Content-Type: a/b", "Content-Type: c/d"),
        "two equal Content-Types": get("Content-Type: a/b", "content-type: a/b"),
        "a Content-Type and an empty one": get("Content-Type: a/b", "Content-Type:"),
    },
)

CASES = [*ENDS, *FOLDING, *COLONS, *NAMES, *VALUES, *SERVED_VALUES, *SINGLE, *LIMITS]
