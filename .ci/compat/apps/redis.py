"""cache: redis."""

import redis


def use():
    assert redis.connection.Encoder("utf-8", "strict", False).encode("a") == b"a"
    try:
        redis.Redis(port=1).ping()
    except redis.ConnectionError:
        return
    raise AssertionError("nobody listens on port 1")
