"""bjoern has no command of its own: python bjoern_app.py MODULE:ATTRIBUTE PORT WORKERS

Owns the processes of one bjoern server: one when WORKERS is 1, else that many children which accept from one listening
socket, as bjoern's README shows. TERM ends it and its children.
"""

import importlib
import os
import signal
import sys

import bjoern


def main(application: str, port: int, workers: int) -> None:
    module, _, attribute = application.partition(":")
    bjoern.listen(getattr(importlib.import_module(module), attribute), "127.0.0.1", port, listen_backlog=2048)
    if workers == 1:
        bjoern.run()
        return
    children = []
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            bjoern.run()
            os._exit(0)
        children.append(child)

    def end(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
