"""Keys of items, and in what words those that do not fit are refused."""

from __future__ import annotations

import pytest

from node.tables.item_keys import item_key
from paceline.errors import RequestError
from paceline.types import Item, KeyAttribute, KeySchema
from tests.unit.node.fakes import SCHEMA

TWO = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))
EMPTY = "cannot contain an empty string value"
OTHER_TYPE = "Type mismatch for key at expected: N actual: S"
TOO_MUCH = "Size of hashkey has exceeded the maximum"


@pytest.mark.parametrize(
    ("item", "item_words", "key_words"),
    [
        ({"id": {"S": "a"}}, "Missing the key at in the item", "does not match the schema"),
        ({"id": {"S": "a"}, "at": {"S": "1"}}, OTHER_TYPE, "does not match the schema"),
        ({"id": {"S": "a"}, "at": {"N": "1"}, "x": {"N": "1"}}, None, "does not match the schema"),
        ({"id": {"S": "x" * 4096}, "at": {"N": "1"}}, TOO_MUCH, TOO_MUCH),
        ({"id": {"S": "x" * 4000}, "at": {"N": "1"}}, None, None),
    ],
)
def test_a_key_that_does_not_fit_is_refused_in_dynamodbs_words(
    item: Item, item_words: str | None, key_words: str | None
) -> None:
    for what, words in (("Item", item_words), ("Key", key_words)):
        if words is None:
            assert item_key("t", item, TWO, what)[0] == "t"
            continue
        with pytest.raises(RequestError, match=words) as refused:
            item_key("t", item, TWO, what)
        assert refused.value.name == "ValidationException"


def test_an_empty_key_is_refused_as_it_would_stand_for_the_whole_table() -> None:
    with pytest.raises(RequestError, match=EMPTY):
        item_key("t", {"id": {"S": ""}}, SCHEMA, "Key")
    of_bytes = KeySchema(KeyAttribute("id", "B"))
    with pytest.raises(RequestError, match="empty binary value"):
        item_key("t", {"id": {"B": b""}}, of_bytes, "Item")
