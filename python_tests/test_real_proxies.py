"""Real nginx and HAProxy in front, on tcp and unix sockets: what they say of clients, and traffic through them."""

import hashlib
import subprocess

import pytest
from support.process import HERE
from support.proxies import STREAM_MODULE, Proxies, find, version
from support.waiting import soon
from support.wire import Closed, Truncated, message

#: Where clients come from, and addresses that proxies connect from: any of 127.0.0.0/8 is this machine's.
CLIENT, OUTER, INNER = "127.0.0.9", "127.0.0.3", "127.0.0.2"

#: What a client makes up to seem another.
SPOOFED = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
]

#: What docs/operations.md recommends.
NGINX_HEADERS = """
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
"""
HAPROXY_HEADERS = """
    option forwardfor
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
"""
NAMED = ("--forwarded-headers", "x-forwarded-for,x-forwarded-proto")


@pytest.fixture
def proxies(tmp_path, server):
    """Starts proxies; ended before the servers behind them."""
    for name in ("nginx", "haproxy"):
        if find(name) is None:
            pytest.skip(f"{name} is not installed: .ci/install-servers")
    made = Proxies(tmp_path)
    try:
        yield made
    finally:
        made.clean_up()


@pytest.fixture(params=["tcp", "unix"])
def listen(request):
    return request.param


@pytest.fixture(params=["nginx", "haproxy"])
def front(request, proxies):
    """A function that puts a proxy with the recommended headers in front of a server."""

    def put(site, headers=True):
        if request.param == "nginx":
            return proxies.nginx(site, location=NGINX_HEADERS if headers else "proxy_set_header Host $http_host;")
        return proxies.haproxy(site, frontend=HAPROXY_HEADERS if headers else "")

    return put


def behind(server, listen, *options, application="apps.behind:app"):
    """A server that trusts whoever stands in front of it."""
    trusted = "unix" if listen == "unix" else "127.0.0.1"
    return server(application, "--forwarded-allow-ips", trusted, *options, listen=listen)


def digest_of(pieces):
    return hashlib.sha256(bytes(range(256)) * 256 * pieces).hexdigest()


# What they say of clients


def test_the_client_is_who_connected_to_the_proxy(server, front, listen):
    proxy = front(behind(server, listen, *NAMED))
    environ = proxy.get("/who", source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert "REMOTE_PORT" not in environ
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("http", "test", "80")
    assert environ["HTTP_X_FORWARDED_FOR"] == CLIENT


def test_a_client_cannot_seem_another(server, front, listen):
    proxy = front(behind(server, listen, *NAMED, "--clear-untrusted-proxy-headers"))
    environ = proxy.get("/who", SPOOFED, source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("http", "test", "80")
    assert environ["SCRIPT_NAME"] == ""
    left = {key for key in environ if key.startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED"))}
    assert left == {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"}
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"


def test_nobody_is_believed_without_being_asked(server, front, listen):
    proxy = front(server("apps.behind:app", listen=listen))
    environ = proxy.get("/who", SPOOFED, source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == ("127.0.0.1" if listen == "tcp" else "")
    assert (environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == ("http", "")


def test_clients_that_share_a_connection_to_the_server_are_told_apart(server, front, listen):
    proxy = front(behind(server, listen, *NAMED))
    clients = [f"127.0.1.{n}" for n in range(1, 30)]
    for _ in range(2):
        assert [proxy.get("/who", source=one).json()["REMOTE_ADDR"] for one in clients] == clients


def test_host_port_and_prefix_come_from_the_proxy(server, proxies, listen):
    headers = """
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Forwarded-Host shop.example;
        proxy_set_header X-Forwarded-Port 8443;
        proxy_set_header X-Forwarded-Prefix /shop;
    """
    proxy = proxies.nginx(behind(server, listen), location=headers)
    environ = proxy.get("/who", SPOOFED, source=CLIENT).json()
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")
    assert (environ["HTTP_HOST"], environ["SERVER_NAME"]) == ("shop.example", "shop.example")
    assert (environ["SERVER_PORT"], environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("8443", "/shop", "/who")


def test_rfc_7239_forwarded_of_haproxy_names_the_client(server, proxies, listen):
    # HAProxy writes the header by itself from 2.8 on.
    says = (
        "option forwarded proto host for for_port"
        if version("haproxy") >= (2, 8)
        else "http-request set-header Forwarded "
        '\'for="%[src]:%[src_port]";proto=%[ssl_fc,iif(https,http)];host="%[req.hdr(host)]"\''
    )
    proxy = proxies.haproxy(behind(server, listen, "--forwarded-headers", "forwarded"), backend=says)
    with proxy.connect(CLIENT) as connection:
        environ = connection.get("/who", [("Host", "shop.example:8080"), *SPOOFED]).json()
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (CLIENT, str(connection.port))
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "shop.example:8080")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("shop.example", "8080")


def test_a_chain_of_two_proxies_is_walked_to_its_client(server, proxies):
    site = server("apps.behind:app", "--forwarded-allow-ips", f"{INNER},{OUTER}", *NAMED)
    # The inner proxy passes on what the outer one says of the scheme.
    inner = proxies.nginx(
        site,
        location=f"""
            proxy_bind {INNER};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        """,
    )
    outer = proxies.haproxy(inner, frontend=HAPROXY_HEADERS, server=f"source {OUTER}")
    environ = outer.get("/who", SPOOFED, source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == CLIENT
    # HAProxy adds a line, which nginx joins with those before it.
    assert environ["HTTP_X_FORWARDED_FOR"].replace(" ", "").split(",") == ["6.6.6.6", CLIENT, OUTER]
    assert environ["wsgi.url_scheme"] == "http"
    # Who goes round the outer proxy is named by the inner one.
    environ = inner.get("/who", SPOOFED[:1], source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == CLIENT


# PROXY protocol

SENDS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2 with checksum and more": "send-proxy-v2 proxy-v2-options crc32c,authority,unique-id",
}


@pytest.mark.parametrize("sends", SENDS)
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_a_proxy_header_of_haproxy_names_the_client(server, proxies, listen, mode, sends):
    for accepted in (sends[:2], "auto"):
        site = behind(server, listen, "--proxy-protocol", accepted)
        unique = "unique-id-format %{+X}o%ci:%cp" if "unique" in SENDS[sends] else ""
        proxy = proxies.haproxy(site, frontend=unique, server=SENDS[sends], mode=mode)
        with proxy.connect(CLIENT) as connection:
            for _ in range(3):
                environ = connection.get("/who", SPOOFED).json()
                assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (CLIENT, str(connection.port))
                assert environ["SERVER_PORT"] == str(proxy.address[1])
                assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "test")
                assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize("header", ["PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
def test_a_client_cannot_send_a_proxy_header_through_the_proxy(server, proxies, header):
    proxy = proxies.haproxy(behind(server, "tcp", "--proxy-protocol", "auto"), server="send-proxy-v2", mode="tcp")
    with proxy.connect(CLIENT) as connection:
        connection.send(header.encode("latin-1") + message("GET", "/who"))
        assert connection.response().status == 400


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2"])
def test_health_checks_of_haproxy_pass_and_are_the_proxys_own(server, proxies, listen, sends):
    site = behind(server, listen, "--proxy-protocol", "auto")
    proxy = proxies.haproxy(
        site,
        backend="option httpchk\n    http-check send meth GET uri /who ver HTTP/1.1 hdr Host check",
        server=f"{sends} check-send-proxy check inter 50ms fall 1",
    )

    def checks():
        return proxy.get("/state", source=CLIENT).json().get("check", [])

    soon(lambda: len(checks()) > 5)
    assert set(checks()) == {"127.0.0.1" if listen == "tcp" else ""}
    assert proxy.get("/who", source=CLIENT).json()["REMOTE_ADDR"] == CLIENT
    assert " is DOWN" not in proxy.log
    assert " closed: " not in site.log


def test_a_proxy_header_says_that_the_client_came_over_tls(server, proxies, listen, tmp_path):
    openssl = find("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, and makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=30,
        env={"OPENSSL_CONF": "/dev/null"},
    )
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    site = behind(server, listen, "--proxy-protocol", "v2")
    proxy = proxies.haproxy(site, bind=f" ssl crt {both}", server="send-proxy-v2-ssl-cn", mode="tcp")
    with proxy.connect(CLIENT) as connection:
        connection.start_tls()
        environ = connection.get("/who").json()
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")


def test_nginx_sends_a_proxy_header_too(server, proxies, listen):
    if not STREAM_MODULE.exists():
        pytest.skip(f"nginx has no {STREAM_MODULE}: .ci/install-servers")
    proxy = proxies.nginx(behind(server, listen, "--proxy-protocol", "v1"), stream=True)
    with proxy.connect(CLIENT) as connection:
        environ = connection.get("/who", SPOOFED).json()
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (CLIENT, str(connection.port))
        assert environ["wsgi.url_scheme"] == "http"


def test_haproxy_tells_nginx_who_tells_the_server(server, proxies, listen):
    """PROXY protocol as far as nginx, X-Forwarded-For from there."""
    realip = "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
    site = behind(server, listen, *NAMED)
    inner = proxies.nginx(site, location=NGINX_HEADERS, server=realip, listen=" proxy_protocol")
    outer = proxies.haproxy(inner, server="send-proxy-v2", mode="tcp")
    environ = outer.get("/who", SPOOFED, source=CLIENT).json()
    assert environ["REMOTE_ADDR"] == CLIENT


# Traffic through them


def test_a_hundred_requests_of_one_client_all_succeed(server, front, listen):
    proxy = front(behind(server, listen, *NAMED))
    with proxy.connect() as connection:
        for n in range(100):
            answer = connection.request("POST", "/upload", body=b"x" * n)
            assert (answer.status, answer.json()["size"]) == (200, n)


def test_proxies_keep_their_connections_to_the_server(server, front):
    """Not trusted, they are the clients: the port tells their connections apart."""
    proxy = front(server("apps.behind:app"))
    with proxy.connect() as connection:
        ports = {connection.get("/who").json()["REMOTE_PORT"] for _ in range(100)}
    assert len(ports) == 1


def test_large_bodies_pass_both_ways(server, front, listen):
    proxy = front(behind(server, listen, *NAMED, "--max-body", "0"))
    pieces = 1024  # of 64 KiB
    with proxy.connect() as connection:
        answer = connection.request("POST", "/upload", body=bytes(range(256)) * 256 * pieces)
        assert answer.json() == {"size": pieces * 65536, "digest": digest_of(pieces)}
        for query in ("", "&sized=yes"):
            answer = connection.get(f"/download?pieces={pieces}{query}")
            assert hashlib.sha256(answer.body).hexdigest() == digest_of(pieces)


def test_chunks_pass_both_ways(server, front, listen):
    proxy = front(behind(server, listen, *NAMED))
    with proxy.connect() as connection:
        for _ in range(3):
            chunks = [b"x" * size for size in (1, 10_000, 3, 70_000)]
            assert connection.request("POST", "/upload", chunks=chunks).json()["size"] == 80_004
            answer = connection.get("/download?pieces=10")
            assert (answer["Transfer-Encoding"], len(answer.body)) == ("chunked", 10 * 65536)


def test_answers_without_a_body_pass(server, front, listen):
    proxy = front(behind(server, listen, *NAMED))
    with proxy.connect() as connection:
        for _ in range(10):
            assert connection.request("HEAD", "/download?pieces=3&sized=yes")["Content-Length"] == str(3 * 65536)
            for status in ("304 Not Modified", "204 No Content"):
                answer = connection.get(f"/bodiless?status={status.replace(' ', '%20')}")
                assert (answer.status, answer["ETag"], answer.body) == (int(status[:3]), '"x"', b"")
            assert connection.get("/who").status == 200


def test_a_client_that_leaves_during_an_upload_is_noticed(server, front, listen):
    # A second thread, to look at what becomes of the first.
    proxy = front(behind(server, listen, *NAMED, "--threads", "2"))
    with proxy.connect() as connection:
        connection.send(message("POST", "/upload", [("Content-Length", "50000000")]) + b"x" * 1_000_000)
        soon(lambda: proxy.get("/state").json().get("size", 0) > 0)
        connection.reset()
    soon(lambda: proxy.get("/state").json()["upload"] == "broken off")


def test_a_client_that_leaves_during_a_download_is_noticed(server, front, listen):
    # A second thread, to look at what becomes of the first.
    proxy = front(behind(server, listen, *NAMED, "--threads", "2"))
    with proxy.connect() as connection:
        connection.ask("GET", "/download?pieces=100000")
        connection.head()
        connection.reset()
    soon(lambda: proxy.get("/state").json().get("download") == "closed early")


def test_an_answer_that_breaks_off_never_looks_complete_to_the_client(server, front, listen):
    """nginx and HAProxy pass a broken answer on as a broken one only if they can tell."""
    proxy = front(behind(server, listen, application="apps.misbehaving:app"))
    for path in ("/raises_after_head", "/raises_after_sized_head"):
        with proxy.connect() as connection, pytest.raises((Truncated, Closed)):
            connection.get(path)


def test_a_refusal_reaches_the_client(server, front, listen):
    proxy = front(behind(server, listen, *NAMED, "--max-body", "10"))
    answer = proxy.request("POST", "/upload", body=b"x" * 11)
    assert answer.status == 413


# What is shipped

EXAMPLES = HERE.parent / "examples"


@pytest.fixture(params=["nginx/chaussette.conf", "haproxy/haproxy.cfg"])
def front_by_example(request, proxies):
    shipped = EXAMPLES / request.param
    if not shipped.exists():
        pytest.skip(f"examples/{request.param} is not beside this suite")
    return request.param, lambda site: proxies.by_example(shipped, site)


def test_the_shipped_configurations_serve_and_say_who_the_client_is(server, front_by_example):
    name, start = front_by_example
    site = behind(server, "unix", *NAMED, "--clear-untrusted-proxy-headers")
    proxy = start(site)
    assert proxy.get("/who", SPOOFED, source=CLIENT).json()["REMOTE_ADDR"] == CLIENT, name
    with proxy.connect() as connection:
        assert connection.request("POST", "/upload", body=b"x" * 1_000_000).json()["size"] == 1_000_000
        environ = connection.get("/who", [("Host", "example.org:8080")]).json()
        assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("example.org:8080", "8080")
