"""database: mysqlclient."""

import MySQLdb


def use():
    assert MySQLdb.escape_string("a'b") == b"a\\'b"
