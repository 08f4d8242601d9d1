"""cache: hiredis."""

import hiredis


def use():
    reader = hiredis.Reader()
    reader.feed(b"*2\r\n:1\r\n$1\r\nx\r\n")
    assert reader.gets() == [1, b"x"]
