"""Tables as tests write them down: the key in short, everything else as CreateTable has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from paceline.errors import ConfigError

_TYPES = ("S", "N", "B")


def key_parameters(key: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """CreateTable's parameters, without the name. ``key``: ``("id",)`` or ``("id", "at:N")``.

    Attributes that only ``parameters`` define (of indexes) are kept; the key's come first.
    """
    found = dict(parameters)
    found.setdefault("BillingMode", "PAY_PER_REQUEST")
    if not key and "KeySchema" not in found:
        raise ConfigError("a table needs a key: name it, as in 'id' or 'id', 'at:N'")
    if not key:
        return found
    if "KeySchema" in found or len(key) > 2:
        raise ConfigError(f"{', '.join(key)} is no key: name one or two attributes, and once")
    attributes = [_attribute(text) for text in key]
    found["KeySchema"] = [
        {"AttributeName": name, "KeyType": role}
        for (name, _), role in zip(attributes, ("HASH", "RANGE"), strict=False)
    ]
    names = {name for name, _ in attributes}
    found["AttributeDefinitions"] = [
        {"AttributeName": name, "AttributeType": kind} for name, kind in attributes
    ] + [one for one in found.get("AttributeDefinitions", []) if one["AttributeName"] not in names]
    return found


def _attribute(text: str) -> tuple[str, str]:
    """``id`` or ``id:N``; a name may have colons in it."""
    name, colon, kind = text.rpartition(":")
    if not colon:
        name, kind = text, "S"
    if not name or kind not in _TYPES:
        raise ConfigError(f"{text!r} is no key attribute: write NAME, or NAME:S, NAME:N, NAME:B")
    return name, kind
