"""Needs six extension packages at once, each of which refuses own-GIL interpreters."""

import cryptography.fernet
import lxml.etree
import numpy
import orjson
import psycopg2
import sqlalchemy

from apps.routes import answer

MODULES = (cryptography, lxml, numpy, orjson, psycopg2, sqlalchemy)


def app(environ, start_response):
    key = cryptography.fernet.Fernet.generate_key()
    seen = {
        "cryptography": cryptography.fernet.Fernet(key).decrypt(cryptography.fernet.Fernet(key).encrypt(b"x")).decode(),
        "lxml": lxml.etree.fromstring("<a><b/></a>")[0].tag,
        "numpy": int(numpy.arange(10).sum()),
        "orjson": orjson.loads(orjson.dumps([1, 2])),
        "psycopg2": psycopg2.extensions.parse_dsn("host=localhost")["host"],
        "sqlalchemy": str(sqlalchemy.select(sqlalchemy.literal(1))).split()[0],
        "interpreter": environ["chaussette.interpreter"],
    }
    return answer(start_response, seen)
