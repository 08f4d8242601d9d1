"""templates: wtforms."""

from wtforms import Form, StringField, validators


class Name(Form):
    name = StringField("name", [validators.Length(min=2)])


def use():
    assert not Name(data={"name": "x"}).validate()
    assert 'name="name"' in str(Name(data={"name": "xy"}).name())
