"""data: pyyaml."""

import yaml


def use():
    assert yaml.safe_load("a: [1, x]") == {"a": [1, "x"]}
    assert yaml.safe_dump({"a": 1}) == "a: 1\n"
