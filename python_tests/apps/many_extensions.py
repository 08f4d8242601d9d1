"""Imports at once what refuses own-GIL interpreters; answers who serves, and waits at a gate."""

import os

import cryptography.hazmat.bindings._rust
import lxml.etree
import numpy
import orjson
import psycopg2
import sqlalchemy

from apps.routes import by_path, stand_at_gate

MODULES = [numpy, sqlalchemy, lxml.etree, cryptography.hazmat.bindings._rust, psycopg2, orjson]


def answered(start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    modules = [module.__name__ for module in MODULES]
    return [orjson.dumps({"pid": os.getpid(), "sum": numpy.ones(3).sum().item(), "modules": modules})]


def who(environ, start_response):
    return answered(start_response)


def waits(environ, start_response):
    stand_at_gate(environ)
    return answered(start_response)


app = by_path(who, waits)
