"""What may be asked, by AWS's own description of the service, as botocore ships it.

botocore is imported when somebody first asks: a discovery process that nobody asks has no need of
it. Messages are in the words that AWS's services use for what breaks their models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from cluster.access.denied import Denied
from discovery.control.faults import INVALID_VALUE, VALIDATION
from discovery.control.world import Asked

SHOWN_MAX: Final = 128
TEXT_CHARACTERS_MAX: Final = 4_096
DEPTH_MAX: Final = 8
INTEGER_MAX: Final = 2**31 - 1
SECONDS_MAX: Final = 253_402_300_799
"""The end of the year 9999, which is where datetimes end."""


class Model:
    """Loads when it is made, which takes a fraction of a second. Denied: it is not there."""

    def __init__(self) -> None:
        import botocore.exceptions  # noqa: PLC0415 - see the module
        import botocore.loaders  # noqa: PLC0415
        import botocore.model  # noqa: PLC0415

        try:
            loaded = botocore.loaders.Loader().load_service_model("dax", "service-2")
        except botocore.exceptions.DataNotFoundError:
            raise Denied(
                "ServiceUnavailableException",
                "botocore's description of dax is not installed with this discovery.",
                503,
            ) from None
        self._service: Any = botocore.model.ServiceModel(loaded, "dax")
        self.operations: frozenset[str] = frozenset(self._service.operation_names)

    def errors_of(self, operation: str) -> frozenset[str]:
        """Names of the errors that the operation may be answered with."""
        shapes = self._service.operation_model(operation).error_shapes
        return frozenset(shape.name for shape in shapes)

    def read(self, operation: str, body: bytes) -> Asked:
        """The parameters. Denied: they are none of the operation."""
        try:
            found = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise _unreadable("the body is no JSON") from None
        if not isinstance(found, dict):
            raise _unreadable("the body is no JSON object")
        shape = self._service.operation_model(operation).input_shape
        reader = _Reader()
        read: Asked = reader.structure(found, shape, "", 0)
        if reader.said:
            several = "s" if len(reader.said) > 1 else ""
            told = "; ".join(reader.said[:SHOWN_MAX])
            message = f"{len(reader.said)} validation error{several} detected: {told}"
            modelled = INVALID_VALUE in self.errors_of(operation)
            raise Denied(INVALID_VALUE if modelled else VALIDATION, message)
        return read


class _Reader:
    """Gathers what breaks the model, which is said all at once; what is of another type ends it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def structure(self, value: object, shape: Any, path: str, depth: int) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _unreadable(f"{path} is no object")
        if depth > DEPTH_MAX:
            raise _unreadable(f"{path} is nested too deeply")
        read = {}
        for name, one in value.items():
            member = shape.members.get(name)
            if member is None:
                self._wrong(None, _below(path, name), "Member is not known")
            elif one is not None:
                read[name] = self._any(one, member, _below(path, name), depth + 1)
        for name in shape.required_members:
            if value.get(name) is None:
                self._wrong(None, _below(path, name), "Member must not be null")
        return read

    def _any(self, value: object, shape: Any, path: str, depth: int) -> Any:
        kind = shape.type_name
        if kind == "structure":
            return self.structure(value, shape, path, depth)
        if kind == "list":
            return list(self._list(value, shape, path, depth))
        if kind == "string":
            return self._text(value, shape, path)
        if kind == "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                raise _unreadable(f"{path} is no whole number")
            if abs(value) > INTEGER_MAX:
                raise _unreadable(f"{path} is no number of 32 bits")
            return value
        if kind == "boolean":
            if not isinstance(value, bool):
                raise _unreadable(f"{path} is neither true nor false")
            return value
        if kind == "timestamp":
            return _seconds(value, path)
        raise _unreadable(f"{path} is of the type {kind}, which no parameter of DAX has")

    def _list(self, value: object, shape: Any, path: str, depth: int) -> Iterator[Any]:
        if not isinstance(value, list):
            raise _unreadable(f"{path} is no list")
        for number, one in enumerate(value, 1):
            if one is None:
                self._wrong(None, f"{path}.{number}.member", "Member must not be null")
            else:
                yield self._any(one, shape.member, f"{path}.{number}.member", depth + 1)

    def _text(self, value: object, shape: Any, path: str) -> str:
        if not isinstance(value, str):
            raise _unreadable(f"{path} is no text")
        if len(value) > TEXT_CHARACTERS_MAX:
            rule = f"Member must have length less than or equal to {TEXT_CHARACTERS_MAX}"
            self._wrong(value, path, rule)
        if any("\ud800" <= one <= "\udfff" for one in value):
            raise _unreadable(f"{path} has half of a surrogate pair")
        if shape.enum and value not in shape.enum:
            told = ", ".join(shape.enum)
            self._wrong(value, path, f"Member must satisfy enum value set: [{told}]")
        return value

    def _wrong(self, value: str | None, path: str, rule: str) -> None:
        told = "null" if value is None else f"'{value[:SHOWN_MAX]}'"
        self.said.append(
            f"Value {told} at '{path[:SHOWN_MAX]}' failed to satisfy constraint: {rule}"
        )


def _seconds(value: object, path: str) -> float:
    """AWS's JSON has seconds since the epoch; texts of ISO 8601 are understood besides."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            raise _unreadable(f"{path} is no time") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _unreadable(f"{path} is no time")
    if not math.isfinite(value) or not 0 <= value <= SECONDS_MAX:
        raise _unreadable(f"{path} is no time since 1970")
    return float(value)


def _below(path: str, name: str) -> str:
    """As AWS names members: ``clusterName``, ``tags.1.member.key``."""
    small = name[:1].lower() + name[1:]
    return f"{path}.{small}" if path else small


def _unreadable(why: str) -> Denied:
    return Denied("SerializationException", why)
