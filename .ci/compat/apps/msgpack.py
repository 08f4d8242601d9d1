"""data: msgpack."""

import msgpack


def use():
    assert msgpack.unpackb(msgpack.packb({"a": [1, b"x"]})) == {"a": [1, b"x"]}
