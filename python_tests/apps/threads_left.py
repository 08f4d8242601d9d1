"""Starts threads that are still alive when the server stops."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

from apps.routes import answer, by_path

print("printed, and not flushed by the application")
pool = ThreadPoolExecutor(2)


def daemon(environ, start_response):
    threading.Thread(target=queue.Queue().get, daemon=True).start()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def daemon_busy(environ, start_response):
    def spin():
        while True:
            sum(range(1000))

    threading.Thread(target=spin, daemon=True).start()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def daemon_printing(environ, start_response):
    """Holds the lock of stdout most of the time: CPython aborts when it finds it held at the end."""

    def talk():
        while True:
            print("talking")

    threading.Thread(target=talk, daemon=True).start()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def endless(environ, start_response):
    threading.Thread(target=queue.Queue().get, daemon=False).start()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def timer(environ, start_response):
    threading.Timer(0.2, print, ["the timer has fired"]).start()
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"]})


def pooled(environ, start_response):
    return answer(start_response, {"result": pool.submit(sum, [1, 2]).result()})


app = by_path(daemon, daemon_busy, daemon_printing, endless, timer, pooled)
