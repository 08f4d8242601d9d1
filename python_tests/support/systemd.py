"""A real systemd, as process 1 of namespaces of its own, with the shipped units in it.

Owns that systemd and everything in it: with it they all end. Root alone may do so, on a kernel that lets it.
"""

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
from pathlib import Path

from .waiting import soon

#: Puts the calling shell into the control group $0, and goes on as the command. A systemd takes the root of what it
#: sees for its own, so that must not be this machine's.
INTO_GROUP = 'echo $$ >"$0/cgroup.procs" && exec "$@"'

#: Where that systemd is: this machine's, or a folder with another Debian, whose systemd is a newer one.
ROOT = Path(os.environ.get("CHAUSSETTE_SYSTEMD_ROOT", "/"))

#: Seconds for a boot, and for each order to it.
PATIENCE = 60.0

BOOT = Path(__file__).with_name("boot_systemd.sh")

NAMESPACES = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc", "--kill-child"]


def why_not():
    """Why none can be booted here; None when one can be tried."""
    for name in ("unshare", "setpriv", "nsenter", "ip", "systemctl"):
        if shutil.which(name) is None:
            return f"there is no {name}"
    if os.getuid() != 0:
        return "only root may boot one"
    if not (ROOT / "lib/systemd/systemd").exists():
        return f"there is no {ROOT / 'lib/systemd/systemd'}"
    return None


def version():
    said = subprocess.run(["chroot", ROOT, "systemctl", "--version"], capture_output=True, text=True, timeout=20)
    return int(said.stdout.split()[1])


class CannotBoot(Exception):
    """This machine does not let it."""


class Systemd:
    """A booted systemd. `units` is what becomes /etc/systemd/system; the application is in its folder `site`."""

    def __init__(self, workdir, units):
        base = workdir / "systemd"
        base.mkdir()
        self.group = _hierarchy() / f"chaussette-test-{os.getpid()}"
        self.group.mkdir()
        self.log_path = workdir / "boot.log"
        (packages,) = [path for path in site.getsitepackages() if (Path(path) / "chaussette").exists()]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", INTO_GROUP, str(self.group)]
                + ["unshare", *NAMESPACES, str(BOOT), str(base), sys.base_prefix, packages, str(units), str(ROOT)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.init = soon(self._init, PATIENCE, what=lambda: f"a boot; its log was:\n{self.log}")
            soon(self._booted, PATIENCE, what=lambda: f"a booted system; its log was:\n{self.log}")
        except (AssertionError, CannotBoot):
            self.clean_up()
            raise

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def _init(self):
        """The process that is systemd, seen from here."""
        if self.process.poll() is not None:
            raise CannotBoot(self.log.strip().splitlines()[-1:])
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        named = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"]
        return named[0] if named else None

    def _booted(self):
        if self.process.poll() is not None:
            raise CannotBoot(self.log.strip().splitlines()[-1:])
        return self.run("systemctl", "is-active", "boot.target", check=False).stdout.strip() == "active"

    def run(self, *words, check=True):
        """Run a program in there."""
        entered = ["nsenter", "--target", self.init, "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd"]
        done = subprocess.run([*entered, *words], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done

    def journal(self):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", "chaussette.service", check=False).stdout

    def show(self, name):
        """A property of the service."""
        return self.run("systemctl", "show", "--value", "-p", name, "chaussette.service").stdout.strip()

    def clean_up(self):
        # --kill-child: with unshare its child ends, and with process 1 of a namespace all that are in it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        soon(self._group_is_gone, PATIENCE, what=lambda: f"the end of all in {self.group}")

    def _group_is_gone(self):
        # A group goes when the groups and the processes in it are gone.
        for folder, _, _ in os.walk(self.group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not self.group.exists()


def _hierarchy():
    """Where this machine has its control groups of version 2."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, path, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(path)
    raise CannotBoot("no cgroup2 is mounted")
