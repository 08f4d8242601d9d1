"""Uses of threads, and of what threads share (apps.uses)."""

import asyncio
import contextvars
import gc
import logging
import logging.handlers
import queue
import socket
import socketserver
import sqlite3
import tempfile
import threading
import urllib.request
import weakref
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from apps.uses_rows import Rows, Works

#: Seconds that a use waits for its own threads: far more than any needs.
PATIENCE = 10

SQLITE = "SQLite objects created in a thread can only be used in that same thread"

USES = Rows()


class Kept:
    """Something that weak references and finalizers can be about."""


def on_a_thread(work, **options):
    """What `work` returns on a new thread."""
    found = queue.Queue()
    thread = threading.Thread(target=lambda: found.put(work()), **options)
    thread.start()
    result = found.get(timeout=PATIENCE)
    thread.join(PATIENCE)
    return result


@USES.row("a plain thread", Works(False), remark="not a daemon, as in a program of its own")
def plain_thread():
    return on_a_thread(lambda: threading.current_thread().daemon)


@USES.row("a daemon thread", Works(True))
def daemon_thread():
    return on_a_thread(lambda: threading.current_thread().daemon, daemon=True)


@USES.row("a thread that raises", Works(False), remark="its traceback is on stderr; nothing else ends")
def thread_that_raises():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join(PATIENCE)
    return thread.is_alive()


@USES.row("`threading.Timer`", Works(True))
def timer():
    fired = threading.Event()
    threading.Timer(0.01, fired.set).start()
    return fired.wait(PATIENCE)


@USES.row("`ThreadPoolExecutor`", Works([1, 2]))
def thread_pool():
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(abs, [-1, -2]))


@USES.row(
    "`threading.local`",
    Works([None, "here"]),
    remark="of one thread in one interpreter; lives on from request to request",
)
def thread_local():
    local = threading.local()
    local.value = "here"
    return [on_a_thread(lambda: getattr(local, "value", None)), local.value]


variable = contextvars.ContextVar("variable", default=0)


@USES.row("`contextvars`", Works(True), remark="of one thread; set them anew for each request")
def context_variables():
    """A copied context carries over, whatever context a new thread begins with."""
    variable.set(variable.get() + 1)
    context = contextvars.copy_context()
    seen = on_a_thread(lambda: context.run(variable.get))
    return seen == variable.get()


@USES.row(
    "being the main thread",
    Works(False, "no"),
    remark="requests are never served on it: what insists on it does not work",
)
def main_thread():
    """The main thread is never the one that serves."""
    return threading.current_thread() is threading.main_thread()


@USES.row("`asyncio.run`, `asyncio.to_thread`", Works(3))
def asyncio_run():
    async def work():
        return await asyncio.to_thread(abs, -3)

    return asyncio.run(work())


@USES.row("`sqlite3`", Works(42))
def sqlite_on_its_thread():
    connection = sqlite3.connect(":memory:")
    return connection.execute("select 6 * 7").fetchone()[0]


@USES.row(
    "a connection of `sqlite3` on another thread",
    Works(SQLITE),
    remark="as `sqlite3` has it: one a thread, or `check_same_thread=False` and a lock",
)
def sqlite_on_another_thread():
    connection = sqlite3.connect(":memory:")

    def work():
        try:
            return connection.execute("select 1").fetchone()
        except sqlite3.ProgrammingError as error:
            return str(error).partition(".")[0]

    return on_a_thread(work)


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


@USES.row("`socketserver` on a thread", Works("echo"))
def socket_server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.server_address, PATIENCE) as client:
            client.sendall(b"echo\n")
            said = client.makefile().readline()
        server.shutdown()
        thread.join(PATIENCE)
    return said.strip()


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"metrics")

    def log_message(self, *arguments):
        pass


@USES.row(
    "`http.server` on a daemon thread, as exporters of metrics do",
    Works("metrics"),
    remark="each interpreter would bind the port: port 0, or one interpreter",
)
def http_server():
    """As prometheus_client.start_http_server does it, on a daemon thread; here it is shut down."""
    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=PATIENCE) as reply:
            said = reply.read().decode()
        server.shutdown()
    return said


@USES.row(
    "`logging.handlers.QueueListener`",
    Works(["through a queue"]),
    remark="stop it in an `atexit` handler: its thread is a daemon",
)
def queue_listener():
    records = []

    class Collect(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    line = queue.Queue()
    logger = logging.Logger("queued")
    logger.addHandler(logging.handlers.QueueHandler(line))
    listener = logging.handlers.QueueListener(line, Collect())
    listener.start()
    logger.warning("through a queue")
    listener.stop()
    return records


@USES.row(
    "`RotatingFileHandler`",
    Works(["log", "log.1", "log.2"]),
    remark="one file for all interpreters is as one for several processes: one rotates it, "
    "the others write on into the old one. `WatchedFileHandler`, or stderr",
)
def rotating_file():
    """One file for each interpreter; for a shared one, see the test."""
    with tempfile.TemporaryDirectory() as folder:
        handler = logging.handlers.RotatingFileHandler(Path(folder) / "log", maxBytes=100, backupCount=2)
        logger = logging.Logger("rotating")
        logger.addHandler(handler)
        for number in range(20):
            logger.warning("line %d of a log that rotates", number)
        handler.close()
        return sorted(path.name for path in Path(folder).iterdir())


@USES.row("`weakref.finalize`", Works(["collected"]))
def finalizer():
    told = []
    kept = Kept()
    weakref.finalize(kept, told.append, "collected")
    del kept
    gc.collect()
    return told
