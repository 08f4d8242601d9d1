"""A gate holds a request inside the application until the test lets it go on.

It is a FIFO: the application opens it for reading and blocks until the test, which thereby knows that the
application has arrived, opens it for writing and closes it again. No clock is involved on either side.
"""

import errno
import os
from urllib.parse import quote

from .waiting import soon


class Gate:
    def __init__(self, path):
        self.path = str(path)
        self.held = None
        os.mkfifo(self.path)

    @property
    def query(self):
        return "gate=" + quote(self.path)

    def reached(self):
        """Whether somebody stands at the gate now."""
        if self.held is None:
            try:
                self.held = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
        return self.held is not None

    def wait(self, deadline=15.0):
        """Wait until the application stands at the gate."""
        soon(self.reached, deadline, what=f"the application at {self.path}")
        return self

    def open(self):
        """Let one visitor through, waiting for it first."""
        self.wait()
        os.close(self.held)
        self.held = None

    def release(self):
        """Let whoever stands there go; for clean-up."""
        if self.reached():
            os.close(self.held)
            self.held = None
