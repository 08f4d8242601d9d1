"""Real clients of real applications that keep versions: git, Mercurial, pip and twine."""

import os
import random
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.clients import Holdings, run, sha256, url

BIN = Path(sys.executable).parent

#: Bytes of a pushed file that does not compress: some packets of git's, and far above http.postBuffer below.
BIG = 3_000_000

#: http.postBuffer, in bytes: what is longer is sent chunked. Near the least that git takes (LARGE_PACKET_MAX, 65520).
POST_BUFFER = 100_000


def git(*words, cwd, **more):
    settings = {"http.postBuffer": POST_BUFFER, "user.name": "tester", "user.email": "t@example.org"}
    given = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", **more.pop("env", {})}
    return run("git", *given, *words, cwd=cwd, env=quiet, **more)


def commit(folder, name, content):
    (folder / name).write_bytes(content)
    git("add", name, cwd=folder)
    git("commit", "-q", "-m", f"add {name}", cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder).stdout.strip()


@pytest.fixture
def origin(tmp_path):
    """A bare repository with some history: many small commits, one file of BIG bytes."""
    bare, work = tmp_path / "root" / "project.git", tmp_path / "seed"
    git("init", "-q", "--bare", "-b", "main", bare, cwd=tmp_path)
    git("init", "-q", "-b", "main", work, cwd=tmp_path)
    for count in range(5):
        commit(work, f"file-{count}", b"%d\n" % count * 1000)
    commit(work, "big", random.Random(3).randbytes(BIG))
    git("push", "-q", bare, "main", cwd=work)
    return bare


@pytest.fixture(params=["http-backend", "dulwich"])
def git_site(request, tool, server, origin):
    tool("git")
    many = ["--interpreters", "2", "--threads", "2"]
    if request.param == "dulwich":
        pytest.importorskip("dulwich", reason="dulwich is not installed")
        return server("apps.git_dulwich:app", *many, env={"GIT_REPOSITORY": str(origin)})
    env = {"GIT_PROJECT_ROOT": str(origin.parent), "PATH": os.environ["PATH"]}
    return server("apps.git_http_backend:app", *many, env=env)


def test_git_clones_pushes_in_chunks_and_fetches_back(git_site, origin, tmp_path):
    here, other = tmp_path / "here", tmp_path / "other"
    # dulwich keeps packs open.
    held = Holdings(git_site, but=".git/objects/pack")
    git("clone", "-q", url(git_site, "/project.git"), here, cwd=tmp_path)
    git("clone", "-q", url(git_site, "/project.git"), other, cwd=tmp_path)
    pushed = commit(here, "more", random.Random(4).randbytes(BIG))
    trace = git("push", "origin", "main", cwd=here, env={"GIT_CURL_VERBOSE": "1"}).stderr
    assert "transfer-encoding: chunked" in trace.lower()
    git("fetch", "-q", "origin", cwd=other)
    assert git("rev-parse", "origin/main", cwd=other).stdout.strip() == pushed
    for repository in (origin, here, other):
        git("fsck", "--strict", "--full", cwd=repository)
    held.wait_as_before()


def test_git_clones_shallow_and_deepens(git_site, tmp_path):
    shallow = tmp_path / "shallow"
    git("clone", "-q", "--depth", "1", url(git_site, "/project.git"), shallow, cwd=tmp_path)
    assert git("rev-list", "--count", "HEAD", cwd=shallow).stdout.strip() == "1"
    git("fetch", "-q", "--unshallow", cwd=shallow)
    assert git("rev-list", "--count", "HEAD", cwd=shallow).stdout.strip() == "6"
    git("fsck", "--strict", cwd=shallow)


def test_git_clones_from_many_at_once(git_site, tmp_path):
    def clone(name):
        git("clone", "-q", url(git_site, "/project.git"), tmp_path / name, cwd=tmp_path)
        return git("rev-parse", "HEAD", cwd=tmp_path / name).stdout

    with ThreadPoolExecutor(6) as clients:
        assert len(set(clients.map(clone, [f"clone-{n}" for n in range(6)]))) == 1


def hg(*words, cwd, **more):
    """The hg of this environment: the same Mercurial as the server's, and its own C parts."""
    return run(BIN / "hg", *words, cwd=cwd, env={"HGPLAIN": "1", "HGUSER": "tester", "HGRCPATH": ""}, **more)


@pytest.fixture(
    params=[
        "py",
        pytest.param("c", marks=pytest.mark.isolation("main", "process", reason="its C parts refuse the others")),
    ]
)
def hg_site(request, server, tmp_path):
    """hgweb in pure Python, and with its C parts."""
    pytest.importorskip("mercurial", reason="Mercurial is not installed")
    origin = tmp_path / "origin"
    # Its zstd is one of those C parts.
    hg("init", "--config", "format.revlog-compression=zlib", origin, cwd=tmp_path)
    (origin / ".hg" / "hgrc").write_text("[web]\npush_ssl = false\nallow_push = *\n")
    env = {"HG_REPOSITORY": str(origin), "HGMODULEPOLICY": request.param, "HGRCPATH": "", "PATH": os.environ["PATH"]}
    return server("apps.hg_web:app", "--interpreters", "2", env=env)


def test_mercurial_clones_pushes_and_pulls(hg_site, tmp_path):
    here, other = tmp_path / "here", tmp_path / "other"
    held = Holdings(hg_site)
    for name in (here, other):
        hg("clone", url(hg_site), name, cwd=tmp_path)
    for count in range(5):
        (here / f"file-{count}").write_bytes(random.Random(count).randbytes(100_000))
        hg("commit", "-A", "-m", f"add {count}", cwd=here)
    hg("push", cwd=here)
    hg("pull", "-u", cwd=other)
    assert hg("id", "-i", cwd=other).stdout == hg("id", "-i", cwd=here).stdout
    hg("verify", cwd=other)
    hg("verify", cwd=tmp_path / "origin")
    assert "add 4" in run("curl", "-sSf", url(hg_site, "/log"), cwd=tmp_path).stdout
    held.wait_as_before()


@pytest.fixture
def index(server, tmp_path):
    pytest.importorskip("pypiserver", reason="pypiserver is not installed")
    (tmp_path / "packages").mkdir()
    return server("apps.package_index:app", "--interpreters", "2", env={"PACKAGES": str(tmp_path / "packages")})


def a_wheel(folder):
    """A wheel with a module that says hello and some ballast, so that it takes more than one buffer."""
    name, info = "greeting-1.0-py3-none-any.whl", "greeting-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("greeting.py", "print('hello')\n")
        wheel.writestr("ballast.bin", random.Random(5).randbytes(BIG))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder / name


def test_twine_uploads_what_pip_installs(index, tmp_path):
    pytest.importorskip("twine", reason="twine is not installed")
    wheel = a_wheel(tmp_path)
    held = Holdings(index)
    twine = [sys.executable, "-m", "twine", "upload", "--non-interactive", "-u", "any", "-p", "any"]
    run(*twine, "--repository-url", url(index), wheel, cwd=tmp_path)
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
    simple = ["--index-url", url(index, "/simple/"), "greeting"]
    run(*pip, "download", "-d", tmp_path / "got", *simple, cwd=tmp_path)
    assert sha256(tmp_path / "got" / wheel.name) == sha256(wheel)
    run(*pip, "install", "--target", tmp_path / "site", *simple, cwd=tmp_path)
    assert run(sys.executable, "-c", "import greeting", cwd=tmp_path / "site").stdout == "hello\n"
    held.wait_as_before()
