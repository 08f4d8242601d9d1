"""HTTP clients: httpx."""

import httpx


def use():
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"a": 1}))) as client:
        assert client.get("http://x/").json() == {"a": 1}
