"""environ, as PEP 3333 "environ Variables" and RFC 3875 want it, and what is ours in it."""

import pytest
from support.isolation import SEVERAL
from support.wire import message


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.environ:app", env={"SECRET_OF_THE_PROCESS": "never in environ"})


def strings(site, target="/", headers=(), **more):
    return site.request(more.pop("method", "GET"), target, headers, **more).json()["strings"]


def test_environ_is_a_builtin_dict(site):
    assert site.get().json()["environ_type"] == "builtins.dict"


def test_every_key_and_cgi_value_is_a_native_string(site):
    seen = site.get("/caf%C3%A9?q=1", [("X-Latin", "caf\u00e9")]).json()
    assert seen["key_types"] == ["str"]
    cgi = {key: kind for key, kind in seen["types"].items() if "." not in key}
    assert set(cgi.values()) == {"str"}, cgi
    assert seen["above_latin_1"] == []


def test_the_required_keys_are_there(site):
    required = {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT"}
    required |= {"SERVER_PROTOCOL", "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors"}
    required |= {"wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.file_wrapper"}
    required |= {"wsgi.input_terminated", "chaussette.interpreter"}
    assert required <= set(site.get().json()["types"])


def test_wsgi_version_is_1_0(site):
    assert site.get().json()["version"] == "(1, 0)"


def test_the_url_scheme_is_http(site):
    assert strings(site)["wsgi.url_scheme"] == "http"


def test_the_flags_are_bools_and_the_input_says_it_is_terminated(site):
    seen = site.get().json()
    assert all(seen["types"][f"wsgi.{name}"] == "bool" for name in ("multithread", "multiprocess", "run_once"))
    assert seen["flags"][3] is True


def test_the_interpreter_is_numbered_from_0(site):
    seen = site.get().json()
    assert (seen["types"]["chaussette.interpreter"], seen["interpreter"]) == ("int", 0)


def test_the_streams_have_the_methods_of_pep_3333(site):
    methods = site.get().json()["methods"]
    assert methods["wsgi.input"] == ["read", "readline", "readlines", "__iter__"]
    assert methods["wsgi.errors"] == ["write", "writelines", "flush"]


def test_the_environment_of_the_process_does_not_leak_in(site):
    seen = site.get().json()["types"]
    assert "SECRET_OF_THE_PROCESS" not in seen
    assert not {"PATH", "HOME", "LC_CTYPE", "LISTEN_PID"} & set(seen)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"])
def test_the_method_arrives_as_sent(site, method):
    assert strings(site, method=method)["REQUEST_METHOD"] == method


def test_the_protocol_is_the_clients(site):
    assert strings(site)["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert strings(site, version="1.0")["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a/b", "/a/b", ""),
        ("/a/b/?c=d&e=f", "/a/b/", "c=d&e=f"),
        ("/caf%C3%A9", "/caf\u00c3\u00a9", ""),
        ("/caf%E9", "/caf\u00e9", ""),
        ("/%61%2e", "/a.", ""),
        ("/a%2Fb", "/a/b", ""),
        ("/a%20b+c", "/a b+c", ""),
        ("/a%3Fb?c", "/a?b", "c"),
        ("/a;p=1?x;y", "/a;p=1", "x;y"),
        ("//double//slash", "//double//slash", ""),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/?q=caf%C3%A9%20%2F", "/", "q=caf%C3%A9%20%2F"),
        ("/?a?b", "/", "a?b"),
        ("/100%", "/100%", ""),
        ("/a%2", "/a%2", ""),
        ("/%00", "/\0", ""),
        ("/%e9%ff%c3", "/\u00e9\u00ff\u00c3", ""),
        ("/%2F//a", "////a", ""),
        ("//", "//", ""),
        ("//host/x", "//host/x", ""),
        ("/..", "/..", ""),
        ("/%2e%2e/%2E/x", "/.././x", ""),
        ("/;p", "/;p", ""),
        ("/?%3F=%23", "/", "%3F=%23"),
        ("/%zz%4", "/%zz%4", ""),
        ("/~user/:@!$&'()*,=", "/~user/:@!$&'()*,=", ""),
    ],
)
def test_the_path_is_decoded_as_latin_1_and_the_query_left_alone(site, target, path, query):
    seen = strings(site, target)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("", path, query)


@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
def test_the_target_is_there_undecoded(site, key):
    assert strings(site, "/a%2Fb/caf%C3%A9?q=%20")[key] == "/a%2Fb/caf%C3%A9?q=%20"


@pytest.mark.parametrize("target", ["/caf\u00e9", "/?q=\u00ff", "/caf\u00c3\u00a9"])
def test_a_target_that_is_not_ascii_never_reaches_the_application(site, target):
    """RFC 3986 section 2: such bytes are percent-encoded."""
    assert site.get(target).status == 400


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://h.example", "/", ""),
        ("http://h.example?x=1", "/", "x=1"),
        ("http://h.example/?", "/", ""),
        ("http://h.example//a%2Fb?c", "//a/b", "c"),
        ("HTTP://h.example/a", "/a", ""),
        ('/"<a>?b="`', '/"<a>', 'b="`'),
        ("/a?b#c?d", "/a", "b"),
    ],
)
def test_a_target_is_split_as_a_uri_and_shown_as_it_was_sent(site, target, path, query):
    seen = strings(site, target)
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == (path, query)
    assert (seen["REQUEST_URI"], seen["RAW_URI"]) == (target, target)


def test_the_url_can_be_reconstructed(site):
    """PEP 3333 "URL Reconstruction", by wsgiref's own function."""
    from wsgiref.util import application_uri, request_uri

    for target in ("/a/b?c=d", "/caf%C3%A9?", "/", "/a%20b?%20"):
        for host in ("some.example:8080", "some.example"):
            seen = strings(site, target, [("Host", host)])
            assert request_uri(seen) == f"http://{host}{target.removesuffix('?')}"
            assert application_uri(seen) == f"http://{host}/"
    with site.connect() as connection:
        connection.send(b"GET /a HTTP/1.0\r\n\r\n")
        seen = connection.response().json()["strings"]
    assert request_uri(seen) == f"http://{seen['SERVER_NAME']}:{seen['SERVER_PORT']}/a"


def test_a_target_in_absolute_form_gives_its_path_and_host(site):
    """RFC 9112 section 3.2.2: the host of the target replaces the Host field."""
    seen = strings(site, "http://absolute.example:81/path?q=1", [("Host", "other.example")])
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/path", "q=1")
    assert seen["HTTP_HOST"] == "absolute.example:81"


def test_options_of_the_whole_server_is_answered(site):
    """RFC 9112 section 3.2.4: the asterisk form."""
    seen = strings(site, "*", method="OPTIONS")
    # RFC 3875 section 4.1.5: PATH_INFO is empty or begins with a slash; wsgiref.validate insists.
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"], seen["REQUEST_URI"]) == ("", "", "", "*")


def test_content_type_and_length_are_absent_when_not_sent(site):
    seen = site.get().json()["types"]
    assert "CONTENT_TYPE" not in seen
    assert "CONTENT_LENGTH" not in seen


def test_content_type_and_length_are_there_when_sent_and_have_no_http_twin(site):
    seen = strings(site, method="POST", headers=[("Content-Type", "text/x; a=b")], body=b"abc")
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"]) == ("text/x; a=b", "3")
    assert "HTTP_CONTENT_TYPE" not in seen
    assert "HTTP_CONTENT_LENGTH" not in seen


def test_a_length_of_0_that_was_sent_is_there(site):
    assert strings(site, method="POST", headers=[("Content-Length", "0")])["CONTENT_LENGTH"] == "0"


def test_a_chunked_body_is_framed_anew(site):
    """RFC 9112 section 7.1.3: the chunks are gone, so who reads Transfer-Encoding would decode twice."""
    seen = strings(site, method="POST", chunks=[b"abc", b"def"])
    assert "HTTP_TRANSFER_ENCODING" not in seen
    assert seen["CONTENT_LENGTH"] == "6"


def test_a_large_chunked_body_has_no_length(site):
    seen = strings(site, method="POST", chunks=[b"x" * 300_000])
    assert not {"HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH"} & set(seen)


def test_a_header_becomes_http_name(site):
    seen = strings(site, headers=[("X-Some-Thing", "value"), ("accept", "*/*"), ("Host", "some.host:80")])
    assert seen["HTTP_X_SOME_THING"] == "value"
    assert seen["HTTP_ACCEPT"] == "*/*"
    assert seen["HTTP_HOST"] == "some.host:80"


def test_repeated_headers_are_joined_in_order(site):
    """RFC 9110 section 5.3: with a comma; RFC 6265 section 5.4: cookies with a semicolon."""
    headers = [("X-Many", "one"), ("Cookie", "a=1"), ("X-Many", "two, three"), ("Cookie", "b=2")]
    seen = strings(site, headers=headers)
    assert [part.strip() for part in seen["HTTP_X_MANY"].split(",")] == ["one", "two", "three"]
    assert [part.strip() for part in seen["HTTP_COOKIE"].split(";")] == ["a=1", "b=2"]


def test_a_header_value_is_stripped_and_may_be_empty(site):
    with site.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-Padded:  \t padded out\t \r\nX-Empty:\r\n\r\n")
        seen = connection.response().json()["strings"]
    assert seen["HTTP_X_PADDED"] == "padded out"
    assert seen["HTTP_X_EMPTY"] == ""


def test_header_bytes_arrive_as_latin_1(site):
    assert strings(site, headers=[("X-Latin", "caf\u00e9 \u00ff\u00a0x")])["HTTP_X_LATIN"] == "caf\u00e9 \u00ff\u00a0x"


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_with_underscores_never_shadows_the_one_with_hyphens(site, order):
    seen = strings(site, headers=[("X-User", "real"), ("X_User", "forged")][::order])
    assert seen["HTTP_X_USER"] == "real"


def test_a_name_with_underscores_alone_does_not_reach_the_application(site):
    seen = strings(site, headers=[("X_User", "forged"), ("Content_Length", "5"), ("Content_Type", "forged")])
    assert not {"HTTP_X_USER", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & set(seen)


def test_the_client_of_a_tcp_connection_is_named(site):
    with site.connect() as connection:
        seen = connection.get("/").json()["strings"]
        assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(connection.port))


def test_an_adopted_tcp_socket_gives_its_real_name_and_port(site):
    seen = strings(site, headers=[("Host", "elsewhere.example:1")])
    assert seen["SERVER_PORT"] == str(site.address[1])
    assert seen["SERVER_NAME"] in ("127.0.0.1", "localhost")


def test_an_adopted_tcp6_socket_gives_its_real_name_and_port(server):
    site = server("apps.environ:app", listen="tcp6")
    seen = strings(site)
    assert seen["SERVER_PORT"] == str(site.address[1])
    assert seen["SERVER_NAME"].strip("[]") in ("::1", "localhost", "ip6-localhost")
    assert seen["REMOTE_ADDR"] == "::1"


def test_an_adopted_unix_socket_gives_a_name_and_a_port_that_make_a_url(server):
    """PEP 3333: SERVER_NAME and SERVER_PORT can never be empty strings."""
    seen = strings(server("apps.environ:app", listen="unix"))
    assert seen["SERVER_NAME"]
    assert "/" not in seen["SERVER_NAME"]
    assert seen["SERVER_PORT"].isdigit()
    assert "REMOTE_PORT" not in seen or seen["REMOTE_PORT"].isdigit() or seen["REMOTE_PORT"] == ""


def test_a_request_without_host_still_has_a_server_name(site):
    with site.connect() as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        seen = connection.response().json()["strings"]
    assert "HTTP_HOST" not in seen
    assert seen["SERVER_NAME"]
    assert seen["SERVER_PORT"]


def test_an_application_may_change_its_environ_and_the_next_request_starts_clean(server):
    site = server("apps.changes_environ:app")
    with site.connect() as connection:
        answers = [connection.get("/").json() for _ in range(5)]
    assert answers == [answers[0]] * 5
    assert answers[0]["left"] == []


def test_pipelined_requests_have_environs_of_their_own(site):
    with site.connect() as connection:
        connection.send(message("GET", "/one", [("X-Only", "one")]) + message("GET", "/two"))
        one, two = (connection.response().json()["strings"] for _ in range(2))
    assert (one["PATH_INFO"], one["HTTP_X_ONLY"]) == ("/one", "one")
    assert two["PATH_INFO"] == "/two"
    assert "HTTP_X_ONLY" not in two


@pytest.mark.parametrize(("threads", "multithread"), [("1", False), ("3", True)])
@SEVERAL
def test_interpreters_and_processes_are_to_the_application_as_processes(server, threads, multithread):
    """multithread: another thread may call the same object at once; multiprocess: an equivalent one elsewhere may."""
    site = server("apps.environ:app", "--interpreters", "2", "--threads", threads)
    assert site.get().json()["flags"][:3] == [multithread, True, False]


@SEVERAL
def test_a_single_one_is_not_multiprocess(server):
    site = server("apps.environ:app", "--interpreters", "1", "--threads", "1")
    assert site.get().json()["flags"][:3] == [False, False, False]


@pytest.mark.isolation("main", reason="elsewhere N of them make threads or siblings")
@pytest.mark.parametrize(("threads", "multithread"), [("1", False), ("2", True)])
def test_the_main_interpreter_is_multithread_when_it_has_threads(server, threads, multithread):
    site = server("apps.environ:app", "--threads", threads)
    assert site.get().json()["flags"][:3] == [multithread, False, False]
