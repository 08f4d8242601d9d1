"""data: jsonschema."""

import jsonschema


def use():
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    jsonschema.validate({"a": 1}, schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"a": "x"})
