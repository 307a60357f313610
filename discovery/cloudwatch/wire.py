"""Parameters and results in each of CloudWatch's protocols, by the service's model. Pure.

A shape is one of botocore's: ``type_name``, ``members``, ``member``, ``key``, ``value``,
``required_members`` and ``metadata`` are all that is asked of it. Parameters come out as plain
values; a time is seconds since the epoch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cluster.access.denied import Denied
from discovery.cloudwatch.cbor import Timestamp

_GROUP: Final = re.compile(r"\d{1,4}")
DEPTH_MAX: Final = 16
EPOCH_MAX: Final = 253_402_300_799
"""The end of the year 9999."""


def invalid(message: str) -> Denied:
    return Denied("InvalidParameterValue", message)


def _constraint(path: str, value: object, wanted: str) -> Denied:
    shown = "null" if value is None else f"'{str(value)[:100]}'"
    return Denied(
        "ValidationError",
        f"1 validation error detected: Value {shown} at '{path}' failed to satisfy constraint:"
        f" Member must {wanted}",
    )


# -- in ---------------------------------------------------------------------------------------


def nested(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Of a form's ``A.member.1.B``, the values by their places. Denied: one stands in another."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        parts = name.split(".")
        if len(parts) > DEPTH_MAX:
            raise Denied("MalformedQueryString", f"{name[:100]} is nested too deep")
        place = found
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise Denied("MalformedQueryString", f"{name[:100]} stands in a value")
        if parts[-1] in place:
            raise Denied("MalformedQueryString", f"{name[:100]} stands in a value")
        place[parts[-1]] = value
    return found


def parameters_of(shape: Any, value: Any, *, is_form: bool) -> dict[str, Any]:
    """Denied for what the model does not allow. Members that it does not have are left out."""
    if not isinstance(value, dict):
        raise Denied("SerializationException", "The parameters are no structure.")
    result: dict[str, Any] = _Reading(is_form).structure(shape, value, "", 0)
    return result


class _Reading:
    def __init__(self, is_form: bool) -> None:
        self._is_form = is_form

    def value(self, shape: Any, value: Any, path: str, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise Denied("SerializationException", f"{path} is nested too deep")
        match shape.type_name:
            case "structure":
                if not isinstance(value, dict):
                    raise self._no(path, "a structure")
                return self.structure(shape, value, path, depth)
            case "list":
                return self._list(shape, value, path, depth)
            case "map":
                raise self._no(path, "what this service reads")
            case "string":
                return self._string(shape, value, path)
            case "boolean":
                return self._boolean(value, path)
            case "timestamp":
                return self._time(value, path)
            case "integer" | "long":
                return self._number(shape, value, path, int)
        return self._number(shape, value, path, float)

    def structure(self, shape: Any, value: dict[str, Any], path: str, depth: int) -> Any:
        found: dict[str, Any] = {}
        for name, member in shape.members.items():
            inner = f"{path}.{_small(name)}" if path else _small(name)
            given = value.get(name)
            if given is not None:
                found[name] = self.value(member, given, inner, depth + 1)
            elif name in shape.required_members:
                raise _constraint(inner, None, "not be null")
        return found

    def _list(self, shape: Any, value: Any, path: str, depth: int) -> list[Any]:
        if self._is_form:
            value = self._form_list(value, path)
        if not isinstance(value, list):
            raise self._no(path, "a list")
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max")
        if len(value) < low:
            raise _constraint(path, value, f"have length greater than or equal to {low}")
        if high is not None and len(value) > high:
            raise _constraint(path, "[…]", f"have length less than or equal to {high}")
        return [
            self.value(shape.member, one, f"{path}.{place}.member", depth + 1)
            for place, one in enumerate(value, 1)
        ]

    def _form_list(self, value: Any, path: str) -> Any:
        if value == "":
            return []
        members = value.get("member") if isinstance(value, dict) else None
        if not isinstance(members, dict) or not all(_GROUP.fullmatch(key) for key in members):
            raise Denied("MalformedQueryString", f"{path} is no list")
        return [members[key] for key in sorted(members, key=int)]

    def _string(self, shape: Any, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise self._no(path, "a text")
        told = shape.metadata
        if "enum" in told and value not in told["enum"]:
            raise _constraint(path, value, f"satisfy enum value set: [{', '.join(told['enum'])}]")
        if len(value) < told.get("min", 0):
            raise _constraint(
                path, value, f"have length greater than or equal to {told.get('min')}"
            )
        if len(value) > told.get("max", math.inf):
            raise _constraint(path, value, f"have length less than or equal to {told.get('max')}")
        pattern = told.get("pattern")
        if pattern and not re.fullmatch(pattern, value, re.DOTALL):
            raise _constraint(path, value, f"satisfy regular expression pattern: {pattern}")
        return value

    def _boolean(self, value: Any, path: str) -> bool:
        if self._is_form and value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise self._no(path, "true or false")
        return value

    def _number(self, shape: Any, value: Any, path: str, kind: Callable[[Any], Any]) -> Any:
        if self._is_form:
            try:
                value = kind(value) if isinstance(value, str) and len(value) < 64 else None
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._no(path, "a number")
        if not math.isfinite(value) or (kind is int and value != int(value)):
            raise self._no(path, "such a number")
        value = kind(value)
        if value < shape.metadata.get("min", -math.inf):
            raise _constraint(
                path, value, f"have value greater than or equal to {shape.metadata['min']}"
            )
        if value > shape.metadata.get("max", math.inf):
            raise _constraint(
                path, value, f"have value less than or equal to {shape.metadata['max']}"
            )
        return value

    def _time(self, value: Any, path: str) -> float:
        if isinstance(value, str):
            try:
                read = datetime.fromisoformat(value.strip())
                value = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                raise self._no(path, "a time") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._no(path, "a time")
        if not 0 <= value <= EPOCH_MAX:
            raise self._no(path, "a time since 1970")
        return float(value)

    @staticmethod
    def _no(path: str, wanted: str) -> Denied:
        return Denied("SerializationException", f"{path} is not {wanted}")


def _small(name: str) -> str:
    return name[:1].lower() + name[1:]


# -- out --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entries:
    """A map, for XML, where a structure has other elements."""

    pairs: Sequence[tuple[str, Any]]


def result_of(shape: Any, value: Any, time: Callable[[float], Any], *, as_text: bool) -> Any:
    """``value`` in the types of the shape. ``as_text``: all of it as XML's elements have it."""
    match shape.type_name:
        case "structure":
            return {
                name: result_of(shape.members[name], one, time, as_text=as_text)
                for name, one in value.items()
                if one is not None
            }
        case "list":
            return [result_of(shape.member, one, time, as_text=as_text) for one in value]
        case "map":
            pairs = [
                (key, result_of(shape.value, one, time, as_text=as_text))
                for key, one in value.items()
            ]
            return Entries(pairs) if as_text else dict(pairs)
        case "timestamp":
            return time(value)
        case "boolean":
            return ("true" if value else "false") if as_text else bool(value)
        case "integer" | "long":
            return str(int(value)) if as_text else int(value)
        case "double" | "float":
            return repr(float(value)) if as_text else float(value)
    return str(value)


def cbor_time(at: float) -> Timestamp:
    return Timestamp(at)
