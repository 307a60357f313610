"""Histories as files: one operation a line, as a JSON object.

::

    {"process": 1, "key": "k", "kind": "write", "argument": 7, "invoked_at": 1, "returned_at": 2}
    {"process": 2, "key": "k", "kind": "read", "result": 7, "invoked_at": 1, "returned_at": 3}
    {"process": 1, "key": "k", "kind": "write", "argument": 8, "invoked_at": 4, "returned_at": null}

``returned_at`` null is an unknown outcome; ``"failed": true`` one that failed for sure. Absent
members are null, false or 0. Values are what JSON has; a list stands for a tuple, and
``{"base64": ".."}`` for bytes. Empty lines are skipped.
"""

import base64
import binascii
import json
import math
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paceline_local.testing.linearizability.history import History, Operation

_MEMBERS = frozenset(Operation.__dataclass_fields__)
_VALUES = ("process", "key", "argument", "result")


def dumps(operations: Iterable[Operation]) -> Iterator[str]:
    """Returns the lines, without their ends. Raises TypeError for a value that JSON cannot
    express."""
    for operation in operations:
        members: dict[str, Any] = {
            "process": _to_json(operation.process),
            "key": _to_json(operation.key),
            "kind": operation.kind,
        }
        for name in ("argument", "result"):
            if (value := getattr(operation, name)) is not None:
                members[name] = _to_json(value)
        members["invoked_at"] = operation.invoked_at
        members["returned_at"] = operation.returned_at
        for name in ("failed", "invoked_order", "returned_order"):
            if flag := getattr(operation, name):
                members[name] = flag
        yield json.dumps(members)


def loads(lines: Iterable[str]) -> History:
    """Parses such lines. Raises ValueError, which names the line, for anything else."""
    return History(_operation(line, number) for number, line in enumerate(lines, 1) if line.strip())


def save(operations: Iterable[Operation], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in dumps(operations))


def load(path: Path) -> History:
    with path.open(encoding="utf-8") as file:
        return loads(file)


def _operation(line: str, number: int) -> Operation:
    try:
        members = json.loads(line)
        if not isinstance(members, dict):
            raise ValueError("not an object")
        if surplus := members.keys() - _MEMBERS:
            raise ValueError(f"unknown members {sorted(surplus)}")
        for name in ("process", "kind", "invoked_at"):
            if members.get(name) is None:
                raise ValueError(f"no {name}")
        return Operation(
            kind=_typed(members, "kind", str, ""),
            invoked_at=_time(members, "invoked_at"),
            returned_at=None
            if members.get("returned_at") is None
            else _time(members, "returned_at"),
            failed=_typed(members, "failed", bool, False),
            invoked_order=_typed(members, "invoked_order", int, 0),
            returned_order=_typed(members, "returned_order", int, 0),
            **{name: from_json(members.get(name)) for name in _VALUES},
        )
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _typed(members: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = members.get(name, default)
    if type(value) is not kind:
        raise ValueError(f"{name} is to be {kind.__name__}, not {value!r}")
    return value


def _time(members: dict[str, Any], name: str) -> float:
    value = members[name]
    if type(value) is int or (isinstance(value, float) and not math.isnan(value)):
        return value
    raise ValueError(f"{name} is to be a number, not {value!r}")


def _to_json(value: Hashable) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} has no place in JSON; use strings, numbers, bytes and tuples")


def from_json(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    if value.keys() != {"base64"} or not isinstance(value["base64"], str):
        raise ValueError(f"an object other than {{'base64': '..'}} is no value: {value!r}")
    try:
        return base64.b64decode(value["base64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{value!r}: {error}") from error
