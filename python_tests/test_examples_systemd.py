"""examples/systemd, by systemd's own tools: its verdicts on the units, and a start with the sockets that it opens.

test_systemd.py runs the units under a systemd of their own.
"""

import re
import shutil
import subprocess

import pytest
from support.examples import example, option, replaced
from support.process import HERE, Server, command_line

#: systemd-analyze's measure of what the service may do, from 0.0 (nothing) to 10.0 (everything), in tenths. The units
#: have 1.7 on systemd 252: what is left is mostly the network.
EXPOSURE = 20

#: The first systemd with Type=notify-reload.
NOTIFY_RELOAD = 253


def find(name):
    return shutil.which(name) or pytest.skip(f"NOT TESTED: no {name} here; cure: .ci/install-systemd")


@pytest.fixture
def analyze():
    return find("systemd-analyze")


def version(tool):
    said = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=20)
    return int(re.search(r"systemd (\d+)", said.stdout).group(1))


def exec_start():
    (found,) = re.findall(r"^ExecStart=(.*)$", example("systemd/chaussette.service"), re.MULTILINE)
    return found.split()


@pytest.fixture
def units(tmp_path, analyze):
    """The units in a folder, with a program that is there."""
    folder = tmp_path / "units"
    folder.mkdir()
    service = replaced(example("systemd/chaussette.service"), (exec_start()[0], command_line()[0]))
    if version(analyze) < NOTIFY_RELOAD:
        lines = example("systemd/before-253.conf").partition("[Service]\n")[2]
        service = replaced(service, ("Type=notify-reload\n", lines))
    (folder / "chaussette.service").write_text(service)
    (folder / "chaussette.socket").write_text(example("systemd/chaussette.socket"))
    return folder


def verify(analyze, folder):
    paths = [folder / "chaussette.socket", folder / "chaussette.service"]
    done = subprocess.run([analyze, "verify", "--man=no", *paths], capture_output=True, text=True, timeout=60)
    # What it says of the machine's own units, which it loads beside ours.
    said = [line for line in done.stderr.splitlines() if "chaussette" in line]
    return done.returncode, said


def test_systemd_has_nothing_to_say_of_the_units(analyze, units):
    assert verify(analyze, units) == (0, [])


def test_systemd_would_have_said_something(analyze, units):
    path = units / "chaussette.service"
    path.write_text(replaced(path.read_text(), ("ProtectSystem=strict", "ProtectSystems=strict")))
    assert any("ProtectSystems" in line for line in verify(analyze, units)[1])


def test_the_service_may_do_little(analyze, units):
    done = subprocess.run(
        [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE}", units / "chaussette.service"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def seconds(text):
    (found,) = re.findall(rf"^{text}=(\d+)$", example("systemd/chaussette.service"), re.MULTILINE)
    return int(found)


def test_the_deadlines_are_in_order():
    assert seconds("TimeoutStopSec") > int(option(exec_start(), "graceful-timeout")) + 3
    assert seconds("WatchdogSec") > 2 * int(option(exec_start(), "timeout"))


def test_the_control_socket_is_in_the_folder_that_systemd_makes():
    (folder,) = re.findall(r"^RuntimeDirectory=(\w+)$", example("systemd/chaussette.service"), re.MULTILINE)
    assert option(exec_start(), "control").startswith(f"unix:/run/{folder}/")


@pytest.fixture
def activate(tmp_path):
    """A function that starts the command by systemd-socket-activate, which opens the sockets at `paths`."""
    tool, made = find("systemd-socket-activate"), []

    def start(paths, *words):
        named = [f"--listen={path}" for path in paths]
        command = [tool, *named, f"--fdname={':'.join('web' for _ in paths)}", *command_line(), *words]
        # It starts the command at the first connection, and is replaced by it.
        made.append(Server(command, tmp_path / "activated", address=str(paths[0]), popen={"cwd": str(HERE)}))
        return made[-1]

    yield start
    wrong = [sentence for server in made for sentence in server.clean_up()]
    assert not wrong, "\n".join(wrong)


def test_sockets_of_systemd_are_served_without_a_word_about_them(activate, tmp_path):
    paths = [tmp_path / "one.sock", tmp_path / "two.sock"]
    site = activate(paths, "--interpreters", "1", "apps.hello:app")
    site.wait_for_log("Listening on ")
    with site.connect() as connection:
        connection.ask("GET", "/")
        # The connection that started it is answered, and it is the process that systemd started.
        assert connection.response().status == 200
    assert re.findall(r"Serving on (\S+)$", site.log, re.MULTILINE) == ["fd://3", "fd://4"]
    assert f"[{site.pid}]" in site.log
    site.address = str(paths[1])
    assert site.get().status == 200


def test_the_options_of_the_unit_are_those_of_the_command(activate, tmp_path):
    words = replaced(
        " ".join(exec_start()[1:]),
        ("/run/chaussette/control", tmp_path / "control"),
        ("mysite.wsgi:application", "apps.hello:app"),
    ).split()
    site = activate([tmp_path / "web.sock"], *words)
    site.wait_for_log("Listening on ")
    assert site.get().status == 200
    assert "WARNING" not in site.log
