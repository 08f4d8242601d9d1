"""examples/docker: clean by hadolint, true of the server that it starts, and its steps done one by one."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
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


def steps():
    """The RUN lines, and the COPY lines as what they do, of both stages."""
    lines = []
    for line in example("docker/Dockerfile").replace("\\\n", " ").splitlines():
        name, _, words = line.partition(" ")
        if name == "RUN":
            lines.append(re.sub(r"^\s*--mount=\S+\s+", "", words))
        elif name == "COPY" and not words.startswith("--from"):
            source, target = words.split()
            lines.append(f"mkdir -p {target} && cp /context/{source} {target}")
    return lines


#: Asks the server, once it is there, and prints what it says; then looks at who it is, and ends it.
VISIT = """
import json, os, subprocess, sys, urllib.request
server = subprocess.Popen(json.loads(sys.argv[1]), stderr=subprocess.PIPE, text=True, cwd="/srv/web")
for line in server.stderr:
    if "] ready: " in line:
        break
print(urllib.request.urlopen("http://127.0.0.1:8080/").read().decode().split(" of ")[0])
print(urllib.request.urlopen("http://127.0.0.1:8081/readyz").read().decode().strip())
print(subprocess.run(json.loads(sys.argv[2]), capture_output=True).returncode)
print(os.getuid(), oct(os.stat("/run/chaussette/control").st_mode)[-3:])
server.terminate()
print(server.wait(30))
"""


@pytest.mark.timeout(200)
def test_its_steps_make_what_serves_as_nobody_in_particular(tmp_path):
    """By the words of the file, without an engine: on this machine's root as the base image."""
    wheel = os.environ.get("CHAUSSETTE_WHEEL")
    if not wheel or sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("NOT TESTED: CHAUSSETTE_WHEEL names no wheel of this Python; .ci/test does")
    if os.getuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("NOT TESTED: only root has namespaces of its own here")
    base, context = tmp_path / "base", tmp_path / "context"
    base.mkdir()
    shutil.copytree(HERE.parent / "examples" / "docker", context)
    (context / "steps").write_text("\n".join(steps()) + "\n")
    (user,) = re.findall(r"^USER (\S+)$", example("docker/Dockerfile"), re.MULTILINE)
    script = Path(__file__).parent / "support" / "docker_run.sh"
    run = [*instruction("ENTRYPOINT"), *instruction("CMD"), "--interpreters", "1"]
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--mount-proc",
            "--kill-child",
            script,
            base,
            sys.base_prefix,
        ]
        + [Path(wheel).resolve().parent, context, user, "/srv/web/.venv/bin/python3", "-c", VISIT]
        + [json.dumps(run), json.dumps(instruction("HEALTHCHECK"))],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["hello from interpreter 0", "ready", "0", "10001 600", "0"]
