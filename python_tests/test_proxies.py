"""Behind proxies, in the environ: whose word counts (`--forwarded-allow-ips` and what goes with it)."""

import contextlib

import pytest
from support.wire import Connection, message

#: Not among the proxies: any address of 127.0.0.0/8 is this machine's.
STRANGER = "127.0.0.9"

ALL = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "example.org"),
    ("X-Forwarded-Port", "8443"),
    ("X-Forwarded-Prefix", "/app"),
]
FORWARDED = [("Forwarded", 'for="[2001:db8::7]:4711";proto=https;host="example.org:8443"')]
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 4711 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xcb\0\x71\x07\xc6\x33\x64\x02\x12\x67\x01\xbb\x20\0\x05\x01\0\0\0\0"


def strings(answer):
    return answer.json()["strings"]


def seen(site, headers=(), source=None):
    with site.connect(source=source) as connection:
        return strings(connection.get("/a%20b", headers))


def plain(environ, site, client="127.0.0.1"):
    """Whether the environ is as without any proxy."""
    host, port = (site.address[0], str(site.address[1])) if isinstance(site.address, tuple) else ("localhost", "80")
    expected = {
        "REMOTE_ADDR": client,
        "SERVER_NAME": f"[{host}]" if ":" in host else host,
        "SERVER_PORT": port,
        "SCRIPT_NAME": "",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "test",
    }
    return {key: environ[key] for key in expected} == expected


@pytest.mark.parametrize(("listen", "client"), [("tcp", "127.0.0.1"), ("tcp6", "::1"), ("unix", "")])
def test_headers_mean_nothing_by_default(server, listen, client):
    site = server("apps.environ:app", listen=listen)
    environ = seen(site, [*ALL, *FORWARDED])
    assert plain(environ, site, client)
    # The application sees them as any other.
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.7"
    assert environ["HTTP_FORWARDED"] == FORWARDED[0][1]


@pytest.mark.parametrize(
    ("listen", "trusted"), [("tcp", "127.0.0.1"), ("tcp6", "::1"), ("unix", "unix"), ("unix", "*")]
)
def test_the_environ_is_the_clients_own_when_a_trusted_proxy_tells(server, listen, trusted):
    site = server("apps.environ:app", "--forwarded-allow-ips", f"10.0.0.0/8,{trusted}", listen=listen)
    environ = seen(site, ALL)
    assert environ["REMOTE_ADDR"] == "203.0.113.7"
    assert "REMOTE_PORT" not in environ
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["HTTP_HOST"], environ["SERVER_NAME"]) == ("example.org", "example.org")
    assert (environ["SERVER_PORT"], environ["SCRIPT_NAME"]) == ("8443", "/app")
    assert (environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/a b", "/a%20b")
    environ = seen(site, FORWARDED)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("2001:db8::7", "4711")
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "example.org:8443")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.org", "8443")
    # A chain: what the client wrote by itself stands to the left of what proxies wrote.
    chain = [("X-Forwarded-For", "6.6.6.6, 203.0.113.7"), ("X-Forwarded-For", "10.0.0.1")]
    assert seen(site, chain)["REMOTE_ADDR"] == "203.0.113.7"


def test_requests_of_one_connection_have_each_their_own_client(server):
    site = server("apps.environ:app", "--forwarded-allow-ips", "127.0.0.1")
    with site.connect() as connection:
        for n in range(1, 50):
            environ = strings(connection.get("/", [("X-Forwarded-For", f"203.0.113.{n}")]))
            assert environ["REMOTE_ADDR"] == f"203.0.113.{n}"
            environ = strings(connection.get("/"))
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", str(connection.port))
            assert plain(environ, site)


def test_a_stranger_is_never_believed(server):
    site = server("apps.environ:app", "--forwarded-allow-ips", "127.0.0.1,unix")
    for headers in (ALL, FORWARDED, [*ALL, *FORWARDED]):
        assert plain(seen(site, headers, STRANGER), site, STRANGER)


def test_only_the_named_headers_count(server):
    options = ("--forwarded-allow-ips", "127.0.0.1", "--forwarded-headers", "x-forwarded-for,X-Forwarded-Proto")
    site = server("apps.environ:app", *options)
    environ = seen(site, [*ALL, *FORWARDED])
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")
    assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == ("test", "")


@pytest.mark.parametrize("trusted", [(), ("--forwarded-allow-ips", "127.0.0.1")])
def test_what_is_not_believed_never_reaches_the_application_on_demand(server, trusted):
    site = server("apps.environ:app", "--clear-untrusted-proxy-headers", *trusted)
    environ = seen(site, [*ALL, *FORWARDED, ("X-Real-IP", "6.6.6.6")], STRANGER)
    assert plain(environ, site, STRANGER)
    left = [key for key in environ if key.startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED"))]
    assert (left, environ["HTTP_X_REAL_IP"]) == ([], "6.6.6.6")
    if trusted:
        assert seen(site, ALL)["HTTP_X_FORWARDED_PREFIX"] == "/app"


#: What would break out of a header, an environ value or a URL if it were believed.
HOSTILE = [
    ("X-Forwarded-Proto", "javascript"),
    ("X-Forwarded-Proto", "https://evil"),
    ("X-Forwarded-Host", "evil/path"),
    ("X-Forwarded-Host", "user@evil"),
    ("X-Forwarded-Host", "evil\\.example"),
    ("X-Forwarded-Host", "a b"),
    ("X-Forwarded-Host", "caf\u00e9"),
    ("X-Forwarded-Port", "80; DROP"),
    ("X-Forwarded-Port", "-1"),
    ("X-Forwarded-Prefix", "//evil.example"),
    ("X-Forwarded-Prefix", "/\\evil.example"),
    ("X-Forwarded-Prefix", "/a?b"),
    ("X-Forwarded-Prefix", "evil"),
    ("X-Forwarded-For", "<script>"),
    ("X-Forwarded-For", "127.1"),
    ("X-Forwarded-For", "0x7f.0.0.1"),
    ("X-Forwarded-For", "127.0.0.1%0a"),
    ("Forwarded", "for="),
    ("Forwarded", 'for="203.0.113.7'),
    ("Forwarded", "for=203.0.113.7;for=6.6.6.6"),
    ("Forwarded", "for=203.0.113.7, evil"),
    ("Forwarded", 'host="evil/path"'),
]


@pytest.fixture(scope="module")
def trusting(module_server):
    return module_server("apps.environ:app", "--forwarded-allow-ips", "127.0.0.1")


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_a_value_that_is_not_what_it_should_be_changes_nothing(trusting, name, value):
    assert plain(seen(trusting, [(name, value)]), trusting)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded"])
@pytest.mark.parametrize("break_", [b"\r", b"\n", b"\0", b"\r\n ", b"\n\t", b"\x7f"])
def test_a_control_character_in_a_header_of_a_proxy_is_refused_as_in_any(trusting, name, break_):
    with trusting.connect() as connection:
        head = message("GET", "/", [(name, "/a")])
        connection.send(head.replace(b"/a\r\n", b"/a" + break_ + b"X-Injected: yes\r\n"))
        assert connection.response().status == 400


def test_an_underscore_makes_no_header_of_a_proxy(trusting):
    environ = seen(trusting, [("X_Forwarded_For", "6.6.6.6"), ("X_FORWARDED_PROTO", "https")])
    assert plain(environ, trusting)
    assert "HTTP_X_FORWARDED_FOR" not in environ


# PROXY protocol


def speaking(server, version, *options, listen="tcp", trusted="127.0.0.1,unix"):
    return server(
        "apps.environ:app", "--proxy-protocol", version, "--forwarded-allow-ips", trusted, *options, listen=listen
    )


@pytest.mark.parametrize("listen", ["tcp", "unix"])
@pytest.mark.parametrize(("version", "header"), [("v1", V1), ("v2", V2), ("auto", V1), ("auto", V2)])
def test_a_proxy_header_names_the_client(server, version, header, listen):
    site = speaking(server, version, listen=listen)
    with site.connect() as connection:
        connection.send(header)
        for _ in range(3):
            environ = strings(connection.get("/"))
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.7", "4711")
            assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("198.51.100.2", "443")
            assert environ["wsgi.url_scheme"] == ("https" if header == V2 else "http")
            assert environ["HTTP_HOST"] == "test"


def test_a_proxy_header_of_ipv6_or_a_unix_socket_names_the_client(server):
    site = speaking(server, "auto")
    with site.connect() as connection:
        connection.send(b"PROXY TCP6 2001:db8::7 2001:db8::2 4711 443\r\n")
        environ = strings(connection.get("/"))
        assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"]) == ("2001:db8::7", "[2001:db8::2]")
    with site.connect() as connection:
        connection.send(V2[:13] + b"\x31\0\xd8" + bytes(216))
        environ = strings(connection.get("/"))
        assert environ["REMOTE_ADDR"] == ""
        assert "REMOTE_PORT" not in environ


def test_a_connection_without_its_proxy_header_is_closed_unanswered_and_logged(server):
    site = speaking(server, "auto")
    assert site.raw(message("GET", "/")) == b""
    site.wait_for_log(r"\[INFO\] connection of 127\.0\.0\.1 closed: no PROXY header$")
    # Told again in a while only: whoever connects must not fill the log.
    for _ in range(20):
        assert site.raw(message("GET", "/")) == b""
    assert site.log.count(" closed: ") == 1


def test_a_stranger_with_a_proxy_header_is_closed_unanswered_and_logged(server):
    site = speaking(server, "auto")
    with site.connect(source=STRANGER) as connection:
        # It may be closed already.
        with contextlib.suppress(ConnectionError):
            connection.send(V1 + message("GET", "/"))
        assert connection.ended()
    site.wait_for_log(r"\[INFO\] connection of 127\.0\.0\.9 closed: it is not in --forwarded-allow-ips")


def test_proxy_headers_and_forwarded_headers_go_together(server):
    site = speaking(server, "v1", trusted="127.0.0.1,10.0.0.0/8")
    for address, client in [("10.0.0.5", "203.0.113.99"), ("203.0.113.7", "203.0.113.7")]:
        with site.connect() as connection:
            connection.send(f"PROXY TCP4 {address} 198.51.100.2 4711 443\r\n".encode())
            environ = strings(connection.get("/", [("X-Forwarded-For", "203.0.113.99")]))
            assert environ["REMOTE_ADDR"] == client


def test_many_connections_that_owe_their_proxy_header_hold_nobody_up(server):
    site = speaking(server, "auto")
    waiting = [Connection(site.address) for _ in range(300)]
    for n, connection in enumerate(waiting):
        connection.send(V1[: n % 20])
    with site.connect() as connection:
        connection.send(V1)
        for _ in range(50):
            assert connection.get("/").status == 200
    for n, connection in enumerate(waiting):
        connection.send(V1[n % 20 :])
        assert strings(connection.get("/"))["REMOTE_ADDR"] == "203.0.113.7"
        connection.close()


def test_a_proxy_header_goes_with_a_list_of_proxies_only(command):
    done = command("--proxy-protocol", "v1", "apps.environ:app")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--proxy-protocol" in done.stderr
    assert "--forwarded-allow-ips" in done.stderr


def test_a_list_that_is_none_is_told_in_one_line(command):
    done = command("--forwarded-allow-ips", "10.0.0.0/33", "apps.environ:app")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert '"10.0.0.0/33" is no address or network' in done.stderr
