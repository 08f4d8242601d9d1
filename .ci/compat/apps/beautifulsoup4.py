"""data: beautifulsoup4."""

from bs4 import BeautifulSoup


def use():
    assert BeautifulSoup("<p class=a>x</p>", "html.parser").find("p", class_="a").text == "x"
