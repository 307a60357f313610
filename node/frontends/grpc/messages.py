"""Requests to parameters, results to responses, by the fields' names. Pure.

A field is named as DynamoDB's parameter, in snake case, so both directions are one rule for each
kind of field; the few messages that have another shape than DynamoDB's are named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from node.frontends.grpc.values import fill_item, fill_value, to_item
from paceline.errors import RequestError
from paceline.types import Params, Result
from paceline.v1 import data_pb2 as pb

_ODD_NAMES = {"size_estimate_range_gb": "SizeEstimateRangeGB"}
_ALWAYS_GIVEN = frozenset({"table_name", "key", "keys", "item", "request_items", "transact_items"})
"""DynamoDB demands them; an empty one is judged, not left out."""

_ATTRIBUTES = pb.Attributes.DESCRIPTOR
VALUE = pb.AttributeValue.DESCRIPTOR
_WRITE_REQUEST = pb.WriteRequest.DESCRIPTOR
_TRANSACT_WRITE = pb.TransactWrite.DESCRIPTOR
_WRITE_REQUESTS = pb.WriteRequests.DESCRIPTOR
_TRANSACT_GET = pb.TransactGet.DESCRIPTOR
_ACTIONS = {
    "put": "Put",
    "update": "Update",
    "delete": "Delete",
    "condition_check": "ConditionCheck",
}

SORTED_MAX = 1_000

Read = Callable[[Any], Any]


def to_params(request: Any) -> Params:
    """The parameters of the operation; RequestError for what DynamoDB could not be told."""
    params: Params = {}
    for field, name, read in _readers(request.DESCRIPTOR):
        if field.name in _ALWAYS_GIVEN or _is_given(request, field):
            params[name] = read(getattr(request, field.name))
    return params


def fill(message: Any, result: Result) -> None:
    """Puts what the message has fields for into it."""
    for field in message.DESCRIPTOR.fields:
        value = result.get(_parameter(field.name))
        if value is not None:
            fill_field(message, field, value)


@lru_cache(maxsize=64)
def _readers(descriptor: Any) -> tuple[tuple[Any, str, Read], ...]:
    return tuple((field, _parameter(field.name), _reader(field)) for field in descriptor.fields)


@lru_cache(maxsize=256)
def _parameter(name: str) -> str:
    return _ODD_NAMES.get(name) or "".join(part.capitalize() for part in name.split("_"))


def _is_given(request: Any, field: Any) -> bool:
    if field.has_presence:
        return bool(request.HasField(field.name))
    return bool(getattr(request, field.name))


def _reader(field: Any) -> Read:
    """What makes a parameter of a field's value."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        return lambda number: _enum_text(field.enum_type, number)
    if field.message_type is None:
        return lambda value: value
    if field.message_type.GetOptions().map_entry:
        kind = field.message_type.fields_by_name["value"].message_type
        if kind is None:
            # Not ``dict``, which would take all of a million in one call into C.
            return lambda entries: {key: entries[key] for key in entries}
        if kind is VALUE:
            return to_item
        return lambda entries: {key: _read_message(entries[key]) for key in _in_order(entries)}
    return lambda elements: [_read_message(element) for element in elements]


def _in_order(names: Any) -> Iterable[str]:
    """A protobuf map has another order in each process, and tables are asked one after the other:
    what takes no notable time is sorted, so that a request goes the same way everywhere."""
    return sorted(names) if len(names) <= SORTED_MAX else names


def _read_message(message: Any) -> Any:
    kind = message.DESCRIPTOR
    if kind is _ATTRIBUTES:
        return to_item(message.attributes)
    if kind is _WRITE_REQUESTS:
        return [_read_message(request) for request in message.requests]
    if kind is _WRITE_REQUEST:
        if message.HasField("put_item"):
            return {"PutRequest": {"Item": to_item(message.put_item.attributes)}}
        if message.HasField("delete_key"):
            return {"DeleteRequest": {"Key": to_item(message.delete_key.attributes)}}
        raise RequestError("ValidationException", "a WriteRequest has put_item or delete_key")
    if kind is _TRANSACT_WRITE:
        action = message.WhichOneof("action")
        if action is None:
            raise RequestError(
                "ValidationException",
                "a TransactWrite has one of put, update, delete and condition_check",
            )
        return {_ACTIONS[action]: to_params(getattr(message, action))}
    if kind is _TRANSACT_GET:
        return {"Get": to_params(message)}
    return to_params(message)


def _enum_text(enum: Any, number: int) -> str:
    known = enum.values_by_number.get(number)
    if known is None:
        raise RequestError("ValidationException", f"{number} is no value of {enum.name}")
    prefix = str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")
    return str(known.name).removeprefix(prefix)


def fill_field(message: Any, field: Any, value: Any) -> None:
    if field.message_type is None:
        if isinstance(value, list):
            getattr(message, field.name).extend(value)
        else:
            setattr(message, field.name, value)
        return
    target = getattr(message, field.name)
    if field.message_type.GetOptions().map_entry:
        kind = field.message_type.fields_by_name["value"].message_type
        if kind is None:
            target.update(value)
        elif kind is VALUE:
            fill_item(target, value)
        else:
            for key, entry in value.items():
                fill_message(target[key], entry)
    elif isinstance(value, list):
        for element in value:
            fill_message(target.add(), element)
    else:
        target.SetInParent()
        fill_message(target, value)


def fill_message(message: Any, value: Any) -> None:
    kind = message.DESCRIPTOR
    if kind is _ATTRIBUTES:
        fill_item(message.attributes, value)
    elif kind is VALUE:
        fill_value(message, value)
    elif kind is _WRITE_REQUEST:
        if "PutRequest" in value:
            message.put_item.SetInParent()
            fill_item(message.put_item.attributes, value["PutRequest"]["Item"])
        else:
            message.delete_key.SetInParent()
            fill_item(message.delete_key.attributes, value["DeleteRequest"]["Key"])
    elif isinstance(value, list):
        # A list as the value of a map is wrapped, since protobuf has no such thing.
        (field,) = kind.fields
        fill_field(message, field, value)
    else:
        fill(message, value)


def wrapped(kind: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """The fields that ``fill_message`` fills of such a message, and what with."""
    if kind is _ATTRIBUTES:
        yield kind.fields_by_name["attributes"], value
    elif kind is VALUE:
        ((name, content),) = value.items()
        yield kind.fields_by_name[name.lower()], content
    elif kind is _WRITE_REQUEST:
        if "PutRequest" in value:
            yield kind.fields_by_name["put_item"], value["PutRequest"]["Item"]
        else:
            yield kind.fields_by_name["delete_key"], value["DeleteRequest"]["Key"]
    elif isinstance(value, list):
        yield kind.fields[0], value
    else:
        for field in kind.fields:
            content = value.get(_parameter(field.name))
            if content is not None:
                yield field, content
