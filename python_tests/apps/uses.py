"""What applications do with threads, processes, signals and the rest of the process: one use a path.

A use is a function without parameters. What it returns, or the exception that it raises, is the answer.
"""

from apps import uses_processes, uses_signals, uses_threads
from apps.routes import answer

USES = {**uses_threads.USES, **uses_processes.USES, **uses_signals.USES}


def app(environ, start_response):
    try:
        result = {"result": USES[environ["PATH_INFO"].strip("/")].function()}
    except Exception as error:
        result = {"raised": type(error).__name__, "text": str(error)}
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"], **result})
