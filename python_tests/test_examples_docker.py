"""examples/docker: clean by hadolint, true of the server that it starts, and built by podman where there is one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.examples import example, option, replaced
from support.process import HERE


def instruction(name):
    """The words of an instruction's exec form."""
    text = example("docker/Dockerfile").replace("\\\n", " ")
    (found,) = re.findall(rf"^{name} [^\[\n]*(\[.*\])$", text, re.MULTILINE)
    return json.loads(found)


@pytest.fixture
def hadolint():
    beside = Path(sys.executable).parent / "hadolint"
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    return found or pytest.skip("NOT TESTED: no hadolint here; cure: pip install --group test")


def test_hadolint_has_nothing_to_say(hadolint, tmp_path):
    (tmp_path / "Dockerfile").write_text(example("docker/Dockerfile"))
    done = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hadolint_would_have_said_something(hadolint, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        replaced(
            example("docker/Dockerfile"), ('["--graceful-timeout", "25", "--timeout", "30", "app:app"]', "app:app")
        )
    )
    done = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert "DL3025" in done.stdout


def test_the_command_serves_and_its_health_is_told(server, tmp_path, command):
    places = [
        ("0.0.0.0:8080", "127.0.0.1:0"),
        ("0.0.0.0:8081", "127.0.0.1:0"),
        ("/run/chaussette/control", tmp_path / "control"),
    ]
    entry, check = instruction("ENTRYPOINT"), instruction("CMD")
    health = instruction("HEALTHCHECK")
    assert entry[0] == health[0] == "chaussette"
    words = replaced("\n".join([*entry[1:], *check]), *places).split("\n")
    site = server(None, *words, listen=None, cwd=HERE.parent / "examples" / "docker")
    host, port = re.search(r"Serving on (\S+):(\d+)$", site.log, re.MULTILINE).groups()
    site.address = host, int(port)
    assert site.get().text.startswith("hello from interpreter 0 of ")
    asked = replaced("\n".join(health[1:]), places[-1]).split("\n")
    well = command(*asked)
    assert well.returncode == 0
    assert "ready" in well.stdout
    assert site.stop() == 0
    assert command(*asked).returncode != 0


def test_what_the_health_check_asks_is_what_the_command_opens():
    assert option(instruction("HEALTHCHECK"), "control") == option(instruction("ENTRYPOINT"), "control")


def test_nothing_of_the_folder_but_what_is_named_reaches_the_image():
    ignored = example("docker/.dockerignore").splitlines()
    assert "*" in ignored
    copied = re.findall(r"^COPY (?!--from)(\S+) ", example("docker/Dockerfile"), re.MULTILINE)
    assert sorted(f"!{name}" for name in copied) == sorted(line for line in ignored if line.startswith("!"))


def test_the_requirement_is_this_release():
    (requirement,) = example("docker/requirements.txt").split()
    import chaussette

    assert requirement == f"chaussette>={chaussette.__version__}"
