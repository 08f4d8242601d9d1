"""Django's admin, driven by `requests` as a person's browser would: sessions, CSRF, uploads, static files."""

import random
import re
import sys
from collections import Counter

import pytest
from support.clients import GROWTH, Holdings, run, url
from support.isolation import plan
from support.process import HERE

UPLOAD = random.Random(6).randbytes(20_000_000)


@pytest.fixture(scope="module")
def library(module_server, tmp_path_factory):
    for module in ("django", "whitenoise", "requests"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    folder = tmp_path_factory.mktemp("library")
    env = {"LIBRARY": str(folder), "DJANGO_SETTINGS_MODULE": "apps.library.settings"}
    for words in (["migrate", "--run-syncdb"], ["collectstatic"], ["createsuperuser"]):
        names = ["--username", "admin", "--email", "a@example.org"] if words == ["createsuperuser"] else []
        given = [sys.executable, "-m", "django", *words, "--noinput", *names, "-v", "0"]
        run(*given, cwd=HERE, env={**env, "DJANGO_SUPERUSER_PASSWORD": "secret"})
    site = module_server("apps.library.wsgi:application", "--interpreters", "2", env=env)
    # It need not fall back to anything else.
    assert plan().is_cell or re.search(r"Using (2 own-GIL|1 free-threaded) interpreter", site.log), site.log
    return site


@pytest.fixture
def browser(library):
    """A logged-in session."""
    import requests

    with requests.Session() as session:
        page = session.get(url(library, "/admin/login/?next=/admin/"))
        form = {"username": "admin", "password": "secret", "next": "/admin/", "csrfmiddlewaretoken": token(page)}
        assert "Log out" in session.post(page.url, data=form).text
        yield session


def token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text).group(1)


def submit(browser, path, files=None, **fields):
    """Open the form at `path` and send it."""
    page = browser.get(path)
    assert page.status_code == 200, page.text
    return browser.post(path, data={"csrfmiddlewaretoken": token(page), **fields}, files=files)


def add(browser, library, title, content):
    answer = submit(browser, url(library, "/admin/library/document/add/"), {"file": (title, content)}, title=title)
    assert "was added successfully" in answer.text, answer.text
    return int(re.search(r"/document/(\d+)/change/", answer.text).group(1))


def leave(browser, library):
    """End the session's connection: requests keeps the last one open even when the session is closed."""
    browser.get(url(library, "/page"), headers={"Connection": "close"})


def test_a_post_without_its_csrf_token_is_refused(browser, library):
    assert browser.post(url(library, "/admin/library/document/add/"), data={"title": "x"}).status_code == 403


def test_documents_are_added_changed_and_deleted(browser, library):
    pk = add(browser, library, "first", b"content")
    path = url(library, f"/admin/library/document/{pk}")
    assert "was changed successfully" in submit(browser, f"{path}/change/", title="caf\u00e9 & co").text
    assert "caf\u00e9 &amp; co" in browser.get(url(library, "/admin/library/document/")).text
    assert "caf\u00e9 & co\n" in browser.get(url(library, "/titles")).text
    assert "was deleted successfully" in submit(browser, f"{path}/delete/", post="yes").text
    assert browser.get(url(library, f"/documents/{pk}")).status_code == 404


def test_a_large_upload_comes_back_through_the_file_wrapper(browser, library):
    leave(browser, library)
    held, before = Holdings(library), library.status_kib("VmHWM")
    pk = add(browser, library, "large", UPLOAD)
    answer = browser.get(url(library, f"/documents/{pk}"))
    assert answer.headers["Content-Length"] == str(len(UPLOAD))
    assert answer.content == UPLOAD
    assert library.status_kib("VmHWM") - before < GROWTH
    leave(browser, library)
    held.wait_as_before()


def test_a_page_is_not_sent_again_to_who_has_it(browser, library):
    first = browser.get(url(library, "/page"))
    again = browser.get(url(library, "/page"), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert "Content-Length" not in again.headers or again.headers["Content-Length"] == first.headers["Content-Length"]
    head = browser.head(url(library, "/page"))
    assert (head.status_code, head.headers["Content-Length"]) == (200, first.headers["Content-Length"])
    # The connection is still in step.
    assert browser.get(url(library, "/page")).content == first.content


def test_the_admins_static_files_come_through_whitenoise(browser, library):
    page = browser.get(url(library, "/admin/")).text
    paths = re.findall(r'"(/static/[^"]+)"', page)
    assert len(paths) > 5, page
    for path in paths:
        answer = browser.get(url(library, path))
        assert (answer.status_code, len(answer.content)) == (200, int(answer.headers["Content-Length"])), path
        again = browser.get(url(library, path), headers={"If-Modified-Since": answer.headers["Last-Modified"]})
        assert (again.status_code, again.content) == (304, b""), path
    part = browser.get(url(library, paths[0]), headers={"Range": "bytes=10-19"})
    assert (part.status_code, len(part.content)) == (206, 10)


def test_a_session_is_one_connection(browser, library):
    browser.get(url(library, "/admin/"))
    ports = Counter()
    for _ in range(10):
        with browser.get(url(library, "/page"), stream=True) as answer:
            ports[answer.raw.connection.sock.getsockname()] += 1
            assert answer.content
    assert len(ports) == 1
