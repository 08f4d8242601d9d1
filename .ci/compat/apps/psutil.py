"""tasks and agents: psutil."""

import psutil


def use():
    assert psutil.Process().memory_info().rss > 0
    assert psutil.virtual_memory().total > 0
