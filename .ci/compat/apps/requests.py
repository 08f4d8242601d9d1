"""HTTP clients: requests."""

import requests


def use():
    assert requests.Request("GET", "http://x/", params={"a": "b c"}).prepare().url == "http://x/?a=b+c"
    try:
        requests.get("http://127.0.0.1:1/", timeout=2)
    except requests.ConnectionError:
        return
    raise AssertionError("nobody listens on port 1")
