"""Clients that ask without a pause, on kept connections and on one for each request, and forgive nothing.

Owns their threads. What a server that only replaces its interpreters may never do to a client ends up in `wrong`.
"""

import threading

from .wire import Connection


class Load:
    """Asks for each of `paths` on kept connections and on new ones, until it is ended.

    `fits(answer)` says whether an answer is what it must be; by default, its status is 200.
    """

    def __init__(self, site, paths=("/",), fits=lambda answer: answer.status == 200):
        self.site, self.fits = site, fits
        self.going, self.answered, self.wrong = threading.Event(), 0, []
        self.lock = threading.Lock()
        self.going.set()
        asking = [(ask, path) for path in paths for ask in (self._keep, self._renew)]
        self.threads = [threading.Thread(target=ask, args=(path,), daemon=True) for ask, path in asking]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.end(check=kind is None)

    def end(self, check=True):
        self.going.clear()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive(), "a client still waits for its answer"
        assert not (check and self.wrong), self.wrong[:5]

    def _ask(self, connection, path):
        answer = connection.get(path)
        with self.lock:
            self.answered += 1
            if not self.fits(answer):
                self.wrong.append(f"{path}: {answer.status} {answer.body[:200]!r}")
        return answer["Connection"] == "close"

    def _keep(self, path):
        try:
            while self.going.is_set():
                with Connection(self.site.address) as connection:
                    while self.going.is_set() and not self._ask(connection, path):
                        pass
        except Exception as error:
            self.wrong.append(f"{path} on a kept connection: {type(error).__name__}: {error}")

    def _renew(self, path):
        try:
            while self.going.is_set():
                with Connection(self.site.address) as connection:
                    self._ask(connection, path)
        except Exception as error:
            self.wrong.append(f"{path} on a new connection: {type(error).__name__}: {error}")
