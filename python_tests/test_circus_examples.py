"""The examples for Circus, in a real circusd: each as it is shipped, but for ports, paths and a word to find it by."""

import os
import re
import shutil
import socket
import subprocess
from types import SimpleNamespace

import pytest
from support.circus import BIN, circusd, free_port
from support.load import Load
from support.process import HERE
from support.proxies import Proxies
from support.waiting import soon
from support.wire import Connection

EXAMPLES = HERE.parent / "examples" / "circus"

pytestmark = [
    pytest.mark.skipif(not (BIN / "circusd").exists(), reason="circus is not installed in this environment"),
    pytest.mark.skipif(not EXAMPLES.exists(), reason="examples/circus is not beside this suite"),
    pytest.mark.timeout(150),
]

#: The commands of the examples are found by PATH, and their applications from the root of the work tree.
SURROUNDINGS = {"cwd": HERE.parent, "env": {"PATH": f"{BIN}:{os.environ['PATH']}"}}


def shipped(name):
    """Its text, less what two circusd of one machine cannot share; each process has its watcher's name in it."""
    text = (EXAMPLES / name).read_text().replace("[circus]\n", "", 1).replace("check_delay = 5\n", "")
    text = re.sub(r"^port = 80\d\d$", "port = 0", text, flags=re.MULTILINE)
    text = text.replace("/tmp/chaussette.", "$(folder)/control.").replace("/run/chaussette/", "$(folder)/")
    return re.sub(r"(?<=\[watcher:)(\w+)(\].*?app[.:]app)$", r"\1\2 $(folder)/\1", text, flags=re.MULTILINE | re.DOTALL)


def get(daemon, name):
    with Connection(daemon.address(name), timeout=30) as connection:
        return connection.get("/")


def load(daemon, name):
    return Load(SimpleNamespace(address=daemon.address(name)))


def test_before_eight_processes():
    with circusd(shipped("before.ini"), **SURROUNDINGS) as daemon:
        soon(lambda: len(daemon.pids("web")) == 8, 30, lambda: daemon.log)
        assert get(daemon, "web").status == 200


@pytest.mark.isolation("own-gil", reason="it is about interpreters of one process")
def test_after_one_process_that_reloads_in_place():
    with circusd(shipped("circus.ini"), **SURROUNDINGS) as daemon:
        daemon.wait_ready("web")
        (pid,) = daemon.pids("web")
        with load(daemon, "web"):
            daemon.control("reload", "web")
            soon(lambda: daemon.said("reloaded: 8 interpreters"), 60, lambda: daemon.log)
        assert daemon.pids("web") == [pid]


def test_two_processes_of_which_one_always_serves():
    port = free_port(socket.SOCK_DGRAM)
    text = shipped("two-processes.ini").replace("1664", str(port)).replace("--interpreters 4", "--interpreters 2")
    with circusd(text, **SURROUNDINGS) as daemon:
        soon(lambda: len(daemon.said("is ready after")) == 2, 30, lambda: daemon.log)
        before = daemon.pids("web")
        assert len(before) == 2
        with load(daemon, "web"):
            daemon.control("reload", "web", "--sequential", "--waiting")
        assert not set(daemon.pids("web")) & set(before)
        assert len(daemon.said("is ready after")) == 4
        told = daemon.control("stats", "web", "--extended")["info"]
        assert all(one["chaussette"]["ready"] for one in told.values())


def test_several_applications_are_reloaded_one_by_one():
    with circusd(shipped("several-applications.ini"), **SURROUNDINGS) as daemon:
        daemon.wait_ready("shop", "admin")
        assert get(daemon, "shop").status == get(daemon, "admin").status == 200
        (shop,), (admin,) = daemon.pids("shop"), daemon.pids("admin")
        daemon.control("restart", "shop", "--waiting")
        daemon.wait_ready("shop")
        assert daemon.pids("admin") == [admin]
        assert daemon.pids("shop") != [shop]


def test_a_unix_socket_behind_nginx_survives_a_restart(tmp_path):
    if shutil.which("nginx") is None:
        pytest.skip("NOT TESTED: no nginx here; cure: .ci/install-servers")
    proxies = Proxies(tmp_path)
    with circusd(shipped("behind-nginx.ini"), **SURROUNDINGS) as daemon:
        daemon.wait_ready("web")
        path = daemon.address("web")
        assert os.stat(path).st_mode & 0o777 == 0o770
        proxy = proxies.by_example(EXAMPLES / "behind-nginx.conf", SimpleNamespace(address=path))
        try:
            with Load(proxy):
                daemon.control("restart", "web", "--waiting")
                daemon.wait_ready("web")
        finally:
            wrong = proxy.clean_up()
        assert not wrong, wrong


def test_nginx_takes_the_shipped_file_as_it_is(tmp_path):
    nginx = shutil.which("nginx") or pytest.skip("NOT TESTED: no nginx here; cure: .ci/install-servers")
    keys = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n"
        + "".join(f"{key}_temp_path {tmp_path}/{key};\n" for key in keys)
        + f"include {EXAMPLES}/behind-nginx.conf;\n}}\n"
    )
    done = subprocess.run(
        [nginx, "-t", "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
