"""tasks and agents: newrelic."""

import os

os.environ.setdefault("NEW_RELIC_LICENSE_KEY", "0" * 40)
os.environ.setdefault("NEW_RELIC_DEVELOPER_MODE", "true")
os.environ.setdefault("NEW_RELIC_LOG", "stderr")
os.environ.setdefault("NEW_RELIC_LOG_LEVEL", "critical")

import newrelic.agent

newrelic.agent.initialize()


@newrelic.agent.wsgi_application(name="compat")
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
