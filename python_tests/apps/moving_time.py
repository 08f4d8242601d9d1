"""Changes the time zone of its process, as Django does at its start."""

import os
import time

os.environ["TZ"] = "Asia/Tokyo"
time.tzset()


def app(environ, start_response):
    raise RuntimeError("to have a line in the log")
