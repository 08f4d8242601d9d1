"""--reload: saving a file brings the new answer; a mistake is shown, and the next save tries again."""

import os
import re
import sys

import pytest
from support.isolation import EVERYWHERE, REPLACEABLE
from support.waiting import soon

#: Seconds for a save to be answered: it takes one import and 0.1 s, and machines are busy.
SAVED = 30.0

PLAIN = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{text!r}.encode()]
"""

OTHER = """
import {module}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{module}.text().encode()]
"""


class Site:
    """A folder with an application in it, and its server."""

    def __init__(self, server, folder):
        self.server, self.folder, self.site = server, folder, None

    def save(self, name, text, by="write"):
        """Save a file as editors do."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if by == "write":
            path.write_text(text)
        elif by == "rename":
            draft = path.with_name(f".{path.name}.draft")
            draft.write_text(text)
            draft.rename(path)
        elif by == "backup":
            path.rename(path.with_name(f"{path.name}~"))
            path.write_text(text)

    def start(self, *options, application="site_app:app", **more):
        # No .pyc: two saves within a second, of the same length, are one file to Python's cache.
        env = {"PYTHONDONTWRITEBYTECODE": "1", **more.pop("env", {})}
        self.site = self.server(application, *options, cwd=self.folder, env=env, **more)
        return self.site

    def answers(self, text, status=200):
        """Wait until the answer has `text`; each request on the way is answered, by old code or new."""
        answer = None

        def new():
            nonlocal answer
            answer = self.site.get()
            return answer.status == status and text in answer.text

        soon(new, SAVED, what=lambda: f"{text!r}, the last answer was {answer}; the log was:\n{self.site.log}")
        return answer


@pytest.fixture
def folder(server, tmp_path):
    (tmp_path / "site").mkdir()
    return Site(server, tmp_path / "site")


@pytest.mark.parametrize("option", ["--reload", "--use-reloader"])
@EVERYWHERE
def test_a_saved_file_brings_the_new_answer(folder, option):
    folder.save("site_app.py", PLAIN.format(text="one"))
    site = folder.start(option)
    assert site.get().text == "one"
    for text in ("two", "three", "four"):
        mark = site.mark()
        folder.save("site_app.py", PLAIN.format(text=text))
        folder.answers(text)
        site.wait_for_log(r"--reload: site_app\.py has changed", mark)
    assert site.running


@REPLACEABLE
@pytest.mark.parametrize("by", ["write", "rename", "backup"])
def test_however_an_editor_saves(folder, by):
    folder.save("site_app.py", PLAIN.format(text="one"))
    folder.start("--reload", "--interpreters", "2")
    for text in ("two", "three"):
        folder.save("site_app.py", PLAIN.format(text=text), by)
        folder.answers(text)


@EVERYWHERE
def test_modules_that_the_application_imports_are_watched_wherever_they_are(folder, tmp_path):
    library = tmp_path / "library"
    (library / "deep" / "er").mkdir(parents=True)
    (library / "deep" / "er" / "part.py").write_text("def text(): return 'one'\n")
    folder.save("site_app.py", OTHER.format(module="deep.er.part"))
    folder.start("--reload", "--python-path", library)
    folder.answers("one")
    (library / "deep" / "er" / "part.py").write_text("def text(): return 'two'\n")
    folder.answers("two")


@EVERYWHERE
def test_a_module_that_a_request_imports_is_watched_too(folder, tmp_path):
    """As Django imports views: no load knows of them."""
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "late_views.py").write_text("def text(): return 'one'\n")
    folder.save(
        "site_app.py",
        OTHER.format(module="late_views")
        .replace("\nimport late_views", "")
        .replace("    start", "    import late_views\n    start"),
    )
    site = folder.start("--reload", "--python-path", tmp_path / "views")
    assert site.get().text == "one"
    (tmp_path / "views" / "late_views.py").write_text("def text(): return 'two'\n")
    folder.answers("two")


@REPLACEABLE
def test_a_syntax_error_is_shown_and_the_old_code_goes_on(folder):
    folder.save("site_app.py", OTHER.format(module="part"))
    folder.save("part.py", "def text(): return 'one'\n")
    site = folder.start("--reload")
    assert site.get().text == "one"
    folder.save("part.py", "def text() return 'two'\n")
    site.wait_for_log(r"part\.py\", line 1$")
    site.wait_for_log("^SyntaxError: ")
    assert site.get().text == "one"
    folder.save("part.py", "def text(): return 'three'\n")
    folder.answers("three")
    assert site.running


@EVERYWHERE
@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ("def app(environ, start_response)\n", "SyntaxError"),
        ("import part_that_is_missing\n", "part_that_is_missing"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import sys\nsys.exit('enough')\n", "enough"),
        ("", "app"),
    ],
    ids=["syntax", "import", "raises", "exits", "empty"],
)
def test_an_application_that_is_broken_at_the_start_is_waited_for(folder, broken, shown):
    """Its report is the answer until a save mends it."""
    folder.save("site_app.py", broken)
    site = folder.start("--reload", wait=False)
    site.wait_for_log(r"--reload: this report is the answer")
    answer = site.get()
    assert (answer.status, answer["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert shown in answer.text
    assert "cannot load application site_app:app" in answer.text
    folder.save("site_app.py", "still = wrong\n")
    folder.answers("NameError", status=500)
    folder.save("site_app.py", PLAIN.format(text="mended"))
    folder.answers("mended")
    assert site.running


def test_a_module_that_was_missing_is_found_once_it_is_there(folder):
    folder.save("site_app.py", OTHER.format(module="part"))
    site = folder.start("--reload", wait=False)
    site.wait_for_log(r"--reload: this report is the answer")
    assert "No module named 'part'" in site.get().text
    folder.save("part.py", "def text(): return 'there'\n")
    folder.answers("there")


def test_an_application_that_is_missing_is_waited_for(folder):
    site = folder.start("--reload", wait=False)
    site.wait_for_log(r"--reload: this report is the answer")
    assert "site_app" in site.get().text
    folder.save("site_app.py", PLAIN.format(text="there"))
    folder.answers("there")


def test_without_the_option_a_broken_application_ends_the_process_and_nothing_is_watched(folder, command):
    folder.save("site_app.py", "def app(:\n")
    assert command("site_app:app", cwd=folder.folder).returncode == 4
    folder.save("site_app.py", PLAIN.format(text="one"))
    site = folder.start()
    folder.save("site_app.py", PLAIN.format(text="two"))
    names = {os.readlink(fd) for fd in site._fds() if fd.exists()}
    assert not any("inotify" in name for name in names) or sys.platform != "linux"
    assert site.get().text == "one"


@EVERYWHERE
def test_further_files_are_named_by_patterns(folder):
    reads = (
        OTHER.format(module="part")
        .replace("import part", "text = open('templates/a/page.html').read()")
        .replace("part.text()", "text")
    )
    folder.save("site_app.py", reads)
    folder.save("templates/a/page.html", "one")
    site = folder.start("--reload", "--reload-include", "templates/**/*.html")
    assert site.get().text == "one"
    folder.save("templates/a/page.html", "two")
    folder.answers("two")


def test_a_pattern_that_is_none_is_refused_by_name(command):
    done = command("--reload", "--reload-include", "templates/[", "apps.hello:app")
    assert done.returncode == 2
    assert done.stderr.startswith("chaussette: error: --reload-include templates/[: not a pattern")
    done = command("--reload", "--reload-include", "", "apps.hello:app")
    assert done.returncode == 2


def test_patterns_without_reload_are_told_to_be_useless(server):
    site = server("apps.hello:app", "--reload-include", "*.html")
    site.wait_for_log(r"--reload-include has no effect without --reload")


@pytest.mark.isolation("main", reason="elsewhere the process need not begin anew")
def test_a_reload_in_the_main_interpreter_keeps_the_process_and_its_sockets(folder):
    """It begins anew in its place: same process, same address, same environment and folder as at its start."""
    app = PLAIN + "\nimport os\nos.environ['ADDED'] = 'by the application'\nos.chdir('/')\n"
    folder.save("site_app.py", app.format(text="one"))
    site = folder.start("--reload", "--port", "0", listen=None)
    port = int(re.search(r"Serving on localhost:(\d+)", site.log).group(1))
    site.address = ("127.0.0.1", port)
    assert site.get().text == "one"
    for text in ("two", "three"):
        mark = site.mark()
        folder.save(
            "site_app.py",
            app.format(text=text).replace("os.environ['", "assert 'ADDED' not in os.environ\nos.environ['"),
        )
        folder.answers(text)
        assert site.wait_for_log(r"Serving on (\S+)", mark).group(1) == f"localhost:{port}"
        assert f"[{site.pid}]" in site.log[mark:]
    names = [os.readlink(fd) for fd in site._fds() if fd.exists()]
    assert len([name for name in names if name.startswith("socket:")]) < 12


def test_the_process_ends_as_ever_after_reloads(folder):
    folder.save("site_app.py", PLAIN.format(text="one"))
    site = folder.start("--reload")
    folder.save("site_app.py", PLAIN.format(text="two"))
    folder.answers("two")
    assert site.stop() == 0


def test_a_process_that_waits_for_a_save_stops_when_it_is_told_to(folder):
    folder.save("site_app.py", "broken = here\n")
    site = folder.start("--reload", wait=False)
    site.wait_for_log(r"--reload: this report is the answer")
    assert site.stop() == 0
