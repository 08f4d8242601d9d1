"""What an application finds, and may do, in a worker process; and ways for one to die."""

import atexit
import ctypes
import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time

import chaussette

from apps.routes import answer, by_path, query, stand_at_gate

IMPORTED_IN = os.getpid()
if "NOTES" in os.environ:
    atexit.register(lambda: note(f"exit handler of {os.getpid()}"))


def note(line):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(line + "\n")


def index(environ, start_response):
    return answer(start_response, b"hello")


def found(environ, start_response):
    return answer(
        start_response,
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "imported in": IMPORTED_IN,
            "number": chaussette.interpreter_id(),
            "place": environ["chaussette.interpreter"],
            "main thread": threading.current_thread() is threading.main_thread(),
            "daemon": threading.current_thread().daemon,
            "multiprocess": environ["wsgi.multiprocess"],
            "multithread": environ["wsgi.multithread"],
            "frozen": gc.get_freeze_count(),
            "argv": sys.argv,
            "stdin": sys.stdin.read(),
            "files": sorted(files()),
        },
    )


def files():
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue  # the folder's own


def waits(environ, start_response):
    stand_at_gate(environ)
    return answer(start_response, {"pid": os.getpid()})


def crashes(environ, start_response):
    ctypes.string_at(0)


def crashes_in_the_middle(environ, start_response):
    start_response("200 OK", [("Content-Length", "100")])
    yield b"some of it"
    ctypes.string_at(0)


def leaves(environ, start_response):
    os._exit(7)


def hangs(environ, start_response):
    while True:
        try:
            while True:
                pass
        except BaseException:
            note("caught")


def waits_for_signals(environ, start_response):
    """An alarm interrupts it, as in any process."""
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    return answer(start_response, {"rung": rung})


def children(environ, start_response):
    """Programs and forks of the application end by TERM, though its own process does not."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program.terminate()
    context = multiprocessing.get_context("fork")
    sleeping = context.Event()
    fork = context.Process(target=sleep, args=(sleeping,))
    fork.start()
    sleeping.wait(30)
    fork.terminate()
    fork.join()
    return answer(start_response, {"program": program.wait(), "fork": fork.exitcode})


def sleep(sleeping):
    sleeping.set()
    time.sleep(60)


def keeps_a_child(environ, start_response):
    """Has a fork that lives on, with copies of all descriptors."""
    pid = os.fork()
    if pid == 0:
        time.sleep(float(query(environ)["seconds"]))
        os._exit(0)
    return answer(start_response, {"pid": os.getpid(), "child": pid})


def number(environ, start_response):
    return answer(start_response, {"number": random.random(), "pid": os.getpid()})


app = by_path(
    index,
    found,
    waits,
    crashes,
    crashes_in_the_middle,
    leaves,
    hangs,
    waits_for_signals,
    children,
    keeps_a_child,
    number,
)
