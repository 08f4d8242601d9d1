"""The middle of the import chain to numpy."""

import numpy


def total():
    return int(numpy.arange(10).sum())
