"""The request target in its four forms: RFC 9112 section 3.2, RFC 9110 sections 4.2 and 7.1, RFC 3986."""

from .model import End, get, head, refusals, refused, served
from .request_line import CONTROLS


def ask(target, method="GET", host="x", version="1.1"):
    host = () if host is None else (f"Host: {host}",)
    return head(f"{method} {target} HTTP/{version}", *host)


def taken(name, target, path, query="", uri=None, rule="9112 §3.2.1", host=None, **given):
    """A target that is served, and what the application is told of it."""
    told = {"PATH_INFO": path, "QUERY_STRING": query}
    told |= {"HTTP_HOST": host} if host else {}
    uri = target if uri is None else uri
    return served(name, rule, ask(target, **given), target=uri, environ=told, method=given.get("method", "GET"))


ORIGIN = [
    taken("a path is told as it is", "/a/b", "/a/b"),
    taken("a query is told apart from the path", "/a?b=c", "/a", "b=c"),
    taken("a query may be empty", "/a?", "/a"),
    taken("a second question mark belongs to the query", "/a?b?c", "/a", "b?c"),
    taken("a slash in the query is no path", "/a?b/c", "/a", "b/c"),
    taken("slashes in a row stay", "//a///b//", "//a///b//"),
    taken("two slashes at the start are no authority", "//other/a", "//other/a"),
    taken("dots are not taken out", "/a/../b/./c", "/a/../b/./c"),
    taken("dots at the root are not taken out", "/../a", "/../a"),
    taken("encoded dots are not taken out", "/%2e%2e/a", "/../a", uri="/%2e%2e/a"),
    taken("a semicolon stays in the path", "/a;b=c/d", "/a;b=c/d"),
    taken("a colon and an at sign stay in the path", "/a:80@b", "/a:80@b"),
    taken("a plus sign is not a space", "/a+b?c+d", "/a+b", "c+d"),
    taken("all unreserved characters and delimiters pass", "/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
    taken(
        "all unreserved characters and delimiters pass in a query", "/?-._~!$&'()*+,;=:@/?", "/", "-._~!$&'()*+,;=:@/?"
    ),
    taken("percent forms are decoded in the path", "/%41%7A%2D", "/Az-"),
    taken("percent forms are left alone in the query", "/?%41%20%zz", "/", "%41%20%zz"),
    taken("percent forms have no case", "/%c3%C3", "/\xc3\xc3"),
    taken("a decoded path is latin-1", "/caf%C3%A9", "/caf\xc3\xa9"),
    taken("an encoded slash is decoded, and REQUEST_URI tells", "/a%2Fb", "/a/b"),
    taken("an encoded question mark is no query", "/a%3Fb", "/a?b"),
    taken("an encoded percent sign is decoded once", "/%2541", "/%41"),
    taken("an encoded space is a space", "/a%20b", "/a b"),
    taken("an encoded NUL is one", "/a%00b", "/a\0b"),
    taken("an encoded line end is one, and ends no line", "/a%0D%0AHost:%20y", "/a\r\nHost: y"),
    taken("a percent sign that starts no form stays", "/100%", "/100%"),
    taken("a percent form that is none stays", "/%zz%4", "/%zz%4"),
    taken("what browsers and curl leave unencoded in a path passes", '/"<{|}>^`\\', '/"<{|}>^`\\'),
    taken("what browsers and curl leave unencoded in a query passes", '/?"<{|}>^`\\', "/", '"<{|}>^`\\'),
    taken("a fragment belongs to neither path nor query", "/a?b#c", "/a", "b"),
    taken("a fragment is no place for a query", "/a#b?c", "/a"),
    taken("a target of 8,000 bytes is taken", "/" + "a" * 7999, "/" + "a" * 7999, rule="9112 §3"),
    taken("a target of 30,000 bytes is taken", "/?" + "a" * 30_000, "/", "a" * 30_000, rule="9112 §3"),
    refused("a path beyond the limit", "9112 §3", 414, ask("/" + "a" * 40_000)),
    refused("a query beyond the limit", "9112 §3", 414, ask("/?" + "a" * 40_000)),
    refused("a target without end", "9112 §3", 414, b"GET /" + b"a" * 40_000, follow=b""),
]

BAD_ORIGIN = refusals(
    "9112 §3.2",
    400,
    {
        "a path without its slash": ask("a"),
        "a relative path": ask("./a"),
        "a target of a query alone": ask("?a"),
        "a target of a fragment alone": ask("#a"),
        "a target that begins with a backslash": ask("\\a"),
        "a target that begins with a percent form": ask("%2Fa"),
        "a raw e-acute in UTF-8 in a path": ask(b"/\xc3\xa9".decode("latin-1")),
        "a raw e-acute in latin-1 in a path": ask("/\xe9"),
        "a raw e-acute in UTF-8 in a query": ask(b"/?\xc3\xa9".decode("latin-1")),
        "a byte 0xff in a path": ask("/\xff"),
        **{f"the control byte 0x{byte:02x} in a path": ask(f"/a{chr(byte)}b") for byte in CONTROLS},
        **{f"the control byte 0x{byte:02x} in a query": ask(f"/?a{chr(byte)}b") for byte in (0, 1, 9, 11, 27, 127)},
    },
)


def absolute(name, target, path, query, host, method="GET", line="x", version="1.1"):
    """An absolute target that is served: told as it was sent, in parts, and its authority as the Host."""
    told = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host}
    data = ask(target, method, line, version)
    end = End.ALIVE if version == "1.1" else End.CLOSED
    return served(name, "9112 §3.2.2", data, target=target, environ=told, method=method, end=end)


ABSOLUTE = [
    absolute("the authority of an absolute target beats Host", "http://h/a?b", "/a", "b", "h"),
    absolute("an absolute target's port beats Host's", "http://h:81/", "/", "", "h:81", line="h:82"),
    absolute("an absolute target without a path has the path /", "http://h", "/", "", "h"),
    absolute("an absolute target of a query has the path /", "http://h?a", "/", "a", "h"),
    absolute("an absolute target's fragment belongs to no part of it", "http://h/a#b?c", "/a", "", "h"),
    absolute("a scheme has no case", "HTTP://h/a", "/a", "", "h"),
    absolute("a proxy may say https of what it takes for one", "https://h/a", "/a", "", "h"),
    absolute("an absolute target may have an IPv6 address", "http://[::1]:81/a", "/a", "", "[::1]:81"),
    absolute("an absolute target may have an IPv4 address", "http://127.0.0.1/a", "/a", "", "127.0.0.1"),
    absolute("an absolute target may have an empty port", "http://h:/a", "/a", "", "h:"),
    absolute("an absolute target's host keeps its case", "http://H.Example/a", "/a", "", "H.Example"),
    absolute("an absolute target's path is decoded", "http://h/%41%20", "/A ", "", "h"),
    absolute("an absolute target behind a slash is a path", "/http://h/a", "/http://h/a", "", "x"),
    absolute("POST takes an absolute target", "http://h/a", "/a", "", "h", method="POST"),
    absolute("OPTIONS takes an absolute target", "http://h/a", "/a", "", "h", method="OPTIONS"),
    absolute("an absolute target of HTTP/1.0 is the host", "http://h/a", "/a", "", "h", line=None, version="1.0"),
    refused("an absolute target of HTTP/1.1 without Host", "9112 §3.2", 400, ask("http://h/", host=None)),
    refused("an absolute target with a bad Host", "9112 §3.2", 400, ask("http://h/", host="a b")),
]

BAD_ABSOLUTE = (
    refusals(
        "9110 §4.2.1",
        400,
        {
            f"the target {target}": ask(target)
            for target in (
                *("http:///a", "http://", "http://:80/", "http://?a", "http:/h/a", "http:h/a", "http//h/a", "http"),
                *(
                    "http://h:port/",
                    "http://h:8o/",
                    "http://h:-1/",
                    "http://h:99999/",
                    "http://h:65536/",
                    "http://h:80:80/",
                ),
                *(
                    "http://[::1/",
                    "http://[]/",
                    "http://[::g]/",
                    "http://[1]/",
                    "http://[::1]x/",
                    "http://::1/",
                    "http://h]/",
                ),
                *("http://a%20b/", "http://a\\b/", "http://a|b/", "http://h, /"),
            )
        },
    )
    + refusals(
        "9110 §4.2.4",
        400,
        {
            f"the target {target}": ask(target)
            for target in ("http://u@h/", "http://u:p@h/", "http://@h/", "http://h@/")
        },
    )
    + refusals(
        "9112 §3.2.2",
        400,
        {
            f"the target {target}": ask(target)
            for target in ("ftp://h/a", "ws://h/a", "file:///etc/passwd", "urn:a:b", "mailto:a@b", "data:,a", "x://h/")
        },
    )
)

AUTHORITY = refusals(
    "9112 §3.2.3",
    400,
    {f"{method} of an authority": ask("h:80", method) for method in ("GET", "POST", "OPTIONS", "PUT")}
    | {
        "GET of a host": ask("h.example"),
        "GET of an IPv6 authority": ask("[::1]:80"),
        "connect in lower case of an authority": ask("h:80", "connect"),
    },
) + refusals(
    "9110 §9.3.6",
    501,
    {
        "CONNECT of an authority": ask("h:443", "CONNECT", "h:443"),
        "CONNECT of an IPv6 authority": ask("[::1]:443", "CONNECT", "[::1]:443"),
        "CONNECT of a path": ask("/", "CONNECT"),
        "CONNECT of an absolute target": ask("http://h/", "CONNECT"),
        "CONNECT with a body": head("CONNECT h:1 HTTP/1.1", "Host: h:1", "Content-Length: 3") + b"abc",
        "CONNECT of HTTP/1.0": ask("h:443", "CONNECT", None, "1.0"),
    },
)

ASTERISK = [
    taken("OPTIONS * has an empty path", "*", "", rule="9112 §3.2.4", method="OPTIONS"),
    served(
        "OPTIONS * may have a body",
        "9112 §3.2.4",
        head("OPTIONS * HTTP/1.1", "Host: x", "Content-Length: 3") + b"abc",
        method="OPTIONS",
        target="*",
        body=b"abc",
    ),
    taken("OPTIONS of a path is told the path", "/a", "/a", rule="9110 §9.3.7", method="OPTIONS"),
    taken("an asterisk in a path is a character", "/*", "/*", rule="9112 §3.2.1"),
    *refusals(
        "9112 §3.2.4",
        400,
        {f"{method} *": ask("*", method) for method in ("GET", "POST", "PUT", "DELETE", "TRACE", "options")}
        | {
            "OPTIONS **": ask("**", "OPTIONS"),
            "OPTIONS *?a": ask("*?a", "OPTIONS"),
            "OPTIONS */a": ask("*/a", "OPTIONS"),
        },
    ),
]

CASES = [
    *ORIGIN,
    *BAD_ORIGIN,
    *ABSOLUTE,
    *BAD_ABSOLUTE,
    *AUTHORITY,
    *ASTERISK,
    served("a plain request is served", "9112 §3", get()),
]
