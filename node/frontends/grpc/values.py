"""Attribute values between messages and boto3's low-level form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paceline.dax.numbers import normalize
from paceline.errors import RequestError
from paceline.types import AttributeValue, Item
from paceline.v1 import data_pb2 as pb

_EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
_NO_NUMBER = "The parameter cannot be converted to a numeric value"


def to_item(attributes: Mapping[str, pb.AttributeValue]) -> Item:
    """RequestError, in DynamoDB's words, for values that no item can have."""
    return {name: to_value(value) for name, value in attributes.items()}


def to_value(value: pb.AttributeValue) -> AttributeValue:
    kind = value.WhichOneof("value")
    match kind:
        case "s":
            return {"S": value.s}
        case "n":
            return {"N": _number(value.n)}
        case "b":
            return {"B": value.b}
        case "bool":
            return {"BOOL": value.bool}
        case "null":
            return {"NULL": value.null}
        case "m":
            return {"M": to_item(value.m.attributes)}
        case "l":
            return {"L": [to_value(element) for element in value.l.values]}
        case "ss":
            return {"SS": list(value.ss.values)}
        case "ns":
            return {"NS": [_number(text) for text in value.ns.values]}
        case "bs":
            return {"BS": list(value.bs.values)}
    raise RequestError("ValidationException", _EMPTY)


def fill_item(attributes: Any, item: Item) -> None:
    """Puts ``item`` into a map field of attribute values."""
    for name, value in item.items():
        fill_value(attributes[name], value)


def fill_value(message: pb.AttributeValue, value: AttributeValue) -> None:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            message.s = content
        case "N":
            message.n = content
        case "B":
            message.b = bytes(content)
        case "BOOL":
            message.bool = content
        case "NULL":
            message.null = content
        case "M":
            message.m.SetInParent()
            fill_item(message.m.attributes, content)
        case "L":
            message.l.SetInParent()
            for element in content:
                fill_value(message.l.values.add(), element)
        case "SS":
            message.ss.values.extend(content)
        case "NS":
            message.ns.values.extend(content)
        case "BS":
            message.bs.values.extend(bytes(element) for element in content)
        case _:
            raise ValueError(f"{kind} is no type of DynamoDB's")


def _number(text: str) -> str:
    """As it is. What is no number at all must not get as far as a key."""
    try:
        normalize(text)
    except ValueError:
        raise RequestError(
            "ValidationException", f"{_NO_NUMBER}: {text[:64]}" if text else _NO_NUMBER
        ) from None
    return text
