"""data: simplejson."""

import decimal

import simplejson


def use():
    assert simplejson.loads('{"a": 1.10}', use_decimal=True) == {"a": decimal.Decimal("1.10")}
    assert simplejson.dumps({"a": [1]}) == '{"a": [1]}'
