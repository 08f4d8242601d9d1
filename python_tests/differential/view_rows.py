"""Known differences in what the application sees of a request that both servers took (PEP 3333)."""

from .rows import ALL, everywhere, view
from .unusual import LARGE

VIEWS = (
    view(
        "CONTENT_LENGTH of a chunked body",
        "chunked",
        "CONTENT_LENGTH",
        "the size of the body, up to 64 KiB",
        "RFC 9112 §7.1.3: the length of the decoded body. It is known once the body has been read",
        **dict.fromkeys(("gunicorn", "cheroot"), ("absent", lambda seen, request: None)),
    ),
    view(
        "CONTENT_LENGTH of a chunked body of more than 64 KiB",
        "chunk-large",
        "CONTENT_LENGTH",
        "absent",
        "PEP 3333: CONTENT_LENGTH may be absent; `wsgi.input_terminated` says that the body ends",
        waitress=("the size of the body, which it has read", lambda seen, request: str(LARGE)),
    ),
    view(
        "HTTP_TRANSFER_ENCODING",
        "chunked",
        "HTTP_TRANSFER_ENCODING",
        "absent",
        "RFC 9112 §7.1.3: chunked is removed from it with the chunks",
        **dict.fromkeys(
            ("gunicorn", "cheroot"), ("as sent", lambda seen, request: sent(request, b"transfer-encoding"))
        ),
    ),
    view(
        "SERVER_PROTOCOL of version 1.2 to 1.9",
        "version-1.2",
        "SERVER_PROTOCOL",
        "HTTP/1.1",
        "RFC 9110 §2.5: processed as the latest minor version that is known",
        waitress=("HTTP/1.0", lambda seen, request: "HTTP/1.0"),
    ),
    *(
        view(
            f"{key} of a chunked body behind version 1.2 to 1.9",
            "version-1.2",
            key,
            "as for 1.1",
            "RFC 9110 §2.5: waitress reads them as 1.0, so that the body is the next request",
            waitress=(told, lambda seen, request, value=value: value),
        )
        for key, told, value in (
            ("CONTENT_LENGTH", "absent", None),
            ("HTTP_TRANSFER_ENCODING", "as sent", "chunked"),
            ("body", "empty", ""),
        )
    ),
    view(
        "HTTP_TRAILER",
        "coding-and-trailer",
        "HTTP_TRAILER",
        "absent",
        "RFC 9112 §7.1.3: Trailer is removed with the trailers",
        **everywhere(("as sent", lambda seen, request: "X-A")),
    ),
    view(
        "repeated header",
        "field-repeated",
        "HTTP_X_A",
        "joined by `, `",
        "RFC 9110 §5.2: joined by a comma, with optional white space",
        gunicorn=("joined by `,`", lambda seen, request: seen["HTTP_X_A"].replace(", ", ",")),
        cheroot=("the last one", lambda seen, request: seen["HTTP_X_A"].rpartition(", ")[2]),
    ),
    view(
        "repeated header, one of them empty",
        "field-repeated-empty",
        "HTTP_X_A",
        "`, 2`",
        "RFC 9110 §5.2",
        gunicorn=("`,2`", lambda seen, request: ",2"),
        cheroot=("`2`", lambda seen, request: "2"),
    ),
    view(
        "repeated Cookie",
        "field-cookie-repeated",
        "HTTP_COOKIE",
        "joined by `; `",
        "RFC 6265 §5.4: what parses cookies knows no comma",
        waitress=("joined by `, `", lambda seen, request: "a=b, c=d"),
        gunicorn=("joined by `,`", lambda seen, request: "a=b,c=d"),
        cheroot=("the last one", lambda seen, request: "c=d"),
    ),
    view(
        "repeated Connection",
        "field-close-in-another-line",
        "HTTP_CONNECTION",
        "joined by `, `",
        "RFC 9110 §5.2",
        gunicorn=("joined by `,`", lambda seen, request: "x-a,close"),
    ),
    view(
        "repeated Expect",
        "field-expect-list",
        "HTTP_EXPECT",
        "joined by `, `",
        "RFC 9110 §5.2",
        gunicorn=("joined by `,`", lambda seen, request: seen["HTTP_EXPECT"].replace(", ", ",")),
    ),
    view(
        "Proxy header",
        "field-proxy",
        "HTTP_PROXY",
        "absent",
        "CVE-2016-5385: HTTP_PROXY redirects HTTP clients in CGI-like environments",
        **dict.fromkeys(ALL, ("as sent", lambda seen, request: "http://evil.test")),
    ),
    view(
        "name with `_` beside one with `-`",
        "field-underscore",
        "HTTP_X_A",
        "the one with `-`",
        "RFC 3875 §4.1.18: both would be the same key",
        cheroot=("the one with `_`", lambda seen, request: "b"),
    ),
    view(
        "Transfer_Encoding",
        "field-underscore-coding",
        "HTTP_TRANSFER_ENCODING",
        "absent",
        "no header of HTTP",
        cheroot=("present", lambda seen, request: "chunked"),
    ),
    view(
        "Content_Length",
        "field-underscore-length",
        "CONTENT_LENGTH",
        "as if it were not there",
        "no header of HTTP",
        cheroot=("Content_Length's", lambda seen, request: "3"),
    ),
    view(
        "chunked body behind Content_Length",
        "field-underscore-length",
        "body",
        "as the chunks say",
        "no header of HTTP",
        cheroot=("cut by who reads CONTENT_LENGTH bytes", lambda seen, request: "aGVs"),
    ),
    view(
        "SCRIPT_NAME as a header",
        "field-script-name",
        "HTTP_SCRIPT_NAME",
        "absent",
        "names with `_` are dropped",
        cheroot=("present", lambda seen, request: "/x"),
    ),
    view(
        "X-Forwarded-Proto and its like",
        "field-forwarded-scheme",
        "wsgi.url_scheme",
        "http",
        "nobody is trusted unless an option says so",
        gunicorn=("https: it trusts 127.0.0.1", lambda seen, request: "https"),
    ),
    *(
        view(
            f"{name} from a client",
            marks,
            key,
            "as sent",
            "PEP 3333: HTTP_ variables are the client's headers; `wsgi.url_scheme` and REMOTE_ADDR do not follow them",
            waitress=("absent", lambda seen, request: None),
        )
        for name, marks, key in (
            ("X-Forwarded-For", "field-forwarded", "HTTP_X_FORWARDED_FOR"),
            ("X-Forwarded-Host", "field-forwarded", "HTTP_X_FORWARDED_HOST"),
            ("X-Forwarded-Proto", "field-forwarded-scheme", "HTTP_X_FORWARDED_PROTO"),
            ("Forwarded", "field-forwarded", "HTTP_FORWARDED"),
        )
    ),
    view(
        "host of an absolute-form target",
        "target-absolute target-absolute-other-host",
        "HTTP_HOST",
        "the target's",
        "RFC 9112 §3.2.2: the received Host MUST be ignored",
        **everywhere(("Host's", lambda seen, request: sent(request, b"host"))),
    ),
    view(
        "path of an absolute-form target that has none",
        "target-absolute-no-path",
        "PATH_INFO",
        "`/`",
        "RFC 9110 §4.2.3: an empty path is `/`",
        **dict.fromkeys(("waitress", "gunicorn"), ("empty", lambda seen, request: "")),
    ),
    view(
        "two slashes at the start of PATH_INFO",
        "target-two-slashes",
        "PATH_INFO",
        "as sent",
        "RFC 3986 §3.3: empty segments count",
        waitress=("one slash", lambda seen, request: "/" + seen["PATH_INFO"].lstrip("/")),
        cheroot=("one slash", lambda seen, request: "/" + seen["PATH_INFO"].lstrip("/")),
    ),
    view(
        "PATH_INFO of `OPTIONS *`",
        "target-asterisk",
        "PATH_INFO",
        "empty",
        "RFC 3875 §4.1.5: empty, or begins with a slash",
        waitress=("`*`", lambda seen, request: "*"),
        gunicorn=("`*`", lambda seen, request: "*"),
        cheroot=("`/*`", lambda seen, request: "/*"),
    ),
    view(
        "PATH_INFO of OPTIONS",
        "options",
        "PATH_INFO",
        "decoded",
        "PEP 3333, RFC 3875 §4.1.5",
        cheroot=("not decoded, and without `//a` at its start", lambda seen, request: undecoded(request)),
    ),
    view(
        "slash that is escaped in a path",
        "target-escaped-slash",
        "PATH_INFO",
        "`/`",
        "RFC 3875 §4.1.5: PATH_INFO is decoded; RAW_URI tells them apart",
        cheroot=("`%2F`", lambda seen, request: "/a%2Fb"),
    ),
    view(
        "scheme of an absolute-form target",
        "target-absolute-https",
        "wsgi.url_scheme",
        "the connection's",
        "PEP 3333: the scheme by which the application is reached. RFC 9110 §7.4 would have https refused there",
        cheroot=("with OPTIONS: the target's", lambda seen, request: "https"),
    ),
)


def sent(request, name):
    """The value of a header line, as the client sent it."""
    lines = [line.partition(b":") for line in request.data.partition(b"\r\n\r\n")[0].split(b"\r\n")]
    return next(value.strip().decode("latin-1") for key, _, value in lines if key.lower() == name)


def undecoded(request):
    path = request.target.partition(b"?")[0].decode("latin-1")
    if path.startswith("//"):
        path = path[2:].partition("/")[2]
    return path if path.startswith("/") else "/" + path
