"""data: ujson."""

import ujson


def use():
    assert ujson.loads(ujson.dumps({"a": [1, 2.5, "x"]})) == {"a": [1, 2.5, "x"]}
