"""Real clients as child processes: run to their end, in an environment that holds nothing of the user's.

Owns how a client is run and what a server held before and after it. Knows no protocol.
"""

import hashlib
import os
import subprocess
from pathlib import Path

from .waiting import soon, steady

#: Seconds for the end of one client: some twenty times the longest.
DEADLINE = 60

#: KiB that the most memory of a server may grow while it passes a body on: the queues between client and
#: application hold some 2 MiB, an interpreter's own growth is the rest.
GROWTH = 48 * 1024


class Failed(AssertionError):
    """A client ended with another status than the one asked for."""


def run(*command, status=0, cwd=None, env=None, deadline=DEADLINE, **popen):
    """Run a client to its end; returns the completed process with both outputs as text."""
    words = [str(word) for word in command]
    text = {"text": True} if popen.pop("text", True) else {}
    given = popen if "input" in popen else {"stdin": subprocess.DEVNULL, **popen}
    home = {"HOME": str(cwd or "/nonexistent"), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words, cwd=cwd, env={**home, **(env or {})}, timeout=deadline, capture_output=True, **text, **given
    )
    if status is not None and done.returncode != status:
        raise Failed(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def url(site, path="/"):
    host, port = site.address[:2]
    return f"http://{host}:{port}{path}"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Holdings:
    """What a server holds, descriptors and children: to be the same again when its clients are gone.

    `but`: what the application keeps open on purpose, a part of its path.
    """

    def __init__(self, site, but=None):
        self.site, self.but = site, but
        self.before = steady(self._now)

    def _now(self):
        links = [self.site._readlink(fd) for fd in self.site._fds()]
        links = [link for link in links if not self.but or self.but not in link]
        children = [path.read_text() for path in Path(f"/proc/{self.site.pid}/task").glob("*/children")]
        return f"{sorted(link.partition(':')[0] for link in links)}, children {''.join(children)!r}"

    def wait_as_before(self):
        soon(lambda: self._now() == self.before, what=lambda: f"{self.before}; now {self._now()}")
