"""When a result counts as large: its values, and long texts as several."""

from __future__ import annotations

from typing import Any

import pytest

from node.values.size import holds_more, is_flat


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ({}, 0),
        ([], 0),
        (None, 0),
        ("x" * 255, 0),
        ("x" * 256, 1),
        (b"x" * 512, 2),
        ({"a": None, "b": True, "c": 1}, 3),
        ({"a": [1, 2, {"b": "x" * 300}]}, 6),
        ([["x" * 256, b"x" * 256], {}], 6),
    ],
)
def test_every_value_counts_and_a_long_text_once_more_for_each_quarter_of_a_kilobyte(
    value: Any, values: int
) -> None:
    assert not holds_more(value, values)
    assert holds_more(value, values - 1) or values == 0


def test_no_more_is_looked_at_than_may_be_held() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert holds_more(endless, 1000)


@pytest.mark.parametrize(
    ("item", "flat"),
    [
        ({}, True),
        ({"a": {"S": "x" * 400_000}, "b": {"NULL": True}, "c": {"B": b"x"}, "d": {"N": "1"}}, True),
        ({f"a{n}": {"N": "1"} for n in range(10)}, True),
        ({f"a{n}": {"N": "1"} for n in range(11)}, False),
        ({"a": {"S": "x"}, "b": {"L": []}}, False),
        ({"a": {"M": {}}}, False),
        ({"a": {"SS": ["x"]}}, False),
    ],
)
def test_a_flat_item_has_few_attributes_and_nothing_in_them(item: Any, flat: bool) -> None:
    assert is_flat(item, 10) == flat
