"""How an application is named on the command line, and what happens when it cannot be loaded."""

import re
import time

import pytest
from support.isolation import EVERYWHERE

FORMS = [
    ("apps.forms:app", "function"),
    ("apps.forms.app", "function"),
    ("apps.forms:instance", "instance"),
    ("apps.forms:instance.method", "method"),
    ("apps.forms:holder.inner.method", "method"),
    ("apps.forms:Holder.inner", "instance"),
    ("apps.forms:Holder.deeper.app", "function"),
    ("apps.forms.instance", "instance"),
    ("apps.forms:Iterable", "class"),
]


@pytest.mark.parametrize(("spec", "answer"), FORMS, ids=[spec for spec, _ in FORMS])
@EVERYWHERE
def test_an_application_is_found_by_its_spec(server, spec, answer):
    assert server(spec).get().json() == answer


def test_the_default_application_says_hello(server):
    answer = server(None).get()
    assert (answer.status, answer.reason, answer["Content-Type"]) == (200, "OK", "text/plain")
    assert answer.body == b"hello world"


@pytest.mark.parametrize("spec", ["chaussette.util.hello_app", "chaussette.util:hello_app"])
def test_hello_app_of_chaussette_1_can_be_named(server, spec):
    assert server(spec).get().body == b"hello world"


@EVERYWHERE
def test_a_factory_is_called_once_in_each_interpreter(server):
    site = server("apps.forms:make_app", "--factory", "--interpreters", "2")
    assert {site.get().json() for _ in range(10)} == {"factory, called 1 time"}


PASTE = """
[app:main]
use = call:apps.paste_app:factory
word = main word
[app:other]
use = call:apps.paste_app:factory
word = other word
"""


@pytest.mark.parametrize(("suffix", "word"), [("", "main word"), ("#main", "main word"), ("#other", "other word")])
def test_an_application_of_a_paste_file_is_loaded(server, tmp_path, suffix, word):
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    ini = tmp_path / "some.ini"
    ini.write_text(PASTE)
    assert server(f"paste:{ini}{suffix}").get().json() == {"word": word, "here": str(tmp_path)}


def test_a_relative_paste_file_is_found_from_the_working_directory(server, tmp_path):
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    (tmp_path / "some.ini").write_text("[app:main]\nuse = call:here:factory\n")
    (tmp_path / "here.py").write_text(
        "def factory(conf, **kw):\n    from chaussette.util import hello_app\n    return hello_app\n"
    )
    assert server("paste:some.ini", cwd=tmp_path).get().body == b"hello world"


# What cannot be loaded: exit status 4, within seconds, with a traceback where Python raised

UNLOADABLE = [
    ("apps.broken_import:app", r"RuntimeError: broken on purpose while importing"),
    ("apps.broken_import.app", r"RuntimeError: broken on purpose while importing"),
    ("apps.imports_missing:app", r"ModuleNotFoundError: No module named 'apps\.not_there_at_all'"),
    ("apps.not_there:app", r"apps\.not_there"),
    ("not_there_at_all", r"not_there_at_all"),
    ("apps.forms:missing", r"missing"),
    ("apps.forms:holder.missing.app", r"missing"),
    ("apps.forms:not_callable", r"(?i)not callable"),
    ("apps.forms", r"(?i)not callable"),
    ("apps.exits_on_import:app", r"SystemExit: leaving on import"),
    ("paste:/not/there.ini", r"/not/there\.ini"),
]


@pytest.mark.parametrize(("spec", "said"), UNLOADABLE, ids=[spec for spec, _ in UNLOADABLE])
@EVERYWHERE
def test_an_application_that_cannot_be_loaded_ends_the_start_with_status_4(command, spec, said, isolation):
    started = time.monotonic()
    done = command("--port", "0", "--interpreters", "2", "--isolation", isolation, spec)
    assert done.returncode == 4, done.stderr
    assert re.search(said, done.stderr)
    assert re.search(r"\[(ERROR|CRITICAL)\] .*" + re.escape(spec.partition("#")[0]), done.stderr)
    assert "ready" not in done.stderr
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("spec", ["apps.broken_import:app", "apps.imports_missing:app"])
def test_the_traceback_shows_the_line_of_the_application_that_failed(command, spec):
    done = command("--port", "0", spec)
    assert "Traceback (most recent call last)" in done.stderr
    module = spec.partition(":")[0].rpartition(".")[2]
    assert re.search(rf'File ".*{module}\.py", line \d+', done.stderr)


def test_a_syntax_error_is_shown_where_it_is(command, tmp_path):
    (tmp_path / "broken_syntax.py").write_text("def app(environ, start_response)\n    return []\n")
    done = command("--port", "0", "broken_syntax:app", cwd=tmp_path)
    assert done.returncode == 4
    assert re.search(r'broken_syntax\.py", line 1', done.stderr)
    assert "SyntaxError" in done.stderr


@pytest.mark.parametrize(
    ("spec", "said"),
    [("apps.forms:make_error", "the factory failed on purpose"), ("apps.forms:make_nothing", "(?i)not callable")],
)
@EVERYWHERE
def test_a_factory_that_fails_ends_the_start_with_status_4(command, spec, said, isolation):
    done = command("--port", "0", "--factory", "--isolation", isolation, spec)
    assert done.returncode == 4, done.stderr
    assert re.search(said, done.stderr)


def test_a_missing_pastedeploy_is_named_with_its_cure(command, tmp_path):
    """A sitecustomize hides PasteDeploy from every interpreter, whether or not it is installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['paste.deploy'] = None\n")
    (tmp_path / "some.ini").write_text(PASTE)
    done = command("--port", "0", f"paste:{tmp_path}/some.ini", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 4
    assert "PasteDeploy" in done.stderr


def test_a_start_that_is_still_importing_ends_when_asked(server, gate):
    here = gate()
    site = server("apps.waits_on_import:app", "--graceful-timeout", "2", env={"GATE": here.path}, wait=False).expect(
        0, 70
    )
    here.wait()
    assert site.stop(deadline=15) in (0, 70)


def test_a_start_that_is_still_importing_is_not_ready(server, gate):
    here = gate()
    site = server("apps.waits_on_import:app", env={"GATE": here.path}, wait=False)
    here.wait()
    assert "ready" not in site.log
    here.open()
    site.wait_ready()
    assert site.get().text == "imported"
