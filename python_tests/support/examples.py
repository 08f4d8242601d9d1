"""What is shipped under examples/, as tests take it: read, and with other addresses and paths in it."""

import re

import pytest

from .process import HERE

EXAMPLES = HERE.parent / "examples"


def example(name):
    """The text of an example; without it the test is left out."""
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip(f"examples/{name} is not beside this suite")
    return path.read_text()


def replaced(text, *pairs):
    """`text` with each pair's first word, which must be there, replaced by its second one."""
    for old, new in pairs:
        assert old in text, f"the example no longer has {old!r}"
        text = text.replace(old, str(new))
    return text


def option(words, name):
    """The value of an option in a command line's words, as `--name=value` or `--name value`."""
    text = " ".join(words)
    found = re.search(rf"(?:^|\s)--{name}[= ](\S+)", text)
    assert found, f"no --{name} in {text}"
    return found.group(1)
