"""data: attrs."""

import attrs


@attrs.define
class Item:
    id: int = attrs.field(converter=int)


def use():
    assert attrs.asdict(Item("3")) == {"id": 3}
