"""What an application leaves for the end of its interpreter: one row a path, done at once when it is asked for.

docs/operations.md has the same table; test_threads_and_processes.py compares.
"""

import asyncio
import atexit
import logging
import logging.handlers
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from apps.routes import answer
from apps.uses_processes import sleep_for_ever

ROWS = {}


@dataclass
class Row:
    name: str
    function: object
    #: What is left, and what comes of it, in the document.
    title: str
    remark: str
    #: What is on stdout after the end, in order.
    out: tuple[str, ...] = ("goodbye",)
    #: Whether the interpreter may be left as it is: "never", "3.13" (there alone), "always".
    left: str = "never"
    status: int = 0
    #: In the log.
    says: str | None = None

    def cells(self):
        shown = {"never": "ended", "3.13": "ended; *abandoned* on 3.13", "always": "*abandoned*"}[self.left]
        if self.status:
            shown = f"status {self.status}"
        return [self.title, self.remark, shown, f"`{self.name}`"]


def row(title, remark, **more):
    def take(function):
        name = function.__name__
        ROWS[name] = Row(name, function, title, remark, **more)
        return function

    return take


def say(text):
    print(text, flush=True)


def start(work, *arguments, **options):
    thread = threading.Thread(target=work, args=arguments, **options)
    thread.start()
    return thread


@row("nothing but an `atexit` handler", "it runs, on the thread that loaded the application; what it prints is flushed")
def nothing():
    pass


@row("`weakref.finalize`", "is called, too", out=("finalized", "goodbye"))
def finalizer():
    weakref.finalize(nothing, say, "finalized")


@row("an exit handler that raises", "its traceback is on stderr; the others run", says="ZeroDivisionError")
def raising_handler():
    atexit.register(lambda: 1 / 0)


@row("an exit handler that calls `sys.exit`", "the same", says="SystemExit")
def exiting_handler():
    atexit.register(sys.exit, 5)


@row(
    "an exit handler that calls `os._exit`",
    "ends the process, with every interpreter in it",
    out=(),
    status=6,
    says=r"\[CRITICAL\] interpreter 0: the application called os\._exit\(6\)",
)
def leaving_handler():
    atexit.register(os._exit, 6)


@row("an exit handler that never returns", "`--graceful-timeout` ends the wait", out=(), left="always")
def endless_handler():
    atexit.register(queue.Queue().get)


@row("a plain thread that is about to end", "is waited for, before exit handlers run", out=("done", "goodbye"))
def finishing_thread():
    def work():
        time.sleep(0.3)
        say("done")

    start(work)


@row("a plain thread that an exit handler asks to end", "is asked once the wait for it is over, and ends")
def asked_thread():
    """CPython joins plain threads first: in a program of its own this one would keep it for ever."""
    asked = threading.Event()
    start(asked.wait)
    atexit.register(asked.set)


@row(
    "a plain thread that never ends",
    "is waited for nearly as long as `--graceful-timeout` allows; exit handlers run all the same",
    left="always",
)
def endless_thread():
    start(queue.Queue().get)


@row("a daemon thread that waits", "is not waited for", left="3.13")
def waiting_daemon():
    start(queue.Queue().get, daemon=True)


@row("a daemon thread that computes", "is not waited for", left="3.13")
def computing_daemon():
    def work():
        while True:
            sum(range(1000))

    start(work, daemon=True)


@row("a daemon thread that an exit handler asks to end", "gets half a second for it")
def asked_daemon():
    asked = threading.Event()
    start(asked.wait, daemon=True)
    atexit.register(asked.set)


@row("`threading.Timer`", "fires first, if it is due in time", out=("fired", "goodbye"))
def timer():
    threading.Timer(0.3, say, ["fired"]).start()


@row("a `threading.Timer` of an hour", "as a plain thread that never ends", left="always")
def long_timer():
    threading.Timer(3600, say, ["fired"]).start()


@row("an idle `ThreadPoolExecutor`", "its threads end")
def idle_pool():
    pool = ThreadPoolExecutor(2)
    pool.submit(int).result()
    globals()["kept"] = pool


@row("a `ThreadPoolExecutor` with work", "finishes it first", out=("one", "two", "goodbye"))
def busy_pool():
    pool = ThreadPoolExecutor(1)

    def work(word):
        time.sleep(0.1)
        say(word)

    for word in ("one", "two"):
        pool.submit(work, word)


@row("`asyncio` on a daemon thread", "as a daemon thread that waits", left="3.13")
def event_loop():
    start(asyncio.new_event_loop().run_forever, daemon=True)


@row("a `QueueListener` that nobody stops", "as a daemon thread that waits: what is queued may be lost", left="3.13")
def listener():
    logging.handlers.QueueListener(queue.Queue(), logging.NullHandler()).start()


@row("a `QueueListener` that an exit handler stops", "writes what is queued", out=("record 9", "goodbye"))
def stopped_listener():
    line = queue.Queue()
    handler = logging.StreamHandler(sys.stdout)
    listener = logging.handlers.QueueListener(line, handler)
    listener.start()
    logger = logging.Logger("queued")
    logger.addHandler(logging.handlers.QueueHandler(line))
    for number in range(10):
        logger.warning("record %d", number)
    atexit.register(listener.stop)


@row("buffered records of `logging`", "are flushed, as `logging.shutdown` does", out=("goodbye", "buffered"))
def memory_handler():
    target = logging.StreamHandler(sys.stdout)
    logger = logging.Logger("buffered")
    logger.addHandler(logging.handlers.MemoryHandler(1000, target=target))
    globals()["kept"] = logger
    logger.warning("buffered")


@row("a daemon process of `multiprocessing`", "is terminated")
def daemon_process():
    import multiprocessing

    multiprocessing.get_context("spawn").Process(target=sleep_for_ever, daemon=True).start()


@row("a `multiprocessing.Pool` that nobody closes", "is terminated")
def open_pool():
    import multiprocessing

    from apps.uses_processes import double

    pool = multiprocessing.get_context("spawn").Pool(1)
    pool.map(double, [1])
    globals()["kept"] = pool


@row("a `ProcessPoolExecutor` that nobody shuts down", "its processes end")
def open_executor():
    from concurrent.futures import ProcessPoolExecutor

    from apps.uses_processes import double

    pool = ProcessPoolExecutor(1)
    pool.submit(double, 1).result()
    globals()["kept"] = pool


@row("a child of `subprocess`", "lives on, as ever: end it in an exit handler")
def child():
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    return process.pid


@atexit.register
def goodbye():
    say("goodbye")


def app(environ, start_response):
    result = ROWS[environ["PATH_INFO"].strip("/")].function()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"], "result": result})
