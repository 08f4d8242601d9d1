"""Starts a process that says which descriptors it was left with."""

import json
import subprocess
import sys

from apps.routes import answer

LIST = """
import json, os
found = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        found[fd] = os.readlink("/proc/self/fd/" + fd)
    except OSError:
        pass  # the descriptor of the listing itself
print(json.dumps(found))
"""


def app(environ, start_response):
    out = subprocess.run([sys.executable, "-c", LIST], close_fds=False, stdout=subprocess.PIPE, check=True)
    return answer(start_response, json.loads(out.stdout))
