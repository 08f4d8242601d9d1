"""database: psycopg."""

import psycopg
from psycopg import sql


def use():
    assert sql.SQL("select {}").format(sql.Literal(1)).as_string(None) == "select 1"
    try:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")
    except psycopg.OperationalError:
        return
    raise AssertionError("nobody listens on port 1")
