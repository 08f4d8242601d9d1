"""Does at import what a check tells: threads, processes, handlers, sockets."""

import atexit
import os
import signal
import socket
import subprocess
import threading

from chaussette.util import hello_app as app

__all__ = ["app"]

threading.Thread(target=threading.Event().wait, args=(600,), name="poller", daemon=True).start()
subprocess.run(["true"], check=True)
atexit.register(print)
connection = socket.socketpair()
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    if os.fork() == 0:
        os._exit(0)
