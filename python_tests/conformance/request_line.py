"""The request line: method, spaces, version. RFC 9112 sections 2 and 3, RFC 9110 sections 2.5 and 9.1."""

from .model import End, get, head, refusals, refused, served

#: All delimiters of RFC 9110 section 5.6.2, which no token has, but for the space.
DELIMITERS = b'"(),/:;<=>?@[\\]{}'

CONTROLS = [*range(0x20), 0x7F]


def line(text):
    return head(text, "Host: x")


SEPARATION = refusals(
    "9112 §3",
    400,
    {
        "a request line of a method alone": line("GET"),
        "a request line of a method and a space": line("GET "),
        "a request line without a version": line("GET /"),
        "a request line without a version but with its space": line("GET / "),
        "an HTTP/0.9 request": b"GET /\r\n",
        "a request line without a target": line("GET HTTP/1.1"),
        "a request line with an empty target": line("GET  HTTP/1.1"),
        "a request line without a method": line("/ HTTP/1.1"),
        "a request line with an empty method": line(" / HTTP/1.1"),
        "a request line of a version alone": line("HTTP/1.1"),
        "two spaces before the target": line("GET  / HTTP/1.1"),
        "two spaces before the version": line("GET /  HTTP/1.1"),
        "a tab before the target": line("GET\t/ HTTP/1.1"),
        "a tab before the version": line("GET /\tHTTP/1.1"),
        "a space and a tab before the target": line("GET \t/ HTTP/1.1"),
        "a vertical tab before the target": line("GET\x0b/ HTTP/1.1"),
        "a form feed before the version": line("GET /\x0cHTTP/1.1"),
        "a CR before the target": line("GET\r/ HTTP/1.1"),
        "a CR before the version": line("GET /\rHTTP/1.1"),
        "a no-break space before the target": line("GET\xa0/ HTTP/1.1"),
        "a plus sign in place of a space": line("GET+/ HTTP/1.1"),
        "a space before the method": line(" GET / HTTP/1.1"),
        "a tab before the method": line("\tGET / HTTP/1.1"),
        "a space behind the version": line("GET / HTTP/1.1 "),
        "a tab behind the version": line("GET / HTTP/1.1\t"),
        "a fourth word": line("GET / HTTP/1.1 x"),
        "a second version": line("GET / HTTP/1.1 HTTP/1.1"),
        "a space in the target": line("GET /a b HTTP/1.1"),
        "a target in quotation marks": line('GET "/" HTTP/1.1'),
        "a header line in place of the request line": head("Host: x"),
        "a response in place of a request": head("HTTP/1.1 200 OK", "Content-Length: 0"),
        "a byte order mark before the method": line(b"\xef\xbb\xbfGET / HTTP/1.1"),
    },
)

ENDS = refusals(
    "9112 §2.2",
    400,
    {
        "a request line ended by LF alone": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        "a request line ended by CR alone": b"GET / HTTP/1.1\rHost: x\r\n\r\n",
        "a request line ended by CR CR LF": b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
        "a request line ended by LF CR": b"GET / HTTP/1.1\n\rHost: x\r\n\r\n",
        "a head whose lines all end with LF alone": b"GET / HTTP/1.1\nHost: x\n\n",
        "an empty line of LF alone before the request line": b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "an empty line of CR CR LF before the request line": b"\r\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "a line of a space before the request line": b" \r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    },
) + [
    served("an empty line before a request is skipped", "9112 §2.2", b"\r\n" + get()),
    served("a few empty lines before a request are skipped", "9112 §2.2", b"\r\n" * 4 + get()),
    served("an empty line in a packet of its own is skipped", "9112 §2.2", b"\r\n", get()),
    served("a CR and its LF in two packets are an empty line", "9112 §2.2", b"\r", b"\n" + get()),
    refused("empty lines without end", "9112 §2.2", 400, b"\r\n" * 20_000 + get()),
]

METHODS = (
    refusals(
        "9110 §9.1",
        400,
        {f"the delimiter {chr(byte)} in a method": line(f"G{chr(byte)}T / HTTP/1.1") for byte in DELIMITERS}
        | {f"the control byte 0x{byte:02x} in a method": line(f"G{chr(byte)}T / HTTP/1.1") for byte in CONTROLS}
        | {
            "a byte above ASCII in a method": line("G\xc9T / HTTP/1.1"),
            "a NUL before a method": line("\0GET / HTTP/1.1"),
            "a colon behind a method": line("GET: / HTTP/1.1"),
        },
    )
    + [
        served(f"the method {method} reaches the application", "9110 §9.1", line(f"{method} / HTTP/1.1"), method=method)
        for method in (
            *("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"),
            *("PROPFIND", "MKCOL", "REPORT", "M-SEARCH", "PURGE", "QUERY"),
        )
    ]
    + [
        served(what, "9110 §9.1", line(f"{method} / HTTP/1.1"), method=method, environ={"REQUEST_METHOD": method})
        for what, method in {
            "a method is told apart by its case": "get",
            "a method of mixed case is nobody's GET": "Get",
            "connect in lower case is a method as any other": "connect",
            "head in lower case has a body": "head",
            "an unknown method is the application's to refuse": "UNKNOWN",
            "a method of one character is one": "A",
            "a method may be of all token characters": "!#$%&'*+-.^_`|~09",
            "a method may begin with a hyphen": "-BLARGH",
            "a method of 1,000 characters is passed on": "M" * 1000,
        }.items()
    ]
    + [
        served("HEAD reaches the application as HEAD", "9110 §9.3.2", line("HEAD / HTTP/1.1"), method="HEAD"),
        refused("a method longer than any limit", "9112 §3", 501, b"M" * 40_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n"),
        refused("a method without end", "9112 §3", 501, b"M" * 40_000, follow=b""),
    ]
)

VERSIONS = (
    refusals(
        "9112 §2.3",
        400,
        {
            f"the version {version}": line(f"GET / {version}")
            for version in (
                *("HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/", "HTTP", "HTTP/11", "HTTP/1.10", "HTTP/1.01", "HTTP/01.1"),
                *("HTTP/1.1.1", "HTTP/1,1", "HTTP/1_1", "HTTP/1.x", "HTTP/x.1", "HTTP/-1.1", "HTTP/+1.1", "HTTP/1.1x"),
                *("HTTP//1.1", "HTTP\\1.1", "HTTP1.1", "xHTTP/1.1", "HTTPS/1.1", "FTP/1.1", "ICY/1.1", "SIP/2.0"),
                *("http/1.1", "Http/1.1", "hTTP/1.1", "http/2.0", "HTTP/2", "HTTP/0x1.1", "HTTP/\xb9.1", "1.1"),
                *("HTTP/10.1", "HTTP/11111111111111111111.1", "HTTP/1.99999999999999999999"),
            )
        }
        | {
            "a space within the version": line("GET / HTTP/ 1.1"),
            "a NUL behind the version": line("GET / HTTP/1.1\0"),
        },
    )
    + refusals(
        "9110 §15.6.6",
        505,
        {
            f"the version {version}": line(f"GET / {version}")
            for version in ("HTTP/0.0", "HTTP/0.9", "HTTP/0.1", "HTTP/2.0", "HTTP/2.1", "HTTP/3.0", "HTTP/9.9")
        }
        | {"the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    )
    + [
        served(
            "the application is told HTTP/1.1",
            "9112 §2.3",
            line("GET / HTTP/1.1"),
            environ={"SERVER_PROTOCOL": "HTTP/1.1"},
            version="HTTP/1.1",
        ),
        *(
            served(
                f"a request of {version} is read as one of HTTP/1.1",
                "9110 §2.5",
                line(f"GET / {version}"),
                environ={"SERVER_PROTOCOL": "HTTP/1.1"},
                version="HTTP/1.1",
            )
            for version in ("HTTP/1.2", "HTTP/1.9")
        ),
        refused("a request of HTTP/1.2 without Host", "9112 §3.2", 400, head("GET / HTTP/1.2")),
        served(
            "the application is told HTTP/1.0",
            "9112 §2.3",
            line("GET / HTTP/1.0"),
            environ={"SERVER_PROTOCOL": "HTTP/1.0"},
            end=End.CLOSED,
        ),
    ]
)

CASES = [*SEPARATION, *ENDS, *METHODS, *VERSIONS]
