"""Flask and Django from PyPI, in own-GIL interpreters and in the main one; and the examples that are shipped."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.isolation import EVERYWHERE, SEVERAL, turns
from support.process import HERE

EXAMPLES = HERE.parent / "examples"


@pytest.fixture(scope="module", params=turns())
def flask_site(request, module_server):
    pytest.importorskip("flask", reason="Flask is not installed")
    return module_server("apps.flask_app:app", "--isolation", request.param, "--interpreters", "2", "--threads", "2")


def test_flask_renders_and_escapes(flask_site):
    assert flask_site.get("/?name=%3Cyou%3E").text == "hello &lt;you&gt; & co"


def test_flask_parses_an_uploaded_form(flask_site):
    body = (
        b'--B\r\nContent-Disposition: form-data; name="name"\r\n\r\ncaf\xc3\xa9\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    )
    body += b"x" * 700_000 + b"\r\n--B--\r\n"
    headers = [("Content-Type", "multipart/form-data; boundary=B")]
    expected = {"name": "caf\u00e9", "size": 700_000, "filename": "a.bin"}
    assert flask_site.request("POST", "/form", headers, body).json() == expected
    chunks = [body[n : n + 9999] for n in range(0, len(body), 9999)]
    assert flask_site.request("POST", "/form", headers, chunks=chunks).json() == expected


def test_flask_keeps_a_session_across_interpreters(flask_site):
    headers = []
    with flask_site.connect() as connection:
        for count in range(1, 6):
            answer = connection.get("/session", headers)
            assert answer.text == str(count)
            headers = [("Cookie", answer["Set-Cookie"].partition(";")[0])]


def test_flask_streams(flask_site):
    assert flask_site.get("/stream").text.splitlines() == [f"line {n}" for n in range(100)]


def test_flask_sends_a_file_through_the_file_wrapper(flask_site):
    assert flask_site.get("/file").body == (HERE / "apps" / "flask_app.py").read_bytes()
    assert (
        flask_site.get("/file", [("Range", "bytes=10-19")]).body == (HERE / "apps" / "flask_app.py").read_bytes()[10:20]
    )


def test_flask_answers_errors_itself(flask_site):
    mark = flask_site.mark()
    assert flask_site.get("/boom").status == 500
    assert flask_site.get("/nowhere").status == 404
    flask_site.wait_for_log("RuntimeError: Flask's own error page", mark)


@EVERYWHERE
def test_django_serves_its_models_from_each_interpreter(server, isolation, tmp_path):
    pytest.importorskip("django", reason="Django is not installed")
    # One after another: the migration of each interpreter works on the same sqlite file.
    database = {"DATABASE": str(tmp_path / "database.sqlite3")}
    first = server("apps.django_app:app", env=database)
    assert first.get("/?name=%26").text == "hello &amp;"
    assert first.request("POST", "/groups", [("Content-Type", "application/x-www-form-urlencoded")], b"name=a").json()
    assert first.stop() == 0
    site = server("apps.django_app:app", "--interpreters", "2", env=database)
    with site.connect() as connection:
        answers = [connection.get("/groups").json() for _ in range(20)]
    assert {tuple(answer["groups"]) for answer in answers} == {("a",)}
    assert site.get("/stream").text.splitlines()[-1] == "line 99"
    assert {answer["interpreter"] for answer in answers} == ({0, 1} if isolation in SEVERAL.args else {0})


def copy_of_example(name, to):
    """A copy: running an example may write a database and byte code into its folder."""
    if not (EXAMPLES / name).exists():
        pytest.skip(f"examples/{name} is not beside this suite")
    return Path(shutil.copytree(EXAMPLES / name, to / name, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__")))


def spec_of(folder):
    """The application of the folder: Django's wsgi module, or the first module that has an `app`."""
    if (folder / "manage.py").exists():
        name = re.search(r"""["'](\w+)\.settings["']""", (folder / "manage.py").read_text()).group(1)
        return f"{name}.wsgi:application"
    for path in sorted(folder.glob("*.py")):
        if found := re.search(r"^(?:def )?(app|application)\b", path.read_text(), re.MULTILINE):
            return f"{path.stem}:{found.group(1)}"
    raise AssertionError(f"no application in {folder}")


@EVERYWHERE
@pytest.mark.parametrize("name", ["hello", "flask", "django"])
def test_the_shipped_example_runs(server, name, tmp_path):
    folder = copy_of_example(name, tmp_path)
    if name != "hello":
        pytest.importorskip(name, reason=f"{name} is not installed")
    if name == "django":
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=folder, check=True)
    site = server(spec_of(folder), "--interpreters", "2", cwd=folder)
    for _ in range(4):
        assert site.get("/", [("Host", "localhost")]).status < 400
