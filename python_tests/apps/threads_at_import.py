"""Starts a thread as it is imported: a process that is forked later does not have it."""

import threading

from apps.routes import answer

thread = threading.Thread(target=threading.Event().wait, name="early-bird", daemon=True)
thread.start()


def app(environ, start_response):
    return answer(start_response, {"alive": any(one.name == "early-bird" for one in threading.enumerate())})
