"""PasteDeploy's files: applications with their logging in each interpreter, and `use = egg:chaussette` under pserve."""

import logging
import re
import sys
from pathlib import Path

import pytest
from support.isolation import EVERYWHERE
from support.process import HERE, Server

pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")

LOGGING = """
[loggers]
keys = root, site
[handlers]
keys = file
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = file
[logger_site]
level = INFO
handlers =
qualname = site_of_pyramid
[handler_file]
class = FileHandler
args = ('%(here)s/site.log', 'a')
formatter = plain
[formatter_plain]
format = %(levelname)s %(name)s: %(message)s
"""

APPLICATIONS = """
[app:main]
use = call:apps.pyramid_app:main
word = main word
[app:other]
use = call:apps.pyramid_app:main
word = other word
[filter-app:filtered]
use = call:apps.paste_app:marking
next = main
"""


@pytest.fixture
def ini(tmp_path):
    """A function that writes an ini file with the applications, and more sections."""
    pytest.importorskip("pyramid", reason="Pyramid is not installed")

    def write(*sections):
        path = tmp_path / "site.ini"
        path.write_text("\n".join([APPLICATIONS, *sections]))
        return path

    return write


@pytest.fixture
def pserve(tmp_path):
    """A function that starts Pyramid's pserve on an ini file; at the end each must obey SIGTERM and exit 0."""
    started = []

    def start(path, *words):
        command = [str(Path(sys.executable).parent / "pserve"), str(path), *words]
        server = Server(command, tmp_path / f"pserve-{len(started)}", popen={"cwd": str(HERE), "env": PATHS})
        started.append(server)
        server.wait_ready()
        found = re.search(r"Serving on (?:unix:(\S+)|(\S+):(\d+))$", server.log, re.MULTILINE)
        server.address = found[1] or (found[2], int(found[3]))
        return server

    yield start
    wrong = [sentence for server in started for sentence in server.clean_up()]
    assert not wrong, "\n".join(wrong)


#: pserve is a console script: its own folder is what it imports from.
PATHS = {"PYTHONPATH": str(HERE)}


@EVERYWHERE
def test_the_logging_configuration_of_the_file_holds_in_each_interpreter(server, ini, tmp_path):
    site = server(f"paste:{ini(LOGGING)}", "--interpreters", "2")
    seen = {site.get().json()["interpreter"] for _ in range(20)}
    lines = (tmp_path / "site.log").read_text().splitlines()
    assert len(lines) == 20
    assert {line.removeprefix("INFO site_of_pyramid: visited in ") for line in lines} == {str(n) for n in seen}


def test_loggers_that_are_there_already_are_not_switched_off(server, tmp_path):
    (tmp_path / "early.py").write_text(
        "import logging\n"
        "early = logging.getLogger('early')\n"
        "def factory(conf, **settings):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [str(early.disabled).encode()]\n"
        "    return app\n"
    )
    (tmp_path / "sitecustomize.py").write_text("import early\n")
    path = tmp_path / "early.ini"
    path.write_text("[app:main]\nuse = call:early:factory\n" + LOGGING)
    assert server(f"paste:{path}", env={"PYTHONPATH": str(tmp_path)}).get().text == "False"


@pytest.mark.parametrize(("suffix", "word"), [("", "main word"), ("#main", "main word"), ("#other", "other word")])
def test_an_application_is_named_after_the_file(server, ini, suffix, word):
    assert server(f"paste:{ini()}{suffix}").get().json()["word"] == word


def test_a_path_with_a_colon_is_a_path(server, tmp_path):
    """1.3 took what followed the last one."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "some.ini").write_text("[app:main]\nuse = call:apps.paste_app:factory\nword = found\n")
    assert server(f"paste:{folder}/some.ini").get().json()["word"] == "found"


def test_pserve_serves_in_the_main_interpreter(pserve, ini):
    site = pserve(ini("[server:main]\nuse = egg:chaussette\nport = 0\nthreads = 2\n"))
    assert site.get().json() == {"word": "main word", "interpreter": 0}
    assert "Serving on 127.0.0.1:" in site.log
    assert "Using 1 main interpreter x 2 threads as a backend" in site.log


def test_pserve_serves_in_interpreters_of_their_own(pserve, ini):
    site = pserve(ini("[server:main]\nuse = egg:chaussette\nport = 0\ninterpreters = 2\n"))
    assert {site.get().json()["interpreter"] for _ in range(20)} <= {0, 1}
    assert re.search(r"Using (2 own-GIL interpreters|1 free-threaded interpreter) x", site.log)


def test_pserve_serves_another_application_of_the_file(pserve, ini):
    server = "[server:main]\nuse = egg:chaussette\nport = 0\ninterpreters = 1\napp_name = other\n"
    assert pserve(ini(server), "--app-name", "other").get().json()["word"] == "other word"


def test_pserve_takes_other_backends_by_the_keys_of_1_3(pserve, ini, tmp_path):
    server = (
        "[server:main]\nuse = egg:chaussette\nhost = unix:%(here)s/web.sock\nbackend = waitress\nbacklog = 7\n"
        "address_family = AF_UNIX\nsocket_type = SOCK_STREAM\nlog_level = info\nlog_output = -\n"
        "pre_hook = apps.hooks.pre\npost_hook = apps.hooks.post\n"
    )
    site = pserve(ini(server))
    assert site.get().json()["word"] == "main word"
    assert "pre-hook: chaussette.backend._interpreters:objects.application_0" in site.out
    assert site.stop() == 0
    assert "post-hook: " in site.out


def test_a_wrong_key_is_told_as_an_option(ini, tmp_path):
    path = ini("[server:main]\nuse = egg:chaussette\nbackend = nosuch\nport = 0\n")
    command = [str(Path(sys.executable).parent / "pserve"), str(path)]
    server = Server(command, tmp_path / "pserve", popen={"cwd": str(HERE), "env": PATHS})
    assert server.wait() == 2
    assert "there is no backend nosuch" in server.log


def test_the_factory_gives_what_serves(ini):
    """paste.server_factory, for code that loads a server from a file by itself."""
    from paste.deploy import loadserver

    path = ini("[server:main]\nuse = egg:chaussette#factory\nport = 0\n")
    assert callable(loadserver(f"config:{path}"))


def test_keys_become_options():
    from chaussette._paste import words

    settings = {"fd": "3", "log_level": "debug", "no_monkey": "true", "clear_untrusted_proxy_headers": "off"}
    line = words(logging.getLogger, {}, settings)
    assert line[1:4] == ["--fd=3", "--log-level=debug", "--no-monkey"]
    assert "--host=127.0.0.1" not in line
    with pytest.raises(ValueError, match="no_monkey = perhaps: write true or false"):
        words(logging.getLogger, {}, {"no_monkey": "perhaps"})
