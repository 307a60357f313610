"""How much a result holds. Pure."""

from __future__ import annotations

from typing import Any, Final

_FEW: Final = 64
"""Attributes of an item that is looked at in a shorter way."""


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
    stack = [value]
    if type(value) is dict and len(value) <= _FEW:
        # An item of plain values, as most are: for those the stack takes longer than all else.
        for one in value.values():
            if type(one) is not dict or len(one) != 1:
                break
            (content,) = one.values()
            if type(content) is not str and type(content) is not bool:
                break
            left -= 2 + (len(content) >> 8 if type(content) is str else 0)
        else:
            return left < 0
        left = values_max
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
