"""JSON, strictly: bounded in size and depth, no key twice, no numbers JSON does not have. Pure.

Numbers stay as they were written (IAM compares them as text until an operator says otherwise).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from paceline.access.policies.problems import PolicyError, shown

CHARACTERS_MAX: Final = 10_240
"""The most that IAM takes of a role's policies together; more of one document is refused."""
DEPTH_MAX: Final = 8
"""Objects and lists inside each other; the deepest of a policy, a list of values in a condition,
is the seventh."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Twice:
    """Stands where an object has a key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def read(text: str, where: str, characters_max: int = CHARACTERS_MAX) -> Any:
    """Returns dicts, lists, strings, ``Number``, bools and None. Raises PolicyError."""
    if len(text) > characters_max:
        raise PolicyError(
            where,
            "$",
            f"the document has {len(text)} characters",
            f"at most {characters_max} are allowed",
        )
    if _depth(text) > DEPTH_MAX:
        raise PolicyError(
            where,
            "$",
            "objects and lists are nested too deeply",
            f"at most {DEPTH_MAX} may be inside each other",
        )
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise PolicyError(
            where,
            "$",
            f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            "a policy is one JSON object",
        ) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError(where, "$", f"no JSON: {error}", "a policy is one JSON object") from None
    _check(value, "$", where)
    return value


def member(path: str, key: str) -> str:
    """The path of an object's member."""
    return f"{path}.{key}" if _NAME.fullmatch(key) else f"{path}[{shown(key)}]"


def _depth(text: str) -> int:
    """Without recursion, so that it can be asked of any text."""
    depth = deepest = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Twice(key)
        seen.add(key)
    raise AssertionError("pairs without a repetition make as many members")


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON has")


def _check(value: Any, path: str, where: str) -> None:
    """Depth was bounded before."""
    if isinstance(value, _Twice):
        raise PolicyError(
            where, member(path, value.key), "the key is there twice", "each key may stand once"
        )
    if isinstance(value, str):
        _check_text(value, path, where)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _check(one, f"{path}[{index}]", where)
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_text(key, path, where)
            _check(one, member(path, key), where)


def _check_text(text: str, path: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PolicyError(
            where, path, "a text has half of a surrogate pair", "texts are whole characters"
        ) from None
