"""Every type of value and key comes back as it was written, cached or not.

A suite that modules run on a client of theirs: they import everything from here and define the
fixture ``twins``.
"""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.twins import Twins

NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "1.5",
    "1.50",
    "0.1",
    "-7.25",
    "100",
    "1E+2",
    "1E-9",
    "1e30",
    "1E-130",
    "9.9999999999999999999999999999999999999E+125",
    "-9.9999999999999999999999999999999999999E+125",
    "99999999999999999999999999999999999999",
    "-99999999999999999999999999999999999999",
    "0.12345678901234567890123456789012345678",
    "12345678901234567890.123456789012345678",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-18446744073709551616",
    "-18446744073709551617",
]

VALUES: dict[str, Any] = {
    "text": {"S": "Ada"},
    "unicode": {"S": "Žluťoučký kůň 🐎 \u0000 \U0010ffff"},
    "empty-text": {"S": ""},
    "long-text": {"S": "x" * 100_000},
    "bytes": {"B": bytes(range(256))},
    "empty-bytes": {"B": b""},
    "true": {"BOOL": True},
    "false": {"BOOL": False},
    "null": {"NULL": True},
    "text-set": {"SS": ["b", "a", "č"]},
    "number-set": {"NS": ["1", "2.5", "-3E+5", "12345678901234567890123456789"]},
    "bytes-set": {"BS": [b"\x01", b"\x00\xff"]},
    "empty-list": {"L": []},
    "empty-map": {"M": {}},
    "list": {"L": [{"N": "1"}, {"S": "two"}, {"NULL": True}, {"L": [{"BOOL": False}]}]},
    "map": {"M": {"a": {"N": "1.25"}, "b c": {"M": {"": {"S": ""}}}, "č.[0]": {"B": b"\x00"}}},
    "deep": {"M": {"a": {"L": [{"M": {"b": {"L": [{"M": {"c": {"SS": ["x"]}}}]}}}]}}},
    **{f"number {text}": {"N": text} for text in NUMBERS},
}

KEYS: dict[str, dict[str, Any]] = {
    "hash": {"id": {"S": "ключ 🗝"}},
    "range": {"pk": {"S": "p"}, "sk": {"N": "-12.5"}},
    "range-huge": {"pk": {"S": "p"}, "sk": {"N": "99999999999999999999999999999999999999"}},
    "range-tiny": {"pk": {"S": "p"}, "sk": {"N": f"0.{'0' * 90}1"}},
    "range-zero": {"pk": {"S": "p"}, "sk": {"N": "0"}},
    "bytes": {"pk": {"B": b"\x00\xff"}, "sk": {"B": b"\x01"}},
    "numbers": {"pk": {"N": "1.5"}, "sk": {"S": "é"}},
    "numbers-big": {"pk": {"N": "18446744073709551616"}, "sk": {"S": "s"}},
}


class ValuesSuite:
    """The fixture ``twins`` is the module's."""

    @pytest.mark.parametrize("name", VALUES)
    def test_a_value_of_each_kind(self, twins: Twins, name: str) -> None:
        key = {"id": {"S": name}}
        item = {**key, "v": VALUES[name]}
        twins.same("PutItem", TableName="hash", Item=item)
        written = twins.same("GetItem", TableName="hash", Key=key)
        assert "v" in written["Item"]
        # Again, from a cache; and past it.
        twins.same("GetItem", TableName="hash", Key=key)
        twins.same("GetItem", TableName="hash", Key=key, ConsistentRead=True)

    @pytest.mark.parametrize("name", KEYS)
    def test_a_key_of_each_kind(self, twins: Twins, name: str) -> None:
        table, key = name.partition("-")[0], KEYS[name]
        twins.same("GetItem", TableName=table, Key=key)
        twins.same("PutItem", TableName=table, Item={**key, "v": {"S": name}})
        found = twins.same("GetItem", TableName=table, Key=key)
        assert found["Item"]["v"] == {"S": name}
        twins.same(
            "UpdateItem",
            TableName=table,
            Key=key,
            UpdateExpression="SET w = :w",
            ExpressionAttributeValues={":w": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        twins.same("GetItem", TableName=table, Key=key)
        twins.same("DeleteItem", TableName=table, Key=key, ReturnValues="ALL_OLD")
        assert twins.same("GetItem", TableName=table, Key=key) == {}

    def test_one_number_in_many_spellings_is_one_key(self, twins: Twins) -> None:
        twins.same("PutItem", TableName="range", Item={"pk": {"S": "n"}, "sk": {"N": "100"}})
        for spelling in ("100", "1E+2", "100.0", "0.1E3"):
            key = {"pk": {"S": "n"}, "sk": {"N": spelling}}
            found = twins.dax.get_item(TableName=twins.cached.names["range"], Key=key)
            assert Decimal(found["Item"]["sk"]["N"]) == 100, spelling

    def test_an_item_without_other_attributes(self, twins: Twins) -> None:
        key = {"id": {"S": "only a key"}}
        twins.same("PutItem", TableName="hash", Item=key)
        assert twins.same("GetItem", TableName="hash", Key=key) == {"Item": key}

    def test_an_item_of_many_attributes_in_any_order(self, twins: Twins) -> None:
        names = [f"attribute {n * 7919 % 300}" for n in range(300)]
        item = {"id": {"S": "wide"}, **{name: {"S": name} for name in names}}
        twins.same("PutItem", TableName="hash", Item=item)
        twins.same("GetItem", TableName="hash", Key={"id": {"S": "wide"}})

    def test_the_largest_item(self, twins: Twins) -> None:
        key = {"id": {"S": "largest"}}
        twins.same("PutItem", TableName="hash", Item={**key, "v": {"B": bytes(400 * 1024 - 200)}})
        twins.same("GetItem", TableName="hash", Key=key)
        twins.same("PutItem", TableName="hash", Item={**key, "v": {"B": bytes(400 * 1024)}})
        twins.same("GetItem", TableName="hash", Key=key)
