"""database: psycopg[binary]."""

import psycopg
import psycopg_binary
from psycopg import pq


def use():
    assert psycopg_binary.__version__
    assert pq.__impl__
    try:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")
    except psycopg.OperationalError:
        return
    raise AssertionError("nobody listens on port 1")
