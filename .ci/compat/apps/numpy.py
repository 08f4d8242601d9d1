"""numbers and pictures: numpy."""

import numpy


def use():
    matrix = numpy.arange(9.0).reshape(3, 3) + numpy.eye(3)
    assert numpy.allclose(matrix @ numpy.linalg.inv(matrix), numpy.eye(3))
