"""An example of a backend of another package: wsgiref's server, one request at a time, on the first socket.

Its package has in pyproject.toml:

    [project.entry-points."chaussette.backends"]
    one-by-one = "one_by_one:OneByOne"
"""

from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from chaussette.backend import Backend

#: Seconds between two looks whether to stop.
LOOK = 0.1


class OneByOne(Backend):
    heeds = frozenset({"graceful-timeout"})

    def __init__(self, application, sockets, settings):
        self.listener = sockets[0]
        self.server = WSGIServer(("localhost", 0), WSGIRequestHandler, bind_and_activate=False)
        self.server.socket.close()
        self.server.socket, self.server.timeout = self.listener, LOOK
        self.server.server_name, self.server.server_port = self.listener.server_name, self.listener.server_port
        self.server.setup_environ()
        self.server.set_app(application)
        self.stopping = False

    def serve_forever(self):
        while not self.stopping:
            self.server.handle_request()
        self.listener.close()

    def stop(self, seconds):
        self.stopping = True
