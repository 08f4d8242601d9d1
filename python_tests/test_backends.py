"""Other servers on the same sockets: `--backend`. Each is the real package from PyPI."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from support.backends import MODULES, SEVERAL, why_not
from support.process import HERE
from support.sockets import listening
from support.waiting import soon, steady
from support.wire import Closed, Connection, Truncated

OTHERS = [name for name in MODULES if name != "interpreters"]

#: bjoern gives a second request on a connection that it is about to close no answer.
REQUESTS = 1000


def needs(backend):
    reason = why_not(backend)
    if reason:
        pytest.skip(reason)
    return backend


@pytest.fixture(params=OTHERS)
def backend(request):
    return needs(request.param)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("name", list(MODULES))
def test_a_thousand_requests_are_answered_over_an_adopted_socket(server, name, kind):
    site = server("apps.anywhere:hello", "--backend", needs(name), listen=kind)
    ask_often(site, REQUESTS)
    assert site.stop() == 0
    assert " no effect " not in site.log


def ask_often(site, count):
    """Ask on kept-alive connections as far as the server keeps them."""
    connection, answered = Connection(site.address), 0
    try:
        while answered < count:
            answer = connection.get("/")
            assert (answer.status, answer.body) == (200, b"hello world")
            answered += 1
            if (answer["Connection"] or "").lower() == "close" or answer.version == "HTTP/1.0":
                connection.close()
                connection = Connection(site.address)
    finally:
        connection.close()


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "fastgevent"])
def test_an_ipv6_socket_is_adopted(server, name):
    site = server("apps.anywhere:app", "--backend", needs(name), listen="tcp6")
    assert site.get("/hello").text == "hello world"
    strings = site.get("/").json()["strings"]
    if name not in ("tornado", "bjoern"):  # they tell what the Host header says, and 0
        assert strings["SERVER_PORT"] == str(site.address[1])


@pytest.mark.parametrize(
    "options", [["--host", "127.0.0.1", "--port", "0"], ["--bind", "127.0.0.1:0"], ["--bind", "[::1]:0"]], ids=" ".join
)
def test_an_address_is_bound(server, backend, options):
    site = server("apps.anywhere:app", "--backend", backend, *options, listen=None)
    host, port = site.wait_for_log(r"Serving on (\S+):(\d+)$").groups()
    site.address = (host, int(port))
    assert site.get("/hello").text == "hello world"


def test_a_unix_socket_is_bound_and_its_file_removed_at_the_end(server, backend, tmp_path):
    path = tmp_path / "made.sock"
    site = server("apps.anywhere:app", "--backend", backend, "--host", f"unix:{path}", listen=None)
    site.address = str(path)
    assert site.get("/hello").text == "hello world"
    assert site.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("name", SEVERAL)
def test_several_sockets_of_one_family_are_served(server, name):
    with listening("tcp") as one, listening("tcp") as other:
        fds = [one.fileno(), other.fileno()]
        bound = [word for fd in fds for word in ("--bind", f"fd://{fd}")]
        site = server("apps.anywhere:hello", "--backend", needs(name), *bound, listen=None, pass_fds=fds)
        for made in (one, other):
            with Connection(made.getsockname()) as connection:
                assert connection.get("/").body == b"hello world"
        assert len(re.findall(r"Serving on fd://\d+$", site.log, re.MULTILINE)) == 2


@pytest.mark.parametrize("name", ["cheroot", "bjoern"])
def test_a_backend_for_one_socket_says_so(command, name):
    done = command("--backend", needs(name), "--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0", "apps.anywhere:app")
    assert done.returncode == 2, done.stderr
    assert f"backend {name}: it serves one socket, not 2" in done.stderr


def test_an_adopted_socket_is_left_as_it_was(server, backend):
    """Still listening, still non-blocking, its backlog and its file untouched: the next server takes over."""
    site = server("apps.anywhere:app", "--backend", backend, listen="unix")
    assert site.get("/hello").status == 200
    assert not os.get_blocking(site.listener.fileno())
    assert site.stop() == 0
    assert site.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert not os.get_blocking(site.listener.fileno())
    assert os.path.exists(site.address)
    next_one = server("apps.anywhere:app", "--backend", "wsgiref", listen=site.listener)
    assert next_one.get("/hello").status == 200


def test_two_servers_share_one_socket(server, backend):
    with listening("tcp") as made:
        sites = [server("apps.anywhere:hello", "--backend", backend, listen=made) for _ in range(2)]
        ask_often(sites[0], 50)
        assert sites[0].stop() == 0
        ask_often(sites[1], 50)


# How it stops


def at_rest(site):
    """Wait until its main thread sleeps: CPython sees a signal that comes just before that only when it wakes."""
    assert steady(lambda: Path(f"/proc/{site.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S", looks=15)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_signal_stops_it_with_status_0_and_the_post_hook_runs(server, backend, number):
    site = server(
        "apps.anywhere:app", "--backend", backend, "--pre-hook", "apps.hooks.pre", "--post-hook", "apps.hooks:post"
    )
    assert site.out == "pre-hook: apps.anywhere:app []\n"
    with site.connect() as idle:
        assert idle.get("/hello").status == 200
        at_rest(site)
        started = time.monotonic()
        assert site.stop(number) == 0
        assert time.monotonic() - started < 20, "an idle connection has held it"
    assert site.out.endswith("post-hook: apps.anywhere:app\n")
    assert re.search(r"\[INFO\] stopped$", site.log, re.MULTILINE)


def test_a_request_in_flight_is_answered_after_the_signal(server, backend, gate):
    site, here = server("apps.anywhere:app", "--backend", backend), gate()
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(signal.SIGTERM)
        site.wait_for_log(r"\[INFO\] stopping: requests in flight have 25 s$")
        here.open()
        assert connection.response().status == 200
    assert site.wait() == 0


@pytest.mark.parametrize("name", ["wsgiref", "waitress", "cheroot", "gunicorn", "gevent", "eventlet"])
def test_a_request_that_does_not_come_back_ends_with_status_70(server, name, gate):
    site, here = server("apps.anywhere:app", "--backend", needs(name), "--graceful-timeout", "0.3").expect(70), gate()
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        at_rest(site)
        assert site.stop() == 70
        with pytest.raises((Closed, Truncated, ConnectionError)):
            connection.response()
    assert "[CRITICAL] stopped: a thread is still in the application's code" in site.log


def test_a_second_signal_ends_it_at_once(server, gate):
    site, here = server("apps.anywhere:app", "--backend", "waitress").expect(70), gate()
    with site.connect() as connection:
        connection.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(signal.SIGTERM)
        site.wait_for_log("stopping: requests in flight")
        assert site.stop(deadline=15) == 70
    assert "stopping at once" in site.log


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_without_a_meaning_is_ignored_with_a_warning(server, number):
    site = server("apps.anywhere:app", "--backend", "waitress")
    site.signal(number)
    site.wait_for_log(rf"\[WARNING\] {number.name} has no effect: ignored$")
    assert site.get("/hello").status == 200


# What it says


def test_the_log_has_the_lines_of_1_3(server, backend):
    site = server("apps.anywhere:app", "--backend", backend)
    stamp = rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \[{site.pid}\] \[INFO\] "
    for line in (
        r"Application is <function by_path\.<locals>\.app at 0x\w+>$",
        rf"Serving on fd://{site.fd}$",
        r"Using <class 'chaussette\.backend\._\w+\.\w+'> as a backend$",
        rf"ready: {backend} in \d+\.\d{{3}} s$",
    ):
        assert re.search(stamp + line, site.log, re.MULTILINE), line


def test_the_log_goes_to_a_file_at_the_level_asked_for(server, tmp_path):
    path = tmp_path / "log"
    options = ["--backend", "wsgiref", "--log-output", path, "--log-level", "warning", "--threads", "3"]
    site = server("apps.anywhere:app", *options, wait=False)
    assert site.get("/hello").status == 200
    assert re.fullmatch(
        r"\S+ \S+ \[\d+\] \[WARNING\] --threads has no effect with --backend wsgiref\n", path.read_text()
    )


def test_options_that_a_backend_does_not_heed_are_told_in_one_line(server):
    options = ["--backend", "wsgiref", "--spawn", "3", "--no-monkey", "--interpreters", "2", "--queue", "5"]
    site = server("apps.anywhere:app", *options)
    (line,) = re.findall(r"\[WARNING\] (.*)", site.log)
    assert line.endswith(" have no effect with --backend wsgiref")
    assert set(re.findall(r"--[\w-]+", line)) == {"--spawn", "--no-monkey", "--interpreters", "--queue", "--backend"}


def test_greenlet_options_are_told_to_be_without_effect_by_default(server):
    site = server("apps.hello:app", "--spawn", "3", "--no-monkey")
    warnings = re.findall(r"\[WARNING\] (--\S+) has no effect with --backend interpreters", site.log)
    assert sorted(warnings) == ["--no-monkey", "--spawn"]


def test_fastgevent_says_once_what_it_is(server):
    site = server("apps.anywhere:app", "--backend", needs("fastgevent"))
    assert site.log.count("fastgevent was gevent.wsgi, which gevent has no more") == 1


# What the application gets


@pytest.mark.parametrize(("options", "module"), [([], "gevent."), (["--no-monkey"], "socket")])
def test_gevent_patches_before_the_application_is_imported(server, options, module):
    site = server("apps.anywhere:app", "--backend", needs("gevent"), *options)
    assert site.get("/process").json()["socket"].startswith(module)


@pytest.mark.parametrize("name", ["gevent", "eventlet"])
def test_spawn_is_how_many_connections_are_served_at_once(server, name):
    site = server("apps.anywhere:app", "--backend", needs(name), "--spawn", "1")
    assert "Spawning method: 1" in site.log
    with site.connect() as first, site.connect() as second:
        assert first.get("/hello").status == 200
        second.ask("GET", "/hello")
        second.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.head()
        first.close()
        second.socket.settimeout(15)
        assert second.response().status == 200


@pytest.mark.parametrize("name", ["waitress", "cheroot", "gunicorn", "tornado"])
def test_threads_are_how_many_requests_are_in_the_application_at_once(server, name, gate):
    site = server("apps.anywhere:app", "--backend", needs(name), "--threads", "2")
    gates, connections = [gate(), gate()], [site.connect(), site.connect()]
    for here, connection in zip(gates, connections, strict=True):
        connection.ask("GET", f"/wait?{here.query}")
    for here in gates:
        here.wait()
    for here, connection in zip(gates, connections, strict=True):
        here.open()
        assert connection.response().status == 200


def test_words_after_the_application_are_its_argv(server, backend):
    seen = server("apps.anywhere:app", "--backend", backend, words=["one", "--", "--two"]).get("/").json()
    assert seen["argv"][1:] == ["one", "--two"]
    assert seen["argv"][0].endswith("chaussette")
    assert seen["interpreter"] == 0


def test_the_helpers_for_applications_have_a_meaning(server, backend):
    """One interpreter, number 0; nobody limits the time of a request."""
    assert server("apps.anywhere:numbers", "--backend", backend).get().json() == [0, 0]
    assert server("apps.anywhere:timeouts", "--backend", backend).get().json() == [None, None, None]


def test_an_upload_arrives(server, backend):
    site = server("apps.anywhere:app", "--backend", backend)
    body = os.urandom(100_000)
    assert site.request("POST", "/echo", [("Content-Type", "application/octet-stream")], body).body == body


def test_a_factory_makes_the_application(server):
    site = server("apps.anywhere:make_app", "--factory", "--backend", "wsgiref")
    assert site.get("/hello").text == "hello world"


def test_the_path_ends_as_everywhere(server, tmp_path):
    path = f"/first{os.pathsep}{tmp_path}"
    seen = server("apps.anywhere:app", "--backend", "wsgiref", "--python-path", path).get("/process").json()["path"]
    assert seen[-3:] == ["/first", str(tmp_path), "."]


def test_wsgiref_tells_the_truth_about_addresses(server):
    """1.3: SERVER_NAME fd://3, SERVER_PORT 8080, REMOTE_ADDR 0.0.0.0, and the whole environment of the process."""
    site = server("apps.anywhere:app", "--backend", "wsgiref", env={"SECRET": "x"})
    strings = site.get("/").json()["strings"]
    assert (strings["SERVER_NAME"], strings["SERVER_PORT"]) == ("127.0.0.1", str(site.address[1]))
    assert strings["REMOTE_ADDR"] == "127.0.0.1"
    assert "SECRET" not in strings


def test_wsgiref_has_no_client_address_on_a_unix_socket(server):
    strings = server("apps.anywhere:app", "--backend", "wsgiref", listen="unix").get("/").json()["strings"]
    assert (strings["SERVER_NAME"], strings["SERVER_PORT"], strings["REMOTE_ADDR"]) == ("localhost", "80", "")


def test_a_tornado_application_is_served_as_it_is(server, tmp_path):
    needs("tornado")
    (tmp_path / "site_of_tornado.py").write_text(
        "import tornado.web\n"
        "class Hello(tornado.web.RequestHandler):\n"
        "    def get(self):\n"
        "        self.write('tornado says hello')\n"
        "app = tornado.web.Application([('/', Hello)])\n"
    )
    site = server("site_of_tornado:app", "--backend", "tornado", "--python-path", tmp_path)
    assert site.get().text == "tornado says hello"


# What goes wrong


@pytest.mark.parametrize("name", ["waitress", "gevent", "eventlet", "tornado", "cheroot", "gunicorn", "bjoern"])
def test_a_missing_package_is_named_with_its_cure(command, tmp_path, name):
    """A sitecustomize hides the package, whether or not it is installed."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, importlib.abc\n"
        "class Hiding(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {name!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hiding())\n"
    )
    done = command("--backend", name, "--port", "0", "apps.anywhere:app", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert f"--backend: backend {name}: it is not installed: pip install {name}\n" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_meinheld_serves_where_it_can_be_imported(server, tmp_path):
    """By a stand-in with the three functions that are used of it: its last release does not build here."""
    package = tmp_path / "meinheld"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "server.py").write_text(
        "import socket\n"
        "from wsgiref.simple_server import WSGIRequestHandler, WSGIServer\n"
        "sockets, ended = [], []\n"
        "def set_listen_socket(fds):\n"
        "    sockets.extend(socket.socket(fileno=fd) for fd in fds)\n"
        "def stop(timeout=0):\n"
        "    ended.append(timeout)\n"
        "def run(app):\n"
        "    server = WSGIServer(('127.0.0.1', 0), WSGIRequestHandler, False)\n"
        "    server.socket, server.server_name, server.server_port, server.timeout = sockets[0], 'x', 1, 0.05\n"
        "    server.setup_environ()\n"
        "    server.set_app(app)\n"
        "    while not ended:\n"
        "        server.handle_request()\n"
    )
    site = server("apps.anywhere:app", "--backend", "meinheld", env={"PYTHONPATH": str(tmp_path)})
    assert site.get("/hello").text == "hello world"
    assert site.stop() == 0


def test_meinheld_that_is_not_there_says_that_it_does_not_build(command):
    done = command("--backend", "meinheld", "--port", "0", "apps.anywhere:app")
    assert done.returncode == 2
    assert "its last release (1.0.2, of 2020) does not build on this CPython" in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch", r"there is no backend nosuch: use one of interpreters, wsgiref, .*gunicorn"),
        ("socketio", r"there is no backend socketio any more: .*use python-socketio"),
        ("geventws4py", r"there is no backend geventws4py any more: .*use geventwebsocket"),
    ],
)
def test_an_unknown_backend_is_refused_with_what_there_is(command, name, said):
    done = command("--backend", name, "--port", "0", "apps.anywhere:app")
    assert done.returncode == 2
    assert re.search(said, done.stderr)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--fd", "77"], 5, r"cannot adopt --fd 77: it is not open"),
        (["--host", "256.1.1.1"], 5, r"cannot bind 256\.1\.1\.1:8080"),
        (["--port", "0", "apps.broken_import:app"], 4, r"RuntimeError: broken on purpose while importing"),
        (["--port", "0", "apps.forms:missing"], 4, r"cannot load application apps\.forms:missing: "),
        (["--port", "0", "apps.exits_on_import:app"], 4, r"SystemExit: leaving on import"),
        (["--port", "0", "--pre-hook", "apps.hooks.failing", "apps.anywhere:app"], 1, r"the hook failed on purpose"),
        (["--port", "0", "--post-hook", "apps.hooks.missing", "apps.anywhere:app"], 1, r"missing"),
        (["--log-output", "/nonexistent/log"], 2, r"--log-output /nonexistent/log: cannot open"),
    ],
)
def test_each_failure_has_the_exit_status_that_it_has_everywhere(command, options, status, said):
    done = command("--backend", "wsgiref", *options)
    assert done.returncode == status, done.stderr
    assert re.search(said, done.stderr)
    assert "ready" not in done.stderr


# Backends of other packages


@pytest.fixture
def another_package(tmp_path):
    """A package with an entry point, as pip would have left it: `support/backend_package`."""
    source = HERE / "support" / "backend_package"
    (tmp_path / "one_by_one.py").write_text((source / "one_by_one.py").read_text())
    metadata = tmp_path / "one_by_one-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: one-by-one\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text((source / "entry_points.txt").read_text())
    return {"PYTHONPATH": str(tmp_path)}


def test_a_backend_of_another_package_is_found_by_its_entry_point(server, another_package):
    site = server("apps.anywhere:app", "--backend", "one-by-one", "--threads", "2", env=another_package)
    assert site.get("/hello").text == "hello world"
    site.wait_for_log(r"Using <class 'one_by_one\.OneByOne'> as a backend$")
    assert "--threads has no effect with --backend one-by-one" in site.log
    assert site.stop() == 0


def test_a_backend_of_another_package_is_among_those_that_an_error_names(command, another_package):
    done = command("--backend", "nosuch", env=another_package)
    assert "one-by-one" in done.stderr


def test_a_package_whose_backend_cannot_be_imported_is_named(command, another_package, tmp_path):
    (tmp_path / "one_by_one.py").write_text("import not_there_at_all\n")
    done = command("--backend", "one-by-one", "--port", "0", env=another_package)
    assert done.returncode == 2
    assert "backend one-by-one of one_by_one:OneByOne: No module named 'not_there_at_all'" in done.stderr


def test_processes_of_the_application_inherit_no_socket(server, backend):
    site = server("apps.anywhere:app", "--backend", backend)
    soon(lambda: site.get("/hello").status == 200)
    listening_ones = f"socket:[{os.fstat(site.listener.fileno()).st_ino}]"
    for fd in site._fds():
        if site._readlink(fd) == listening_ones:
            flags = int(re.search(r"^flags:\s+(\d+)", (fd.parent.parent / "fdinfo" / fd.name).read_text(), re.M)[1], 8)
            assert flags & os.O_CLOEXEC, f"descriptor {fd.name} is inherited by what the application starts"
