"""data: orjson."""

import datetime

import orjson


def use():
    assert orjson.loads(orjson.dumps({"a": datetime.date(2026, 1, 2)})) == {"a": "2026-01-02"}
