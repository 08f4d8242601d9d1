"""docs/quickstart.md as a reader would follow it: its files written, its commands run, their output compared.

A command that serves runs until the end of its block. `pip` installs nothing: what it is asked for has to be here.
"""

import importlib.util
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import HERE, Server

DOCUMENT = (HERE.parent / "docs" / "quickstart.md").read_text()
SECTIONS = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]

#: Commands that do not end by themselves.
SERVING = ("chaussette", "pserve")


def blocks(section):
    """What a section has to be done, in order: (language, text, the file's name if it is one)."""
    pattern = r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$"
    return [(found[2], found[3], found[1]) for found in re.finditer(pattern, section, re.MULTILINE | re.DOTALL)]


def commands(text):
    """The lines behind `$ `, and the output that follows each."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.fixture
def followed(tmp_path):
    """A function that does one block in the folder of this test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = tmp_path / "site"
    folder.mkdir()
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    started = []

    def run(command, output):
        words = [word for word in shlex.split(command) if "=" not in word.partition("/")[0] or word.startswith("-")]
        if words[0] == "pip":
            absent = [name for name in words[2:] if importlib.util.find_spec(name) is None]
            return absent and pytest.skip(f"{', '.join(absent)} is not installed")
        if words[0] in SERVING:
            more = f" --port {port}" if words[0] == "chaussette" else ""
            # The shell makes room for it: signals reach the server.
            line = f"exec env {command.replace(words[0], words[0] + more, 1)}"
            popen = {"cwd": str(folder), "env": env}
            started.append(Server(["sh", "-c", line], tmp_path / f"server-{len(started)}", popen=popen))
            return started[-1].wait_ready()
        if words[0] == "curl" and shutil.which("curl") is None:
            pytest.skip("NOT TESTED: no curl here; cure: .ci/install-clients")
        line = re.sub(r"^curl ", "curl --silent ", command).replace("8080", port)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout == output
        return None

    def follow(language, text, name):
        if name:
            (folder / name).write_text(text.replace("8080", port))
            return
        assert language == "console"
        try:
            for command, output in commands(text):
                run(command, output.rstrip("\n") and output)
        finally:
            wrong = [sentence for server in started for sentence in server.clean_up()]
            started.clear()
        assert not wrong, "\n".join(wrong)

    return follow


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.split("\n")[0])
def test_a_quick_start_does_what_it_says(followed, section):
    found = blocks(section)
    assert any(language == "console" for language, _, _ in found)
    for language, text, name in found:
        followed(language, text, name)


def test_each_of_the_three_frameworks_has_one():
    assert [section.split("\n")[0] for section in SECTIONS] == ["Flask", "Django", "Pyramid"]
    served = [command for section in SECTIONS for _, text, _ in blocks(section) for command, _ in commands(text)]
    assert sum(any(f"{word} " in command for word in SERVING) and "pip" not in command for command in served) == 4
