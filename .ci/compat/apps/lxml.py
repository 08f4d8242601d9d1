"""data: lxml."""

from lxml import etree, html


def use():
    root = etree.fromstring("<a><b c='1'/><b c='2'/></a>")
    assert root.xpath("b/@c") == ["1", "2"]
    assert html.fromstring("<p>x<br>y").text_content() == "xy"
