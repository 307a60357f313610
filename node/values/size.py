"""How much a result holds. Pure."""

from __future__ import annotations

from typing import Any


def is_flat(item: dict[str, Any], attributes_max: int) -> bool:
    """True if an item has no more attributes than that, and no lists, maps or sets in them: then it
    holds few values, whatever the length of its texts, which DynamoDB bounds."""
    if len(item) > attributes_max:
        return False
    for value in item.values():
        for content in value.values():
            if type(content) is dict or type(content) is list:
                return False
    return True


def dicts_in(value: Any) -> int:
    """How many there are, ``value`` included: about as many as values of DynamoDB's."""
    count = 0
    # No list of all that is left to look at: to fill one with a million takes a call into C long.
    left = [iter((value,))]
    while left:
        for one in left[-1]:
            if type(one) is dict:
                count += 1
                left.append(iter(one.values()))
                break
            if type(one) is list:
                if one and type(one[0]) is str:
                    count += len(one) // 4  # a set; its elements take a fourth of what dicts do
                else:
                    left.append(iter(one))
                    break
        else:
            left.pop()
    return count


def holds_more(value: Any, values_max: int) -> bool:
    """Whether there are more values in ``value`` (dicts and lists, however nested) than so many;
    looks at no more than that. A quarter of a kilobyte of text or bytes counts as one more: copies
    of them take about as long."""
    left = values_max
    stack: list[Any] = [(value,)]
    while stack:
        for one in stack.pop():
            kind = type(one)
            if kind is str or kind is bytes:
                left -= len(one) >> 8
            elif kind is dict:
                left -= len(one)
                stack.append(one.values())
            elif kind is list:
                left -= len(one)
                stack.append(one)
            if left < 0:
                return True
    return False
