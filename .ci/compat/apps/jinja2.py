"""templates: jinja2."""

from jinja2 import DictLoader, Environment

pages = Environment(
    loader=DictLoader(
        {"base": "<{% block b %}{% endblock %}>", "page": "{% extends 'base' %}{% block b %}{{ x|e }}{% endblock %}"}
    ),
    autoescape=True,
)


def use():
    assert pages.get_template("page").render(x="a&b") == "<a&amp;b>"
