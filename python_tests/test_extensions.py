"""Extensions that refuse own-GIL interpreters: what auto does, what is said, and the .py beside the .so."""

import re

import pytest

pytestmark = pytest.mark.isolation("own-gil", reason="extensions refuse nothing else")

EXTENSION = r"numpy\._core\._multiarray_umath"


@pytest.fixture(scope="module", autouse=True)
def numpy_is_there():
    pytest.importorskip("numpy", reason="numpy is not installed")


def test_auto_falls_back_to_processes_and_names_the_extension(server):
    site = server("apps.needs_numpy:app", "--isolation", "auto", "--interpreters", "2", "--threads", "2")
    assert site.get().json()["sum"] == 45
    lines = [line for line in site.log.splitlines() if re.search(EXTENSION, line)]
    assert len(lines) == 1, site.log
    assert "[WARNING]" in lines[0]
    assert "2 worker processes instead" in lines[0]
    assert "Traceback" not in site.log


def test_auto_falls_back_for_an_extension_that_cpython_names_by_the_last_part_only(server, tmp_path):
    # Single-phase initialization inside a package: "module _psutil_linux does not support …".
    pytest.importorskip("psutil", reason="psutil, which Circus needs, is not installed")
    (tmp_path / "needs_psutil.py").write_text("import psutil\nfrom chaussette.util import hello_app as app\n")
    site = server("needs_psutil:app", "--isolation", "auto", "--interpreters", "2", cwd=tmp_path)
    assert site.get().status == 200
    site.wait_for_log(r"\[WARNING\] extension module psutil\._psutil\w+ refuses .*worker processes instead")


def test_auto_falls_back_for_a_module_of_cpython_itself(server, tmp_path):
    (tmp_path / "needs_faulthandler.py").write_text(
        "import faulthandler\nfrom chaussette.util import hello_app as app\n"
    )
    site = server("needs_faulthandler:app", "--isolation", "auto", "--interpreters", "2", cwd=tmp_path)
    assert site.get().status == 200
    site.wait_for_log(r"\[WARNING\] extension module faulthandler refuses")


def test_own_gil_on_purpose_ends_with_status_4_the_extension_and_the_import_chain(command):
    done = command("--port", "0", "--isolation", "own-gil", "--interpreters", "2", "apps.needs_numpy:app")
    assert done.returncode == 4, done.stderr
    assert re.search(EXTENSION, done.stderr)
    chain = ["apps.needs_numpy", "apps.needs_numpy_inside", "numpy"]
    found = [re.search(rf"\b{re.escape(module)}\b", done.stderr) for module in chain]
    assert all(found), done.stderr
    assert re.search(r"--isolation", done.stderr)


def test_the_py_beside_a_refusing_extension_is_loaded_and_said_once_per_module(server):
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    site = server("apps.sqlalchemy_app:app", "--isolation", "own-gil", "--interpreters", "2")
    seen = {}
    with site.connect() as connection:
        while len(seen) < 2 or sum(seen.values()) < 10:
            answer = connection.get("/").json()
            number = answer["interpreter"]
            seen[number] = seen.get(number, 0) + 1
            assert answer["count"] == seen[number]
    lines = [line for line in site.log.splitlines() if "sqlalchemy" in line and "_cy" in line]
    named = re.findall(r"sqlalchemy\.[\w.]+_cy", "\n".join(lines))
    assert named
    assert len(named) == len(set(named)), lines


def test_main_needs_no_fallback(server):
    site = server("apps.needs_numpy:app", "--isolation", "main")
    assert site.get().json()["sum"] == 45
    assert not re.search(EXTENSION, site.log)
