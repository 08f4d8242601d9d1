"""database: pymysql."""

import pymysql


def use():
    assert pymysql.converters.escape_string("a'b") == "a\\'b"
    try:
        pymysql.connect(host="127.0.0.1", port=1, connect_timeout=2)
    except pymysql.err.OperationalError:
        return
    raise AssertionError("nobody listens on port 1")
