"""The command line: one clear line and status 2 for a mistake, and the options that chaussette 1.3 had."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
from support.sockets import listening

MISTAKES = [
    (["--no-such-option"], "--no-such-option"),
    (["--interpreters", "0"], "--interpreters"),
    (["--interpreters", "-1"], "--interpreters"),
    (["--interpreters", "many"], "--interpreters"),
    (["--threads", "0"], "--threads"),
    (["--threads", "x"], "--threads"),
    (["--isolation", "both"], "--isolation"),
    (["--port", "65536"], "--port"),
    (["--port", "x"], "--port"),
    (["--fd", "-2"], "--fd"),
    (["--fd", "x"], "--fd"),
    (["--fd", "$(circus.sockets.web)"], "--fd"),
    (["--bind", ""], "--bind"),
    (["--bind", "fd://x"], "--bind"),
    (["--bind", "localhost:port"], "--bind"),
    (["--graceful-timeout", "-1"], "--graceful-timeout"),
    (["--graceful-timeout", "soon"], "--graceful-timeout"),
    (["--queue", "0"], "--queue"),
    (["--max-headers", "0"], "--max-headers"),
    (["--max-body", "-1"], "--max-body"),
    (["--keep-alive", "x"], "--keep-alive"),
    (["--log-level", "loud"], "--log-level"),
    (["--socket-type", "SOCK_DGRAM"], "--socket-type"),
    (["--address-family", "AF_NETROM"], "--address-family"),
    (["--fd", "3", "--host", "localhost"], "--host"),
    (["--interpreters"], "--interpreters"),
]


@pytest.mark.parametrize(("options", "named"), MISTAKES, ids=[" ".join(options) for options, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line_with_status_2(command, options, named):
    done = command(*options)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert named in lines[0]
    value = options[-1]
    assert len(options) != 2 or value in lines[0]
    assert done.stdout == ""


def test_one_descriptor_named_twice_is_refused(command):
    with listening("tcp") as made:
        fd = made.fileno()
        done = command("--fd", fd, "--bind", f"fd://{fd}", pass_fds=[fd])
        twice = command("--bind", f"fd://{fd}", "--bind", f"fd://{fd}", pass_fds=[fd])
    for refused in (done, twice):
        assert refused.returncode == 2, refused.stderr
        assert re.search(rf"\b{fd}\b", refused.stderr)
        assert len(refused.stderr.strip().splitlines()) == 1


def test_help_is_grouped_and_goes_to_stdout(command):
    done = command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--fd", "--bind", "--interpreters", "--threads", "--isolation", "--graceful-timeout", "--queue"):
        assert option in done.stdout


def test_the_version_is_the_distributions(command):

    done = command("--version")
    assert (done.returncode, done.stderr) == (0, "")
    major = importlib.metadata.version("chaussette").partition(".")[0]
    assert re.fullmatch(rf"chaussette {major}\.\S+", done.stdout.splitlines()[0])


def test_the_module_runs_as_the_command_does(command):

    done = command("--version", python=["-q"])
    assert done.args[0] == sys.executable
    # Python has several names in its environment; a console script knows it by the one that installed it.
    lines = [re.sub(r"(?m)^(python: .*/bin)/.*$", r"\1", text) for text in (done.stdout, command("--version").stdout)]
    assert lines[0] == lines[1]


def test_importing_the_package_loads_no_native_code(command):
    """A tool may import chaussette, or chaussette.util, in any interpreter of any process."""

    code = "import sys, chaussette, chaussette.util; print([m for m in sys.modules if m.endswith('_native')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--address-family", "AF_INET"],
        ["--socket-type", "SOCK_STREAM"],
        ["--backlog", "128"],
        ["--log-level", "DEBUG"],
        ["--log-level", "warning"],
        ["--log-output", "-"],
        ["--graceful-timeout", "3"],
        ["--backlog", "10", "--address-family", "AF_UNIX"],
    ],
    ids=" ".join,
)
def test_an_option_of_chaussette_1_3_is_taken_beside_fd(server, options):
    listen = "unix" if "AF_UNIX" in options else "tcp"
    site = server(None, *options, listen=listen, wait="warning" not in options)
    if "warning" in options:
        assert site.get().status == 200
        assert "INFO" not in site.log
    assert site.get().status == 200


def test_minus_1_as_the_descriptor_means_none(server):
    """chaussette 1.3's default of --fd, which its configurations may spell out."""
    site = server("apps.hello:app", "--fd", "-1", "--port", "0", listen=None)
    site.wait_for_log(r"Serving on localhost:\d+$")


def test_hooks_are_called_with_the_settings_before_serving_and_after(server):
    site = server("apps.hello:app", "--pre-hook", "apps.hooks.pre", "--post-hook", "apps.hooks.post", words=["one"])
    assert "pre-hook: apps.hello:app ['one']\n" in site.out
    assert "post-hook" not in site.out
    assert site.get().status == 200
    assert site.stop() == 0
    assert site.out.endswith("post-hook: apps.hello:app\n")


def test_a_pre_hook_that_fails_ends_the_start_with_status_1(command):
    done = command("--port", "0", "--pre-hook", "apps.hooks.failing", "apps.hello:app")
    assert done.returncode == 1, done.stderr
    assert "the hook failed on purpose" in done.stderr
    assert "ready" not in done.stderr


@pytest.mark.parametrize("option", ["--pre-hook", "--post-hook"])
def test_a_hook_that_is_not_there_ends_the_start(command, option):
    done = command("--port", "0", option, "apps.hooks.missing", "apps.hello:app", deadline=5)
    assert done.returncode in (1, 2, 4), done.stderr
    assert "missing" in done.stderr
    assert "ready" not in done.stderr
