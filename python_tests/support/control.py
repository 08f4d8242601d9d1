"""A server's control socket, from outside."""

from .wire import Connection


class Control:
    """The control socket at `address`, as `--control` takes it, of a server that has opened it."""

    def __init__(self, given, site):
        said = site.wait_for_log(r"\[INFO\] Control socket on (\S+)$").group(1)
        self.given = given if given.startswith("unix:") else said
        if given.startswith("unix:"):
            self.address = given.removeprefix("unix:")
        else:
            host, _, port = said.rpartition(":")
            self.address = host.strip("[]"), int(port)

    def request(self, method, path, headers=()):
        with Connection(self.address) as connection:
            return connection.request(method, path, [("Host", "localhost"), *headers])

    def get(self, path):
        return self.request("GET", path)

    def post(self, path):
        return self.request("POST", path)

    @property
    def status(self):
        answer = self.get("/status")
        assert answer.status == 200, answer
        return answer.json()

    @property
    def current(self):
        """What the application has in hand, in all interpreters."""
        return [request for interpreter in self.status["interpreters"] for request in interpreter["current"]]

    def metrics(self):
        """The samples by name and labels."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (sample.name, tuple(sorted(sample.labels.values()))): sample.value
            for family in families
            for sample in family.samples
        }
