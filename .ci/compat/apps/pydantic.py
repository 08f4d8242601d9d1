"""data: pydantic."""

from pydantic import BaseModel


class Item(BaseModel):
    id: int
    tags: list[str] = []


def use():
    assert Item.model_validate_json('{"id": "3", "tags": ["x"]}').model_dump() == {"id": 3, "tags": ["x"]}
