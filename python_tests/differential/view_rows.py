"""Known differences in what the application sees of a request that both servers took (PEP 3333)."""

from .rows import ALL, view

VIEWS = (
    view(
        "CONTENT_LENGTH of a chunked body",
        "chunked",
        "CONTENT_LENGTH",
        "absent",
        'PEP 3333 "environ Variables": as in the request; `wsgi.input_terminated` says that the body ends',
        waitress=("the size of the body, which it has read", lambda seen, request: str(body_size(seen))),
    ),
    view(
        "HTTP_TRANSFER_ENCODING",
        "chunked",
        "HTTP_TRANSFER_ENCODING",
        "as sent",
        "PEP 3333: HTTP_ variables are the client's headers",
        waitress=("absent", lambda seen, request: None),
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
        "repeated Content-Type",
        "field-type-repeated",
        "CONTENT_TYPE",
        "joined by `, `",
        "RFC 9110 §8.3: a sender's mistake; what to make of it is open",
        cheroot=("the last one", lambda seen, request: "text/b"),
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
        "field-underscore",
        "HTTP_TRANSFER_ENCODING",
        "absent",
        "no header of HTTP",
        cheroot=("present", lambda seen, request: "chunked"),
    ),
    view(
        "Content_Length",
        "field-underscore",
        "CONTENT_LENGTH",
        "absent, or Content-Length's",
        "no header of HTTP",
        cheroot=("Content_Length's, which frames the body", lambda seen, request: "3"),
    ),
    view(
        "body behind Content_Length",
        "field-underscore",
        "body",
        "as Content-Length says",
        "no header of HTTP",
        cheroot=("cut", lambda seen, request: "aGVs"),
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
        **dict.fromkeys(("waitress", "gunicorn"), ("Host's", lambda seen, request: "x.test")),
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
        "PATH_INFO of OPTIONS",
        "options",
        "PATH_INFO",
        "decoded, `*` as it is",
        "PEP 3333, RFC 3875 §4.1.5",
        cheroot=("not decoded, a slash before `*`", lambda seen, request: undecoded(request)),
    ),
)


def body_size(seen):
    """The bytes of a body in Base64."""
    return len(seen["body"]) * 3 // 4 - seen["body"].count("=")


def undecoded(request):
    path = request.target.partition(b"?")[0].decode("latin-1")
    return path if path.startswith("/") else "/" + path
