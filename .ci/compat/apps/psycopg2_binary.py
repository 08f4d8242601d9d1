"""database: psycopg2-binary."""

import psycopg2
from psycopg2.extensions import adapt, parse_dsn


def use():
    assert adapt("a'b").getquoted() == b"'a''b'"
    assert parse_dsn("host=x port=1") == {"host": "x", "port": "1"}
    try:
        psycopg2.connect("host=127.0.0.1 port=1 connect_timeout=2")
    except psycopg2.OperationalError:
        return
    raise AssertionError("nobody listens on port 1")
