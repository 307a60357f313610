"""How much a result holds. Pure."""

from __future__ import annotations

from typing import Any


def holds_more(value: Any, values_max: int) -> bool:
    """Whether there are more values in ``value`` (dicts and lists, however nested) than so many;
    looks at no more than that. A quarter of a kilobyte of text or bytes counts as one more: copies
    of them take about as long."""
    left = values_max
    stack = [value]
    while stack:
        one = stack.pop()
        if type(one) is dict:
            left -= len(one)
            if left < 0:
                return True
            stack.extend(one.values())
        elif type(one) is list:
            left -= len(one)
            if left < 0:
                return True
            stack.extend(one)
        elif type(one) is str or type(one) is bytes:
            left -= len(one) >> 8
            if left < 0:
                return True
    return False
