"""Serves an application with another WSGI server, on a listening socket that it inherits.

Usage: serve_peer.py waitress|cheroot|gunicorn FD MODULE:ATTRIBUTE   Run as a program; imported by nobody.
"""

import importlib
import os
import socket
import sys

#: Threads for the application. 16: more than a test has connections open at once whose request is not complete.
THREADS = 16


def waitress(fd, application):
    from waitress import create_server

    listener = socket.socket(fileno=fd)
    create_server(load(application), sockets=[listener], threads=THREADS).run()


def cheroot(fd, application):
    from cheroot.wsgi import Server

    # The address is what it reports as SERVER_PORT.
    address = socket.socket(fileno=os.dup(fd)).getsockname()
    server = Server(address, load(application), numthreads=THREADS, max=THREADS, timeout=60)
    # Its own 5 would make the kernel drop connections.
    server.request_queue_size = 128
    # As for a socket that systemd hands over: cheroot takes descriptor 3 and binds nothing.
    os.dup2(fd, 3)
    os.environ["LISTEN_PID"] = str(os.getpid())
    server.start()


def gunicorn(fd, application):
    arguments = ["--worker-class", "gthread", "--threads", str(THREADS), "--no-control-socket", "--keep-alive", "60"]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments, "--bind", f"fd://{fd}", application])


def load(application):
    module, _, attribute = application.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    {"waitress": waitress, "cheroot": cheroot, "gunicorn": gunicorn}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
