"""Blocks in C without releasing the GIL until the test lets it go: interpreters that share one would wait in line."""

import ctypes
import os
import sys

from apps.routes import answer, query

libc = ctypes.PyDLL(None)  # PyDLL: the GIL stays held during the call

# Seconds: nor does another thread get it between two calls.
sys.setswitchinterval(600)


def app(environ, start_response):
    paths = query(environ)
    arrived = os.open(paths["arrived"], os.O_WRONLY)
    go = os.open(paths["go"], os.O_RDWR)
    buffer = ctypes.create_string_buffer(1)
    libc.write(arrived, b"x", 1)
    libc.read(go, buffer, 1)
    os.close(arrived)
    os.close(go)
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"], "pid": os.getpid()})
