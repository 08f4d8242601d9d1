"""Other WSGI servers as processes, and conversations with any server, made comparable.

Owns the peers' processes and the reading of an outcome. Knows nothing of which differences are right.
"""

import base64
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM

from support.process import HERE
from support.sockets import listening
from support.waiting import soon
from support.wire import Closed, Connection, Truncated, message

from .grammar import Stream

NAMES = ("waitress", "gunicorn", "cheroot")

#: Seconds without a byte after which a server is said to wait for more. 1.5: a thousand times what an answer takes;
#: an outcome that matters is asked for again with more patience.
QUIET = 1.5

#: The last request of each stream. A server that has taken every byte before it as it was meant answers it and
#: closes: so a stream ends with a close, not with a guess that nothing more will come.
LAST = message("GET", "/last", [("Connection", "close")])


@dataclass(frozen=True)
class Entry:
    """What became of one request. `kind`: "app", or a status in digits, "closed", "waits", "junk"."""

    kind: str
    seen: dict = field(default_factory=dict)


class Peer:
    """A started server of another project."""

    def __init__(self, name, application, workdir):
        self.name = name
        workdir.mkdir(parents=True, exist_ok=True)
        self.log_path = workdir / f"{name}.log"
        self.listener = listening("tcp")
        self.address = self.listener.getsockname()
        fd = os.dup(self.listener.fileno())
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "differential.serve_peer", name, str(fd), application],
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=HERE,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE)},
                start_new_session=True,
            )
        os.close(fd)
        try:
            soon(self._answers, 30, what=lambda: f"{name} to answer; its log ends:\n{self.log}")
        except BaseException:
            self.clean_up()
            raise

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}:\n{self.log}")
        return converse(self.address, Stream())[0].kind == "app"

    def clean_up(self):
        """End it, and what it started: gunicorn's workers are in its session."""
        self.process.send_signal(SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, SIGKILL)
            self.process.wait(10)
        self.listener.close()


def is_installed(name):
    return importlib.util.find_spec(name) is not None


def converse(address, stream, quiet=QUIET):
    """Send a stream, and read what becomes of its requests until the server closes, or waits for more."""
    entries = []
    methods = stream.methods
    with Connection(address) as connection:
        connection.socket.settimeout(quiet)
        # Who refused a part of it may have left: what it answered before is still read.
        with contextlib.suppress(OSError):
            connection.send(stream.data + (b"" if stream.is_cut else LAST))
            if stream.is_cut:
                connection.half_close()
        while not entries or entries[-1].kind not in ("closed", "waits", "junk"):
            method = methods[len(entries)] if len(entries) < len(methods) else "GET"
            entries.append(next_entry(connection, method))
    return entries


def next_entry(connection, method):
    try:
        answer = connection.head()
        seen = json.loads(base64.b64decode(answer["X-Seen"])) if answer["X-Seen"] else None
        # A server that read another method than was meant frames its answer by that one.
        connection.read_body(answer, seen["REQUEST_METHOD"] if seen else method)
    except Closed:
        return Entry("closed")
    except TimeoutError:
        return Entry("waits")
    except (Truncated, ConnectionResetError, ValueError):
        return Entry("junk")
    return Entry(str(answer.status)) if seen is None else Entry("app", seen)
