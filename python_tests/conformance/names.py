"""Header names on their way to the environ: RFC 9110 section 5.3, RFC 6265 section 5.4, PEP 3333."""

from .model import End, get, head, post, served


def told(name, rule, *lines, **environ):
    return served(name, rule, get(*lines), environ=environ)


UNDERSCORES = [
    told("a name with an underscore is not told", "9110 §17.10", "X_User: root", HTTP_X_USER=None),
    told(
        "an underscore never shadows a hyphen that comes first",
        "9110 §17.10",
        "X-User: me",
        "X_User: root",
        HTTP_X_USER="me",
    ),
    told(
        "an underscore never shadows a hyphen that comes last",
        "9110 §17.10",
        "X_User: root",
        "X-User: me",
        HTTP_X_USER="me",
    ),
    told(
        "one underscore of two separators is enough",
        "9110 §17.10",
        "X-Forwarded_For: 1.1.1.1",
        "X-Forwarded-For: 2.2.2.2",
        HTTP_X_FORWARDED_FOR="2.2.2.2",
    ),
    told(
        "Content_Type is no Content-Type", "9110 §17.10", "Content_Type: a/b", CONTENT_TYPE=None, HTTP_CONTENT_TYPE=None
    ),
    told(
        "Content_Length is no Content-Length",
        "9110 §17.10",
        "Content_Length: 5",
        CONTENT_LENGTH=None,
        HTTP_CONTENT_LENGTH=None,
    ),
    told("a name that begins with an underscore is not told", "9110 §17.10", "_A: b", HTTP__A=None),
    told("a name of an underscore is not told", "9110 §17.10", "_: b", HTTP__=None),
    told("Remote_User is not told", "9110 §17.10", "Remote_User: root", REMOTE_USER=None, HTTP_REMOTE_USER=None),
    told("HTTP_HOST is no Host", "9110 §17.10", "HTTP_HOST: y", HTTP_HOST="x", HTTP_HTTP_HOST=None),
    told("Cookie with an underscore is not told", "9110 §17.10", "Set_Cookie: a=b", HTTP_SET_COOKIE=None),
]

JOINED = [
    told("two lines of a header are joined in order", "9110 §5.3", "A: 1", "A: 2", HTTP_A="1, 2"),
    told("lines are joined across others", "9110 §5.3", "A: 1", "B: x", "A: 2", "C: y", "A: 3", HTTP_A="1, 2, 3"),
    told("lines are joined whatever their case", "9110 §5.3", "a: 1", "A: 2", HTTP_A="1, 2"),
    told("an empty line is joined as one", "9110 §5.3", "A: 1", "A:", "A: 2", HTTP_A="1, , 2"),
    told(
        "lists are joined as they are",
        "9110 §5.3",
        "Accept: a/b;q=0.5, c/d",
        "Accept: */*",
        HTTP_ACCEPT="a/b;q=0.5, c/d, */*",
    ),
    told(
        "two Cookie lines are joined by semicolons", "6265 §5.4", "Cookie: a=1", "Cookie: b=2", HTTP_COOKIE="a=1; b=2"
    ),
    told(
        "Cookie lines keep their case and order",
        "6265 §5.4",
        "cookie: B=2",
        "COOKIE: a=1; c=3",
        HTTP_COOKIE="B=2; a=1; c=3",
    ),
    told("one Cookie line is told as it is", "6265 §5.4", "Cookie: a=1; b=2", HTTP_COOKIE="a=1; b=2"),
    told(
        "two X-Forwarded-For lines are joined",
        "9110 §5.3",
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-For: 2.2.2.2",
        HTTP_X_FORWARDED_FOR="1.1.1.1, 2.2.2.2",
    ),
    told("lines with bytes above ASCII are joined", "9110 §5.3", "A: \xe9", "A: \xff", HTTP_A="\xe9, \xff"),
]

CGI = [
    told(
        "Content-Type has no prefix",
        "3875 §4.1.3",
        "Content-Type: a/b; c=d",
        CONTENT_TYPE="a/b; c=d",
        HTTP_CONTENT_TYPE=None,
    ),
    told(
        "Content-Length has no prefix", "3875 §4.1.2", "Content-Length: 0", CONTENT_LENGTH="0", HTTP_CONTENT_LENGTH=None
    ),
    told("Proxy is not told", "3875 §4.1.18", "Proxy: http://evil", HTTP_PROXY=None),
    told("proxy in lower case is not told", "3875 §4.1.18", "pROXY: http://evil", HTTP_PROXY=None),
    told(
        "Proxy-Authorization is told",
        "3875 §4.1.18",
        "Proxy-Authorization: Basic eA==",
        HTTP_PROXY_AUTHORIZATION="Basic eA==",
    ),
    told("Authorization is told", "3875 §4.1.18", "Authorization: Basic eA==", HTTP_AUTHORIZATION="Basic eA=="),
    told(
        "Remote-User is a header and no user",
        "3875 §4.1.11",
        "Remote-User: root",
        REMOTE_USER=None,
        HTTP_REMOTE_USER="root",
    ),
    told(
        "Request-Method is a header and no method",
        "3875 §4.1.12",
        "Request-Method: PUT",
        REQUEST_METHOD="GET",
        HTTP_REQUEST_METHOD="PUT",
    ),
    told("Path-Info is a header and no path", "3875 §4.1.5", "Path-Info: /y", PATH_INFO="/", HTTP_PATH_INFO="/y"),
    told("Script-Name is a header and no mount", "3333", "Script-Name: /y", SCRIPT_NAME="", HTTP_SCRIPT_NAME="/y"),
    told("Wsgi.Url-Scheme is a header and no scheme", "3333", "wsgi.url-scheme: https", **{"wsgi.url_scheme": "http"}),
    told(
        "X-Forwarded-Proto changes no scheme by itself",
        "3333",
        "X-Forwarded-Proto: https",
        **{"wsgi.url_scheme": "http"},
    ),
    told(
        "X-Forwarded-For changes no address by itself",
        "3333",
        "X-Forwarded-For: 9.9.9.9",
        HTTP_X_FORWARDED_FOR="9.9.9.9",
    ),
    told("Https is a header and no scheme", "3333", "Https: on", HTTPS=None, HTTP_HTTPS="on"),
    told("a name with dots is told with them", "9110 §5.1", "A.B: c", **{"HTTP_A.B": "c"}),
    told("a name with a trailing hyphen is told with it", "9110 §5.1", "A-: b", HTTP_A_="b", HTTP_A=None),
]

HOP_BY_HOP = [
    told(f"{name} reaches the application, which is the last hop", "9110 §7.6.1", f"{name}: {value}", **{key: value})
    for name, value, key in (
        ("Connection", "keep-alive", "HTTP_CONNECTION"),
        ("Keep-Alive", "timeout=5", "HTTP_KEEP_ALIVE"),
        ("TE", "trailers", "HTTP_TE"),
        ("Trailer", "A", "HTTP_TRAILER"),
        ("Upgrade", "foo", "HTTP_UPGRADE"),
        ("Via", "1.1 proxy", "HTTP_VIA"),
        ("Max-Forwards", "0", "HTTP_MAX_FORWARDS"),
    )
] + [
    served(
        "a header named by Connection reaches the application",
        "9110 §7.6.1",
        get("Connection: close, A", "A: b"),
        environ={"HTTP_A": "b", "HTTP_CONNECTION": "close, A"},
        end=End.CLOSED,
    ),
    served(
        "TRACE is the application's, Max-Forwards and all",
        "9110 §9.3.8",
        head("TRACE /t HTTP/1.1", "Host: x", "Max-Forwards: 0"),
        method="TRACE",
        target="/t",
        environ={"HTTP_MAX_FORWARDS": "0"},
    ),
    served(
        "a form's type and length are told",
        "3875 §4.1.2",
        post("Content-Type: application/x-www-form-urlencoded", "Content-Length: 3", body=b"a=b"),
        method="POST",
        body=b"a=b",
        environ={"CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": "3"},
    ),
]

CASES = [*UNDERSCORES, *JOINED, *CGI, *HOP_BY_HOP]
