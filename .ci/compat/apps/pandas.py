"""numbers and pictures: pandas."""

import pandas


def use():
    frame = pandas.DataFrame({"a": ["x", "y", "x"], "b": [1, 2, 3]})
    assert frame.groupby("a").b.sum().to_dict() == {"x": 4, "y": 2}
