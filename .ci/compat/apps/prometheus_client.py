"""tasks and agents: prometheus-client."""

import prometheus_client

registry = prometheus_client.CollectorRegistry()
requests = prometheus_client.Counter("requests", "Requests", registry=registry)


def use():
    requests.inc()
    assert b"requests_total" in prometheus_client.generate_latest(registry)
