"""When a result counts as large: its values, and long texts as several."""

from __future__ import annotations

from typing import Any

import pytest

from node.values.size import holds_more


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
