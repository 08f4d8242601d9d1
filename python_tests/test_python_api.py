"""The server from a program: `make_server`, `chaussette.testing`, `chaussette.util`, in this process or another."""

import contextlib
import inspect
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import wsgiref.simple_server

import chaussette
import pytest
from chaussette import backend as backends
from chaussette import server as server_module
from chaussette.backend import BackendError, MissingPackage, UnknownBackend
from chaussette.server import make_server
from chaussette.testing import ServerFailed, serve
from chaussette.util import ImportStringError, configure_logger, create_socket, hello_app, import_string
from support.backends import MODULES, why_not
from support.process import HERE
from support.sockets import inheritable, listening
from support.waiting import soon
from support.wire import Connection

#: Those that serve on any thread, and patch nothing of this process.
IN_A_THREAD = ["interpreters", "wsgiref", "waitress", "gevent", "eventlet", "tornado", "cheroot", "gunicorn"]


def needs(backend):
    reason = why_not(backend)
    if reason:
        pytest.skip(reason)
    return backend


@contextlib.contextmanager
def serving(*args, **options):
    """A server that serves on a thread."""
    made = make_server(*args, disable_monkeypatch=True, **options)
    failures = []

    def run():
        try:
            made.serve_forever()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown(timeout=5)
        thread.join(15)
    assert not thread.is_alive()
    assert not failures, failures


def get(address, target="/"):
    with Connection(address) as connection:
        return connection.get(target)


@pytest.mark.parametrize("backend", IN_A_THREAD)
def test_a_program_serves_an_object_and_shuts_down_from_another_thread(backend):
    seen = []

    def app(environ, start_response):
        seen.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serving(app, "127.0.0.1", 0, needs(backend)) as made:
        assert made.server_address[0] == "127.0.0.1"
        assert made.server_port == made.server_address[1] > 0
        assert made.server_name == "127.0.0.1"
        assert made.url == f"http://127.0.0.1:{made.server_port}"
        for number in range(20):
            assert get(made.server_address, f"/{number}").body == b"ok"
    assert seen == [f"/{number}" for number in range(20)], "it was called in another interpreter"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(made.server_address, 5)


@pytest.mark.parametrize("backend", IN_A_THREAD)
def test_a_program_serves_on_a_unix_socket_whose_file_goes_with_it(backend, tmp_path):
    path = tmp_path / "web.sock"
    with serving(hello_app, f"unix:{path}", backend=needs(backend)) as made:
        assert made.server_address == str(path)
        assert (made.server_port, made.url) == (0, f"unix:{path}")
        assert get(str(path)).body == b"hello world"
    assert not path.exists()


def test_a_program_serves_on_a_descriptor_that_stays_its_own():
    with listening("tcp") as made:
        with serving(hello_app, f"fd://{made.fileno()}"):
            assert get(made.getsockname()).body == b"hello world"
        with serving(hello_app, f"fd://{made.fileno()}", backend="wsgiref"):
            assert get(made.getsockname()).body == b"hello world"


@pytest.mark.isolation("own-gil", reason="make_server chooses by itself")
def test_an_import_string_is_loaded_in_interpreters_of_its_own():
    code = (
        "import sys, threading, urllib.request\n"
        "from chaussette.server import make_server\n"
        "made = make_server('apps.hello:app', '127.0.0.1', 0, interpreters=2)\n"
        "thread = threading.Thread(target=made.serve_forever)\n"
        "thread.start()\n"
        "seen = {urllib.request.urlopen(made.url).read() for _ in range(40)}\n"
        "print(seen <= {b'hello from 0\\n', b'hello from 1\\n'})\n"
        "made.shutdown()\n"
        "thread.join()\n"
        "print('apps.hello' in sys.modules)\n"
    )
    assert program(code).stdout == "True\nFalse\n"


def program(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=HERE, check=True, **options
    )


def test_the_habits_of_wsgiref_hold():
    """Its example, with the import changed."""
    code = inspect.cleandoc("""
        import threading, urllib.request
        from chaussette.server import make_server
        from chaussette.util import hello_app

        with make_server(hello_app, "127.0.0.1", 0) as httpd:
            print("Serving on port", httpd.server_port > 0)
            thread = threading.Thread(target=httpd.serve_forever)
            thread.start()
            print(urllib.request.urlopen(httpd.url).read())
        thread.join()
    """)
    assert program(code).stdout == "Serving on port True\nb'hello world'\n"
    for name in ("serve_forever", "shutdown", "server_close", "fileno", "__enter__", "__exit__"):
        assert hasattr(server_module.Server, name)
        assert hasattr(wsgiref.simple_server.WSGIServer, name)


def listens(path):
    """Whether somebody listens at a path, which is bound a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.mark.parametrize("backend", ["interpreters", "wsgiref", "waitress", "tornado", "bjoern"])
def test_ctrl_c_raises_keyboard_interrupt_in_the_program(backend, tmp_path):
    code = (
        "from chaussette.server import make_server\n"
        "from chaussette.util import hello_app\n"
        f"made = make_server(hello_app, 'unix:web.sock', backend={needs(backend)!r})\n"
        "try:\n"
        "    made.serve_forever()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    try:
        path = str(tmp_path / "web.sock")
        soon(lambda: listens(path), 30)
        assert get(path).body == b"hello world"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert out == "interrupted\n"
    assert not os.path.exists(path)


def test_the_signals_and_the_path_stay_the_programs():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], list(sys.path), list(sys.argv)
    with serving(hello_app, "127.0.0.1", 0) as made:
        assert get(made.server_address).status == 200
    after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], list(sys.path), list(sys.argv)
    assert before == after


def test_a_server_serves_once():
    with serving(hello_app, "127.0.0.1", 0) as made, pytest.raises(RuntimeError, match="make another one"):
        made.serve_forever()


def test_a_server_that_never_served_is_closed():
    with make_server(hello_app, "127.0.0.1", 0) as made:
        address = made.server_address
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"backend": "nosuch"}, UnknownBackend, "there is no backend nosuch"),
        ({"backend": "meinheld"}, MissingPackage, "does not build on this CPython"),
        ({"host": "fd://x"}, ValueError, "no descriptor number"),
        ({"address_family": socket.AF_UNIX}, ValueError, "a unix socket is written unix:/path"),
        ({"socket_type": socket.SOCK_DGRAM}, ValueError, "HTTP needs a byte stream"),
        ({"threads": 0}, BackendError, "--threads 0: not a number of threads"),
        ({"options": ["--nonsense"]}, BackendError, "--nonsense: unknown option"),
        ({"app": 3}, TypeError, "3 is not callable"),
        ({"app": "apps.nosuch:app", "backend": "wsgiref"}, ImportStringError, "apps.nosuch"),
    ],
    ids=str,
)
def test_a_mistake_is_an_exception(options, error, said):
    given = {"app": hello_app, "host": "127.0.0.1", "port": 0, **options}
    with pytest.raises(error, match=said):
        make_server(given.pop("app"), **given)


def test_make_server_takes_what_1_3_took_in_its_order():
    names = "app host port backend backlog spawn logger address_family socket_type graceful_timeout disable_monkeypatch"
    assert list(inspect.signature(make_server).parameters)[:11] == names.split()


# chaussette.testing


def test_serve_gives_the_url_of_an_object():
    words = []

    def app(environ, start_response):
        start_response("200 OK", [])
        return [" ".join(words).encode()]

    with serve(app) as url:
        words.append("of this process")
        with urllib.request.urlopen(url, timeout=15) as answer:
            assert answer.read() == b"of this process"


@pytest.mark.parametrize("backend", ["interpreters", "waitress"])
def test_serve_gives_the_url_of_an_import_string(backend):
    with serve("apps.anywhere:app", backend=backend) as url:
        with urllib.request.urlopen(f"{url}/process", timeout=15) as answer:
            assert f'"pid": {os.getpid()},'.encode() not in answer.read()


def test_serve_tells_the_log_of_a_server_that_does_not_start():
    with pytest.raises(ServerFailed, match="broken on purpose while importing"):
        with serve("apps.broken_import:app"):
            pytest.fail("it started")


def test_serve_serves_on_a_unix_socket(tmp_path):
    with serve("apps.anywhere:app", host=f"unix:{tmp_path}/web.sock") as url:
        assert get(url.removeprefix("unix:"), "/hello").body == b"hello world"
    assert not os.path.exists(tmp_path / "web.sock")


def test_an_exception_in_the_test_ends_the_server():
    with pytest.raises(KeyError):
        with serve("apps.anywhere:app", host="127.0.0.1") as url:
            raise KeyError
    host, port = url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)


# chaussette.util and chaussette itself


def test_import_string_follows_modules_and_attributes():
    assert import_string("chaussette.util:hello_app") is hello_app
    assert import_string("chaussette.util.hello_app") is hello_app
    with pytest.raises(ImportStringError):
        import_string("chaussette.util:nothing")


def test_create_socket_binds():
    with create_socket("127.0.0.1", 0) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert made.gettimeout() > 1000
        with socket.create_connection(made.getsockname(), 5):
            made.accept()[0].close()


def test_create_socket_adopts_and_leaves_what_is_shared(tmp_path):
    with listening("unix", tmp_path / "web.sock") as given, inheritable(given) as fd:
        with create_socket(f"fd://{fd}", blocking=False) as made:
            assert made.family == socket.AF_UNIX
            made.setblocking(True)
            made.shutdown(socket.SHUT_RDWR)
            made.listen(1)
            assert not os.get_blocking(given.fileno())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(given.getsockname())
        assert os.path.exists(given.getsockname())


def test_configure_logger_writes_the_lines_of_1_3(tmp_path):
    import logging

    log = logging.getLogger("of this test")
    configure_logger(log, "WARNING", str(tmp_path / "log"))
    log.info("left out")
    log.warning("kept")
    for handler in log.handlers:
        handler.close()
    line = (tmp_path / "log").read_text()
    assert line.endswith(f" [{os.getpid()}] [WARNING] kept\n")
    assert len(line.splitlines()) == 1


@pytest.mark.isolation("own-gil", reason="elsewhere it is imported once for all")
def test_an_application_may_ask_for_its_interpreter(server):
    site = server("apps.anywhere:numbers", "--interpreters", "2")
    assert {tuple(site.get().json()) for _ in range(40)} <= {(0, 0), (1, 1)}


@pytest.mark.isolation("process", reason="it is worker processes that are meant")
def test_what_is_imported_before_the_workers_has_no_number(server):
    site = server("apps.anywhere:numbers", "--interpreters", "2", "--isolation", "process")
    assert {tuple(site.get().json()) for _ in range(40)} <= {(None, 0), (None, 1)}


def test_outside_of_a_server_there_is_nothing_to_ask_for():
    code = "import chaussette; print(chaussette.interpreter_id(), chaussette.request_timeout())"
    assert program(code).stdout == "None None\n"


@pytest.mark.parametrize("isolation", ["auto", "main", "process"])
def test_an_application_may_ask_for_the_time_of_a_request_wherever_it_is(server, isolation):
    limited = server("apps.anywhere:timeouts", "--timeout", "7.5", "--isolation", isolation)
    assert limited.get().json() == [7.5, 7.5, 7.5]
    assert server("apps.anywhere:timeouts", "--isolation", isolation).get().json() == [None, None, None]


def test_an_application_of_a_program_may_ask_for_it_too():
    from apps.anywhere import timeouts

    with serving(timeouts, "127.0.0.1", 0, options=["--timeout=9"]) as made:
        assert get(made.server_address).json() == [None, 9.0, 9.0]


def test_the_names_of_backends_are_those_installed():
    names = backends.backends()
    assert names[:2] == ["interpreters", "wsgiref"]
    for name in MODULES:
        assert (name in names) == (why_not(name) is None), name
    assert "meinheld" not in names
    assert [backends.is_gevent_backend(name) for name in ("gevent", "fastgevent", "waitress")] == [True, True, False]


def test_a_class_of_the_program_is_registered_by_name():
    class Mine(backends.get("wsgiref")):
        pass

    backends.register("Mine", Mine)
    with serving(hello_app, "127.0.0.1", 0, "mine") as made:
        assert get(made.server_address).body == b"hello world"


def test_what_is_no_backend_is_refused():
    backends.register("wrong", object)
    with pytest.raises(BackendError, match="is no class with serve_forever"):
        backends.get("wrong")


def test_the_version_is_the_same_everywhere():
    assert chaussette.__version__ in program("import chaussette; print(chaussette.__version__)").stdout


@pytest.mark.parametrize("module", ["chaussette", "chaussette.server"])
def test_both_modules_run_as_the_command(module):
    """1.3 was `python -m chaussette.server`."""
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines()[0] == f"chaussette {chaussette.__version__}"
