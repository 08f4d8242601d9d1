"""SIGTERM in the middle of traffic, fifty times: no reply is cut, and each round ends with status 0."""

import threading

import pytest
from apps.hello import LINE
from support.waiting import soon
from support.wire import Closed, Connection

ROUNDS = 50
CLIENTS = 6
LONG, PIECES = LINE * 400, LINE * 400


class Client(threading.Thread):
    """Asks on one connection until it is closed; `wrong` is what no stop may do to a client."""

    def __init__(self, address, path, body):
        super().__init__(daemon=True)
        self.address, self.path, self.body = address, path, body
        self.answered, self.wrong, self.said_close = 0, None, False

    def run(self):
        try:
            with Connection(self.address) as connection:
                while not self.said_close:
                    answer = connection.get(self.path)
                    if (answer.status, answer.body) != (200, self.body):
                        self.wrong = f"{answer.status}, {len(answer.body)} bytes of {len(self.body)}"
                        return
                    self.answered += 1
                    self.said_close = answer["Connection"] == "close"
                if not connection.ended():
                    self.wrong = "something follows an answer that said close"
        except (Closed, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            pass  # closed before any byte of an answer: the client knows that it may ask again
        except Exception as error:
            self.wrong = f"{type(error).__name__}: {error}"


@pytest.mark.timeout(180)
def test_sigterm_under_load_cuts_no_reply(server):
    polite, total = 0, 0
    for number in range(ROUNDS):
        site = server("apps.hello:app", "--interpreters", "2")
        kinds = [("/long", LONG), ("/pieces", PIECES)]
        clients = [Client(site.address, *kinds[n % 2]) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        soon(lambda clients=clients, n=number: sum(c.answered for c in clients) > 5 + 3 * (n % 20))
        assert site.stop(deadline=20) == 0
        site.listener.close()  # resets a connection that was never accepted
        for client in clients:
            client.join(20)
            assert not client.is_alive(), "a client still waits for its answer"
            assert client.wrong is None, f"round {number}: {client.path}: {client.wrong}"
        polite += sum(client.said_close for client in clients)
        total += len(clients)
    # A busy connection is nearly always told by its last answer, instead of being closed between two of them.
    assert polite > total // 2, f"{polite} of {total} connections were told"


@pytest.mark.timeout(120)
def test_sigterm_among_new_connections_cuts_no_reply(server):
    """Connections that are made while the server stops: served, refused or closed before any byte."""
    for number in range(10):
        site = server("apps.hello:app", "--interpreters", "2")
        wrong, served, stop = [], [0], threading.Event()

        def ask(site=site, wrong=wrong, served=served, stop=stop):
            while not stop.is_set():
                try:
                    with Connection(site.address, timeout=3) as connection:
                        answer = connection.get("/long")
                        if answer.body != LONG:
                            wrong.append(f"{len(answer.body)} bytes")
                        served[0] += 1
                except (Closed, ConnectionResetError, BrokenPipeError, ConnectionRefusedError):
                    continue
                except TimeoutError:
                    return  # waits in the queue of a socket that nobody serves any more
                except Exception as error:
                    wrong.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        soon(lambda served=served, n=number: served[0] > 5 + 5 * n)
        assert site.stop(deadline=20) == 0
        stop.set()
        site.listener.close()  # resets those that wait
        for thread in threads:
            thread.join(20)
        assert wrong == [], f"round {number}"
