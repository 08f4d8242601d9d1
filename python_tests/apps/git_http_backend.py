"""git's own CGI program, `git http-backend`, behind WSGI: a child process per request, both directions streamed.

Reads GIT_PROJECT_ROOT from the process's environment. The body is fed by a thread of the application's own, because
git may answer before it has read everything: one thread that wrote and then read would lock up with it.
"""

import os
import subprocess
import threading

#: What RFC 3875 hands to a CGI program, beside HTTP_*.
GIVEN = ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "SERVER_PROTOCOL")

PIECE = 64 * 1024


def app(environ, start_response):
    process = subprocess.Popen(
        ["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=cgi_environment(environ)
    )
    feeder = threading.Thread(target=feed, args=(environ["wsgi.input"], process.stdin))
    feeder.start()
    answer = Answer(process, feeder)
    status, headers = "200 OK", []
    while (line := process.stdout.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = value.strip()
        else:
            headers.append((name, value.strip()))
    start_response(status, headers)
    return answer


def cgi_environment(environ):
    variables = {key: environ[key] for key in environ if key in GIVEN or key.startswith("HTTP_")}
    return {
        **variables,
        "PATH": os.environ["PATH"],
        "PATH_INFO": environ["PATH_INFO"],
        "GIT_PROJECT_ROOT": os.environ["GIT_PROJECT_ROOT"],
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": os.environ["GIT_PROJECT_ROOT"],
        # git http-backend lets nobody push who has no name.
        "REMOTE_USER": "tester",
    }


def feed(body, pipe):
    try:
        while data := body.read(PIECE):
            pipe.write(data)
        pipe.close()
    except OSError:
        # The client or git went first: git sees a body that ends early, and says so by itself.
        pass


class Answer:
    """git's output, block by block; `close` leaves neither a process nor a thread behind."""

    def __init__(self, process, feeder):
        self.process, self.feeder = process, feeder

    def __iter__(self):
        return iter(lambda: self.process.stdout.read1(PIECE), b"")

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.feeder.join()
        try:
            self.process.stdin.close()
        except OSError:
            pass
