"""data: marshmallow."""

from marshmallow import Schema, fields


class Item(Schema):
    id = fields.Integer(required=True)


def use():
    assert Item().load({"id": "3"}) == {"id": 3}
    assert Item().validate({}) == {"id": ["Missing data for required field."]}
