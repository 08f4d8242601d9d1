"""Chaussette 1.3's command line and documentation: each option and example here, beside 1.3.0 itself.

1.3.0 runs on CPython 3.13 with wsgiref and waitress. Its other backends are for Python 2 only, or need what is gone. It
stands in a folder of its own, since it has our name: `pip install --target target/chaussette-1.3 chaussette==1.3.0`.
Where a test is about a difference, docs/migration.md has the row.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.backends import MODULES, why_not
from support.circus import BIN, Circus
from support.process import HERE, Server
from support.sentences import MIGRATION, OTHERS, QUOTED, SENTENCES, prose
from support.sockets import inheritable, listening
from support.waiting import soon, steady
from support.wire import Connection

ROOT = HERE.parent
FOLDER = Path(
    os.environ.get("CHAUSSETTE_1_3") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "chaussette-1.3")
)
LINES = r"\[\d+\] \[INFO\] (Application is|Serving on|Using) (.*)$"


class Old(Server):
    """A started 1.3: it has no ready line."""

    def wait_ready(self, deadline=30.0):
        soon(lambda: "Using <class" in self.log or not self.running, deadline, what=lambda: self.log)
        assert self.running, self.log
        return self


def command_of_1_3(*options):
    if not (FOLDER / "chaussette" / "server.py").exists():
        pytest.skip(f"NOT TESTED: no Chaussette 1.3 at {FOLDER}; cure: .ci/install-1.3")
    return [sys.executable, "-m", "chaussette.server", *(str(option) for option in options)]


PATHS = {"PYTHONPATH": f"{FOLDER}{os.pathsep}{HERE}"}


@pytest.fixture
def old(tmp_path):
    """A function that starts 1.3 with a listening socket adopted by --fd, as the fixture `server` does."""
    with contextlib.ExitStack() as stack:

        def start(application=None, *options, listen="tcp", words=()):
            workdir = tmp_path / f"old-{len(stack._exit_callbacks)}"
            workdir.mkdir()
            given, fds, address = list(options), [], None
            if listen is not None:
                made = stack.enter_context(listening(listen, workdir / "socket"))
                fds, address = [stack.enter_context(inheritable(made))], made.getsockname()
                given = ["--fd", fds[0], *given]
            command = command_of_1_3(*given, *([application] if application else []), *words)
            popen = {"env": PATHS, "cwd": str(HERE), "pass_fds": fds}
            site = Old(command, workdir / "process", address=address, popen=popen)
            stack.callback(site.process.wait, 10)
            stack.callback(site.process.kill)
            return site.wait_ready()

        yield start


def run_old(*options, fds=()):
    """Run 1.3 to its end, for command lines with which it does not serve."""
    command = command_of_1_3(*options)
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=PATHS, cwd=HERE, pass_fds=fds)


def free_port():
    """1.3 does not tell which port it got for 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(address, target="/"):
    with Connection(address) as connection:
        return connection.get(target)


def three_lines(log):
    return [words for words, _ in re.findall(LINES, log, re.MULTILINE)]


# The same


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--port", "8099"],
        ["--socket-type", "SOCK_STREAM"],
        ["--address-family", "AF_INET"],
        ["--log-level", "DEBUG"],
        ["--log-level", "info", "--log-output", "-"],
        ["--backend", "wsgiref"],
        ["--python-path", "/nonexistent"],
    ],
    ids=lambda options: " ".join(options) or "none",
)
def test_an_option_beside_fd_gives_the_same_answer_and_the_same_lines(server, old, options):
    ours, theirs = server(None, *options), old(None, *options)
    for site in (ours, theirs):
        answer = site.get()
        assert (answer.status, answer["Content-type"], answer.body) == (200, "text/plain", b"hello world")
        assert three_lines(site.log) == ["Application is", "Serving on", "Using"]
        assert re.search(r"Application is <function hello_app at 0x\w+>$", site.log, re.MULTILINE)
        assert re.search(r"Serving on fd://\d+$", site.log, re.MULTILINE)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_host_and_port_are_bound_and_logged_alike(server, old, host):
    for start in (server, old):
        port = free_port()
        site = start(None, "--host", host, "--port", port, listen=None)
        assert get(("127.0.0.1", port)).body == b"hello world"
        assert re.search(rf"Serving on {host}:{port}$", site.log, re.MULTILINE)


def test_an_ipv6_host_is_bound_and_logged_alike(server, old):
    for start in (server, old):
        port = free_port()
        site = start(None, "--host", "::1", "--port", port, "--address-family", "AF_INET6", listen=None)
        assert get(("::1", port)).body == b"hello world"
        assert re.search(rf"Serving on ::1:{port}$", site.log, re.MULTILINE)


def test_a_unix_path_is_bound_and_logged_alike(server, old, tmp_path):
    for number, start in enumerate((server, old)):
        path = tmp_path / f"{number}.sock"
        site = start(None, "--host", f"unix:{path}", "--address-family", "AF_UNIX", listen=None)
        assert get(str(path)).body == b"hello world"
        assert f"Serving on unix:{path}\n" in site.log


@pytest.mark.parametrize("spec", ["apps.anywhere.hello", "apps.anywhere:hello"])
def test_an_application_is_named_alike(server, old, spec):
    assert [start(spec).get().text for start in (server, old)] == ["hello world"] * 2


def test_words_reach_the_application_and_the_hooks_alike(server, old):
    """sys.argv of 1.3 holds the whole command line; the words after the application are its end."""
    options = ["--backend", "wsgiref", "--pre-hook", "apps.hooks.pre"]
    for start in (server, old):
        site = start("apps.anywhere:index", *options, words=["one", "two"])
        assert "pre-hook: apps.anywhere:index ['one', 'two']\n" in site.out
        assert site.get().json()["argv"][-2:] == ["one", "two"]
    assert server("apps.anywhere:index", words=["one", "two"]).get().json()["argv"][1:] == ["one", "two"]


def test_a_hook_is_given_every_setting_that_it_was_given(server, old, tmp_path):
    (tmp_path / "telling.py").write_text("def pre(args):\n    print(sorted(vars(args)), flush=True)\n")
    names = []
    for start in (server, old):
        site = start(None, "--pre-hook", "apps.hooks.names")
        names.append(set(re.findall(r"'(\w+)'", site.out)))
    ours, theirs = names
    assert len(theirs) >= 17
    assert theirs <= ours


def test_a_log_file_is_appended_to_in_the_same_form(server, old, tmp_path):
    path = tmp_path / "log"
    site = server(None, "--log-output", path, wait=False)
    soon(lambda: path.exists() and "ready: " in path.read_text())
    assert site.stop() == 0
    ours = path.read_text()
    done = subprocess.Popen(
        command_of_1_3("--port", free_port(), "--log-output", path), env=PATHS, cwd=HERE, stderr=subprocess.DEVNULL
    )
    try:
        theirs = soon(lambda: text[len(ours) :] if "Using" in (text := path.read_text())[len(ours) :] else "")
    finally:
        done.kill()
        done.wait()
    form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] \[INFO\] Application is <function hello_app at 0x\w+>"
    for text in (ours, theirs):
        assert re.match(form, text)


@pytest.mark.parametrize(
    "options", [["--port", "x"], ["--log-level", "loud"], ["--fd", "x"], ["--host", "x", "--fd", "3"]]
)
def test_a_mistake_is_status_2_in_both(command, options):
    assert command(*options).returncode == run_old(*options).returncode == 2


def test_int_is_status_0_in_both(server, old):
    for start in (server, old):
        site = start(None, "--post-hook", "apps.hooks.post")
        assert get(site.address).status == 200
        # 1.3 takes an interrupt for the end of the request that it is still busy with.
        steady(lambda site=site: Path(f"/proc/{site.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S", 15)
        site.signal(signal.SIGINT)
        assert site.wait() == 0
        assert "post-hook: " in site.out


# Different: docs/migration.md has a row for each


def test_backlog_goes_with_fd_and_host(server):
    with listening("tcp") as made:
        done = run_old("--fd", made.fileno(), "--backlog", "10", fds=[made.fileno()])
    assert (done.returncode, "not allowed with argument" in done.stderr) == (2, True)
    assert server(None, "--backlog", "10").get().status == 200


def test_a_unix_descriptor_may_be_named_as_such(server, tmp_path):
    with listening("unix", tmp_path / "given.sock") as made:
        done = run_old("--fd", made.fileno(), "--address-family", "AF_UNIX", fds=[made.fileno()])
    assert done.returncode == 1
    assert "unix:/path form" in done.stderr
    assert server(None, "--address-family", "AF_UNIX", listen="unix").get().status == 200


def test_python_path_takes_effect(server, tmp_path):
    (tmp_path / "far_away.py").write_text("from chaussette.util import hello_app as app\n")
    done = run_old("--python-path", tmp_path, "--port", free_port(), "far_away.app")
    assert (done.returncode, "far_away" in done.stderr) == (1, True)
    assert server("far_away.app", "--python-path", tmp_path).get().status == 200


def test_the_post_hook_runs_after_term(server, old):
    theirs = old(None, "--post-hook", "apps.hooks.post")
    theirs.signal(signal.SIGTERM)
    assert theirs.wait() == -signal.SIGTERM
    assert "post-hook" not in theirs.out
    ours = server(None, "--post-hook", "apps.hooks.post")
    assert ours.stop() == 0
    assert "post-hook: " in ours.out


def test_graceful_timeout_is_for_every_backend(server):
    done = run_old("--graceful-timeout", "5", "--port", free_port())
    assert (done.returncode, "does not support --graceful_timeout" in done.stderr) == (0, True)
    for options in ([], ["--backend", "wsgiref"]):
        site = server(None, "--graceful-timeout", "5", *options)
        assert "no effect" not in site.log


def test_spawn_warns_where_it_made_the_start_fail(server):
    done = run_old("--spawn", "3", "--port", free_port())
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "--spawn has no effect with --backend interpreters" in server(None, "--spawn", "3").log


def test_a_datagram_socket_is_a_mistake(command):
    assert run_old("--socket-type", "SOCK_DGRAM", "--port", free_port()).returncode == 1
    assert command("--socket-type", "SOCK_DGRAM").returncode == 2


def test_attributes_of_attributes_are_followed(server):
    done = run_old("--port", free_port(), "apps.forms:holder.inner.method")
    assert done.returncode == 1
    assert server("apps.forms:holder.inner.method").get().status == 200


def test_what_cannot_be_loaded_or_called_is_status_4(command, old):
    assert run_old("--port", free_port(), "apps.nosuch.app").returncode == 1
    assert command("--port", "0", "apps.nosuch.app").returncode == 4
    # A module is no application: 1.3 answers each request with 500.
    assert old("apps.forms").get().status == 500
    assert command("--port", "0", "apps.forms").returncode == 4


def test_the_environ_is_true(server, old):
    theirs = old("apps.anywhere:index").get().json()["strings"]
    ours = server("apps.anywhere:index", env={"SECRET": "x"}).get().json()["strings"]
    assert theirs["SERVER_NAME"].startswith("fd://")
    assert (theirs["SERVER_PORT"], theirs["REMOTE_ADDR"]) == ("8080", "0.0.0.0")
    assert "PYTHONPATH" in theirs
    assert (ours["SERVER_NAME"], ours["REMOTE_ADDR"]) == ("127.0.0.1", "127.0.0.1")
    assert ours["SERVER_PORT"] not in ("", "8080")
    assert "SECRET" not in ours


def test_an_adopted_socket_stays_non_blocking(server, old):
    with listening("tcp") as made:
        site = server(None, "--backend", "wsgiref", listen=made)
        assert site.get().status == 200
        assert not os.get_blocking(made.fileno())
    theirs = old(None)
    assert theirs.get().status == 200


def test_a_unix_file_that_we_made_goes_with_us(server, tmp_path):
    path = tmp_path / "made.sock"
    site = server(None, "--host", f"unix:{path}", listen=None)
    assert site.stop() == 0
    assert not path.exists()


def test_waitress_takes_a_descriptor(server):
    if reason := why_not("waitress"):
        pytest.skip(reason)
    with listening("tcp") as made:
        done = run_old("--backend", "waitress", "--fd", made.fileno(), fds=[made.fileno()])
    assert (done.returncode, "Invalid host/port specified" in done.stderr) == (1, True)
    assert server(None, "--backend", "waitress").get().status == 200


@pytest.mark.parametrize("name", ["gevent", "fastgevent", "geventwebsocket", "bjoern", "eventlet", "tornado"])
def test_a_backend_that_1_3_has_for_python_2_only_serves(server, name):
    if reason := why_not(name):
        pytest.skip(reason)
    done = run_old("--backend", name, "--port", free_port())
    assert (done.returncode, "invalid choice" in done.stderr) == (2, True)
    assert server(None, "--backend", name).get().status == 200


# The examples of its documentation


def test_the_example_of_a_plain_application(server, tmp_path):
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("from chaussette.util import hello_app as myapp\n")
    site = server("mypackage.myapp", cwd=tmp_path)
    assert site.get().body == b"hello world"
    assert three_lines(site.log) == ["Application is", "Serving on", "Using"]


def test_the_example_of_a_django_application_on_gevent(server, tmp_path):
    if reason := why_not("gevent"):
        pytest.skip(reason)
    site_of = tmp_path / "mysite"
    site_of.mkdir()
    (site_of / "__init__.py").write_text("")
    (site_of / "settings.py").write_text("SECRET_KEY = 'x'\nROOT_URLCONF = 'mysite.urls'\nALLOWED_HOSTS = ['*']\n")
    (site_of / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse('django says hello'))]\n"
    )
    (site_of / "wsgi.py").write_text(
        "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    site = server("mysite.wsgi.application", "--backend", "gevent", cwd=tmp_path)
    assert site.get().text == "django says hello"
    assert re.search(r"Application is <django\.core\.handlers\.wsgi\.WSGIHandler object at 0x\w+>$", site.log, re.M)
    assert re.search(r"Using <class 'chaussette\.backend\._gevent\.\w+'> as a backend$", site.log, re.M)


def test_the_example_of_a_paste_file(server, tmp_path):
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    folder = tmp_path / "path" / "to"
    folder.mkdir(parents=True)
    (folder / "configuration.ini").write_text("[app:main]\nuse = call:apps.paste_app:factory\nword = told\n")
    env = {"PYTHONPATH": str(HERE)}
    assert server("paste:path/to/configuration.ini", cwd=tmp_path, env=env).get().json()["word"] == "told"


#: Its "Using Chaussette in Circus", less the endpoints, which each circusd of this suite has of its own.
CIRCUS = """
[watcher:web]
cmd = chaussette --fd $(circus.sockets.web) --backend meinheld server.app
use_sockets = True
numprocesses = 5

[socket:web]
host = 0.0.0.0
port = 8000
"""


@pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment")
def test_the_circus_ini_of_its_documentation_works_with_one_change(tmp_path):
    """docs/migration.md names it: meinheld does not build any more, so its option is left out."""
    migration = (ROOT / "docs" / "migration.md").read_text()
    assert "Leave out `--backend meinheld`" in migration
    (tmp_path / "server.py").write_text("from chaussette.util import hello_app as app\n")
    text = CIRCUS.replace(" --backend meinheld", "")
    # Of this test only: an address that nobody else has, and a word by which its processes are found.
    text = text.replace("0.0.0.0", "127.0.0.1").replace("8000", "0").replace("server.app", "server.app $(folder)/web")
    # And where the command is: Circus gives its children an empty environment, so no PATH.
    text = text.replace("cmd = chaussette", f"cmd = {BIN / 'chaussette'}")
    text = text.replace("use_sockets", f"working_dir = {tmp_path}\nuse_sockets")
    daemon = Circus(text, env={"PATH": f"{BIN}:{os.environ['PATH']}"})
    try:
        soon(lambda: len(daemon.pids("web")) == 5, 30, lambda: daemon.log)
        daemon.wait_ready("web")
        for _ in range(100):
            assert get(daemon.address("web")).body == b"hello world"
    finally:
        wrong = daemon.clean_up()
    assert not wrong, "\n".join(wrong)


def test_the_example_of_supervisor_serves_descriptor_0(server):
    with listening("tcp") as made:
        (site,) = [server(None, "--fd", "0", listen=None, stdin=made)]
        site.address = made.getsockname()
        assert site.get().body == b"hello world"


def test_the_readmes_tornado_application_is_served(server, tmp_path):
    if reason := why_not("tornado"):
        pytest.skip(reason)
    (tmp_path / "tornadoapp.py").write_text(
        "import tornado.web\nfrom chaussette.util import hello_app as wsgiapp\n"
        "class Main(tornado.web.RequestHandler):\n    def get(self):\n        self.write('Hello, world')\n"
        "tornadoapp = tornado.web.Application([('/', Main)])\n"
    )
    assert server("tornadoapp.wsgiapp", cwd=tmp_path).get().text == "hello world"
    assert server("tornadoapp.tornadoapp", "--backend", "tornado", cwd=tmp_path).get().text == "Hello, world"


def test_the_readmes_flask_application_is_served(server, tmp_path):
    """examples/flaskapp.py as it is, by the default, gevent, and whatever else is here."""
    source = documentation("examples/flaskapp.py")
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "flaskapp.py").write_text(source)
    for options in ([], *(["--backend", name] for name in MODULES if why_not(name) is None and name != "interpreters")):
        assert server("examples.flaskapp.app", *options, cwd=tmp_path).get().text == "Hello World!"


#: Its "Using Chaussette in Supervisor", less the servers for supervisorctl.
SUPERVISOR = """
[supervisord]
logfile = {folder}/supervisord.log
nodaemon = true
pidfile = {folder}/supervisord.pid

[fcgi-program:web]
command = chaussette --fd 0 server.app
process_name = %(program_name)s_%(process_num)s
numprocs = 5
socket = unix://{folder}/web.sock
directory = {folder}
stopsignal = TERM
"""


@pytest.mark.skipif(not (BIN / "supervisord").exists(), reason="Supervisor is not installed in this environment")
def test_the_example_of_supervisor_runs_under_the_real_one(tmp_path):
    (tmp_path / "server.py").write_text("from chaussette.util import hello_app as app\n")
    config = tmp_path / "supervisord.conf"
    # A unix socket, because Supervisor tells no port that it was free to choose.
    assert "--fd 0 --backend meinheld server.app" in documentation("docs/source/index.rst")
    config.write_text(SUPERVISOR.format(folder=tmp_path).replace("command = ", f"command = {BIN}/"))
    with open(tmp_path / "out", "wb") as out:
        daemon = subprocess.Popen([BIN / "supervisord", "-c", config], stdout=out, stderr=out, cwd=tmp_path)
    log = tmp_path / "supervisord.log"
    try:
        soon(
            lambda: log.exists() and log.read_text().count("entered RUNNING state") == 5,
            60,
            (tmp_path / "out").read_text,
        )
        for _ in range(100):
            assert get(str(tmp_path / "web.sock")).body == b"hello world"
    finally:
        daemon.terminate()
        daemon.wait(60)
    assert log.read_text().count("stopped: ") == 5
    assert log.read_text().count("exit status 0") + log.read_text().count("terminated by SIGTERM") == 5


# Its documentation, sentence by sentence


def documentation(name):
    path = FOLDER / "documentation" / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: no documentation of Chaussette 1.3 at {FOLDER}; cure: .ci/install-1.3")
    return path.read_text()


@pytest.mark.parametrize("name", ["README.rst", "docs/source/index.rst"])
def test_each_sentence_of_its_documentation_has_a_test_or_a_reason(name):
    found = prose(documentation(name))
    assert len(found) > 20
    assert [sentence for sentence in found if sentence not in SENTENCES] == []


def test_each_sentence_names_a_test_that_exists_or_stands_in_the_migration():
    text = (ROOT / "docs" / "migration.md").read_text()
    table = text[text.index("sentence by sentence") : text.index("## From gunicorn")]
    tests = "\n".join(path.read_text() for path in (*HERE.glob("test_*.py"), *(ROOT / "tests").glob("*.rs")))
    for sentence, proof in SENTENCES.items():
        if proof == MIGRATION:
            words = QUOTED.get(sentence) or sentence.split(":")[0].rstrip(".")
            quoted = re.findall(r"[^|]+", table)
            shown = any(words[: len(cell.strip(' "'))] == cell.strip(' "') or words in cell for cell in quoted)
            parts = [part for part in re.findall(r'"([^"]+)"', table) if part.rstrip(".") in sentence]
            assert shown or parts, f"not in docs/migration.md: {sentence}"
        elif proof != OTHERS:
            assert re.search(rf"\b(def|fn) {proof}\(", tests), f"{proof}: no such test"


def test_help_has_each_option_of_1_3(command):
    help_of_1_3 = run_old("--help").stdout
    options = set(re.findall(r"^  (--[a-z-]+)", help_of_1_3, re.MULTILINE))
    assert len(options) == 15
    ours = command("--help").stdout
    assert [option for option in sorted(options) if f"{option} " not in ours and f"{option}\n" not in ours] == []


def test_each_option_of_1_3_has_a_row_in_the_migration():
    text = (ROOT / "docs" / "migration.md").read_text()
    table = text[text.index("### Option by option") : text.index("### What else is different")]
    for option in set(re.findall(r"^  (--[a-z-]+)", run_old("--help").stdout, re.MULTILINE)):
        assert f"`{option}" in table, option
