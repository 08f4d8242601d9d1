"""Host: there, once, and valid. RFC 9112 section 3.2, RFC 9110 section 7.2, RFC 3986 section 3.2."""

from .model import End, get, head, refusals, served


def hosted(*values, version="1.1"):
    return head(f"GET / HTTP/{version}", *(f"Host: {value}" for value in values))


NUMBER = refusals(
    "9112 §3.2",
    400,
    {
        "no Host": hosted(),
        "no Host among other headers": head("GET / HTTP/1.1", "Accept: */*", "Hosts: x", "X-Host: x"),
        "two different Hosts": hosted("x", "y"),
        "two equal Hosts": hosted("x", "x"),
        "two Hosts of different case": hosted("x", "X"),
        "two Hosts in different cases of the name": head("GET / HTTP/1.1", "Host: x", "hOST: x"),
        "two Hosts that are not neighbours": head("GET / HTTP/1.1", "Host: x", "A: b", "Host: y"),
        "an empty Host behind a good one": hosted("x", ""),
        "two Hosts in HTTP/1.0": hosted("x", "y", version="1.0"),
        "three Hosts": hosted("x", "x", "x"),
    },
)

BAD = refusals(
    "9110 §7.2",
    400,
    {
        "an empty Host": hosted(""),
        "a Host of white space": hosted(" \t "),
        "an empty Host in HTTP/1.0": hosted("", version="1.0"),
    }
    | {
        f"the Host {value}": hosted(value)
        for value in (
            *("x y", "x, y", "x\ty", "x/y", "x/", "/x", "x?y", "x#y", "x\\y", "x@y", "u:p@x", "@x", "x@"),
            *(
                "http://x",
                "http://x/",
                "x|y",
                "x^y",
                "{x}",
                "<x>",
                '"x"',
                "`x`",
                "x\xe9",
                "x\xc3\xa9",
                "x%",
                "x%2",
                "x%zz",
            ),
            *(
                ":",
                ":80",
                "x:y",
                "x:80y",
                "x:-1",
                "x:+80",
                "x: 80",
                "x :80",
                "x:80:80",
                "x::",
                "::1",
                "x:0x50",
                "x:8.0",
            ),
            *("x:65536", "x:99999", "x:100000", "x:184467440737095516160", "x:\xb9"),
            *(
                "[",
                "]",
                "[]",
                "[]:80",
                "[::1",
                "::1]",
                "[::1]x",
                "[::1]80",
                "[::1]:x",
                "[::1]:65536",
                "x[::1]",
                "[[::1]]",
            ),
            *(
                "[1]",
                "[:]",
                "[:::]",
                "[::1::2]",
                "[1:2:3:4:5:6:7]",
                "[1:2:3:4:5:6:7:8:9]",
                "[::g]",
                "[::12345]",
                "[::1%25lo]",
            ),
            *("[::1%lo]", "[127.0.0.1]", "[::1.2.3]", "[::1.2.3.400]", "[ ::1 ]", "[x]"),
        )
    },
)

GOOD = [
    served(f"the Host {value} is told as it is", "9110 §7.2", hosted(value), environ={"HTTP_HOST": value})
    for value in (
        *("x", "X.Example", "x.example.", "a.b.c.d.e", "localhost", "xn--caf-dma.example", "under_score", "-x-", "1"),
        *(
            "x:80",
            "x:0",
            "x:65535",
            "x:",
            "x:00080",
            "x:0000000000080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "999.999.999.999",
        ),
        *(
            "[::1]",
            "[::1]:80",
            "[::]",
            "[::1]:",
            "[2001:db8::7]",
            "[2001:DB8::7]:443",
            "[1:2:3:4:5:6:7:8]",
            "[::127.0.0.1]",
        ),
        *("[::ffff:127.0.0.1]:80", "x%41y", "x%C3%A9", "a-b.c~d", "!$&'()*+,;=", "x" * 255),
    )
] + [
    served(
        "a Host is told without the white space around it",
        "9110 §7.2",
        hosted(" \tx:80\t "),
        environ={"HTTP_HOST": "x:80"},
    ),
    served("Host may come last", "9110 §7.2", head("GET / HTTP/1.1", "A: b", "Host: y"), environ={"HTTP_HOST": "y"}),
    served("Host has no case", "9110 §5.1", head("GET / HTTP/1.1", "hOsT: y"), environ={"HTTP_HOST": "y"}),
    served("X-Forwarded-Host is no Host", "9110 §7.2", get("X-Forwarded-Host: y"), environ={"HTTP_HOST": "x"}),
    served(
        "HTTP/1.0 needs no Host",
        "9112 §3.2",
        hosted(version="1.0"),
        environ={"HTTP_HOST": None},
        end=End.CLOSED,
    ),
    served(
        "HTTP/1.0 may have a Host", "9112 §3.2", hosted("y", version="1.0"), environ={"HTTP_HOST": "y"}, end=End.CLOSED
    ),
]

CASES = [*NUMBER, *BAD, *GOOD]
