"""Reads wire JSON as parameters of the operation layer, where the request is surely well-formed.
Pure.

The two forms differ in binary values only. ``None`` stands for 'not sure': a member is not known
here, or a value is of another kind than DynamoDB wants. DynamoDB judges those itself, from the
request as it came.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from node.values import json_slices
from paceline.types import AttributeValue, Params

DEPTH_MAX = 32
"""DynamoDB's nesting of lists and maps."""

_REQUIRED = {
    "BatchGetItem": ("RequestItems",),
    "BatchWriteItem": ("RequestItems",),
    "DeleteItem": ("Key",),
    "GetItem": ("Key",),
    "PutItem": ("Item",),
    "TransactWriteItems": ("TransactItems",),
    "UpdateItem": ("Key",),
}
"""The required members besides ``TableName``."""
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")

INTEGER_BITS = 31
"""DynamoDB's limit."""

WHOLE_BYTES_MAX = 64 * 1024
"""A body up to this size is read by one call, which takes some milliseconds."""

NOT_JSON = object()
"""Stands for a body that is not valid JSON."""

Convert = Callable[[Any], Any]


class NotRecognised(Exception):
    """The request is not surely well-formed."""


def json_value(body: bytes) -> Any:
    """Returns the value; ``NOT_JSON`` if the body is not JSON, and False for null."""
    try:
        large = len(body) > WHOLE_BYTES_MAX
        value = json_slices.loads(body) if large else _decode(body.decode())
    except (ValueError, RecursionError):
        return NOT_JSON
    return False if value is None else value


_decode = json.JSONDecoder(parse_constant=json_slices.no_constant).decode
"""``json.loads`` would make a decoder for every request, since it has an option."""


def to_params(operation: str, body: Any) -> Params | None:
    """Returns the parameters. ``body`` is never changed; parts of it may be shared with the
    result."""
    try:
        return _CONVERTERS[operation](body)  # type: ignore[no-any-return]
    except NotRecognised:
        return None


# -- what members hold --------------------------------------------------------------------------


def attribute(value: Any, depth: int = 0) -> AttributeValue:
    if type(value) is not dict or len(value) != 1:
        raise NotRecognised
    ((kind, content),) = value.items()
    if kind in ("S", "N"):
        if type(content) is not str:
            raise NotRecognised
        return value
    if kind == "B":
        return {"B": _blob(content)}
    if kind in ("BOOL", "NULL"):
        if type(content) is not bool:
            raise NotRecognised
        return value
    if kind == "M":
        if type(content) is not dict or depth >= DEPTH_MAX:
            raise NotRecognised
        made = _map_of(content, lambda one: attribute(one, depth + 1))
        return value if made is content else {"M": made}
    if type(content) is not list or not content:
        if kind == "L" and content == []:
            return value
        raise NotRecognised
    if kind == "L":
        if depth >= DEPTH_MAX:
            raise NotRecognised
        elements = _list_of(content, lambda one: attribute(one, depth + 1))
        return value if elements is content else {"L": elements}
    if kind in ("SS", "NS"):
        if not all(type(one) is str for one in content):
            raise NotRecognised
        return value
    if kind == "BS":
        return {"BS": [_blob(one) for one in content]}
    raise NotRecognised


def _map_of(content: dict[str, Any], convert: Convert) -> dict[str, Any]:
    """``content`` itself where nothing in it becomes another: a copy of a million values takes
    memory, and the collector of garbage long to look at while it is new."""
    made = content
    for name, one in content.items():
        other = convert(one)
        if other is not one:
            if made is content:
                made = dict(content)
            made[name] = other
    return made


def _list_of(content: list[Any], convert: Convert) -> list[Any]:
    """As ``_map_of``."""
    made = content
    for at, one in enumerate(content):
        other = convert(one)
        if other is not one:
            if made is content:
                made = list(content)
            made[at] = other
    return made


def _blob(content: Any) -> bytes:
    if type(content) is not str:
        raise NotRecognised
    try:
        return b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise NotRecognised from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise NotRecognised
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise NotRecognised
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or value.bit_length() > INTEGER_BITS:
        raise NotRecognised
    return value


def _table(value: Any) -> str:
    if type(value) is not str or not _TABLE.fullmatch(value):
        raise NotRecognised
    return value


def _one_of(*allowed: str) -> Convert:
    def convert(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise NotRecognised
        return value

    return convert


def _map(convert: Convert) -> Convert:
    def convert_all(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise NotRecognised
        return _map_of(value, convert)

    return convert_all


def _list(convert: Convert) -> Convert:
    def convert_all(value: Any) -> list[Any]:
        if type(value) is not list:
            raise NotRecognised
        return _list_of(value, convert)

    return convert_all


def _members(known: dict[str, Convert], required: tuple[str, ...] = ()) -> Convert:
    """Reads a structure. ``TableName`` must be there if it is known."""
    wanted = (*required, "TableName") if "TableName" in known else required

    def convert(value: Any) -> Params:
        if type(value) is not dict:
            raise NotRecognised
        for name in wanted:
            if name not in value:
                raise NotRecognised
        converted: Params = {}
        for name, one in value.items():
            if name not in known:
                raise NotRecognised
            converted[name] = known[name](one)
        return converted

    return convert


def _single(known: dict[str, Convert]) -> Convert:
    """Reads a structure with exactly one member."""
    convert = _members(known)

    def convert_one(value: Any) -> Params:
        converted: Params = convert(value)
        if len(converted) != 1:
            raise NotRecognised
        return converted

    return convert_one


_ITEM = _map(attribute)
_CAPACITY = _one_of("INDEXES", "TOTAL", "NONE")
_JOIN = _one_of("AND", "OR")
_EXPECTED = _map(
    _members(
        {
            "Value": attribute,
            "Exists": _flag,
            "ComparisonOperator": _text,
            "AttributeValueList": _list(attribute),
        }
    )
)
_CONDITIONS = _map(_members({"ComparisonOperator": _text, "AttributeValueList": _list(attribute)}))
_EXPRESSION: dict[str, Convert] = {
    "ExpressionAttributeNames": _map(_text),
    "ExpressionAttributeValues": _ITEM,
}
_READ: dict[str, Convert] = {
    "TableName": _table,
    "ReturnConsumedCapacity": _CAPACITY,
    "ConsistentRead": _flag,
    "ProjectionExpression": _text,
    "ExpressionAttributeNames": _map(_text),
}
_PAGE: dict[str, Convert] = {
    **_READ,
    **_EXPRESSION,
    "IndexName": _text,
    "Limit": _integer,
    "Select": _text,
    "AttributesToGet": _list(_text),
    "ConditionalOperator": _JOIN,
    "ExclusiveStartKey": _ITEM,
    "FilterExpression": _text,
}
_ON_FAILURE: dict[str, Convert] = {"ReturnValuesOnConditionCheckFailure": _text}
_CONDITION: dict[str, Convert] = {"TableName": _table, "ConditionExpression": _text, **_EXPRESSION}
_WRITE: dict[str, Convert] = {
    **_CONDITION,
    **_ON_FAILURE,
    "ReturnConsumedCapacity": _text,
    "ReturnItemCollectionMetrics": _text,
    "ReturnValues": _text,
    "Expected": _EXPECTED,
    "ConditionalOperator": _text,
}
_UPDATES = _map(_members({"Value": attribute, "Action": _text}))
_KEYS_AND_ATTRIBUTES = _members(
    {
        "Keys": _list(_ITEM),
        "ConsistentRead": _flag,
        "ProjectionExpression": _text,
        "ExpressionAttributeNames": _map(_text),
    },
    ("Keys",),
)
_WRITE_REQUEST = _single(
    {
        "PutRequest": _members({"Item": _ITEM}, ("Item",)),
        "DeleteRequest": _members({"Key": _ITEM}, ("Key",)),
    }
)
_TRANSACT: dict[str, Convert] = {
    "Put": _members({**_CONDITION, **_ON_FAILURE, "Item": _ITEM}, ("Item",)),
    "Delete": _members({**_CONDITION, **_ON_FAILURE, "Key": _ITEM}, ("Key",)),
    "ConditionCheck": _members({**_CONDITION, **_ON_FAILURE, "Key": _ITEM}, ("Key",)),
    "Update": _members(
        {**_CONDITION, **_ON_FAILURE, "Key": _ITEM, "UpdateExpression": _text}, ("Key",)
    ),
}


def _by_table(convert: Convert) -> Convert:
    def convert_all(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise NotRecognised
        return {_table(name): convert(one) for name, one in value.items()}

    return convert_all


_MEMBERS: dict[str, dict[str, Convert]] = {
    "GetItem": {**_READ, "Key": _ITEM},
    "BatchGetItem": {
        "RequestItems": _by_table(_KEYS_AND_ATTRIBUTES),
        "ReturnConsumedCapacity": _CAPACITY,
    },
    "Query": {
        **_PAGE,
        "KeyConditionExpression": _text,
        "KeyConditions": _CONDITIONS,
        "QueryFilter": _CONDITIONS,
        "ScanIndexForward": _flag,
    },
    "Scan": {
        **_PAGE,
        "ScanFilter": _CONDITIONS,
        "Segment": _integer,
        "TotalSegments": _integer,
    },
    "PutItem": {**_WRITE, "Item": _ITEM},
    "DeleteItem": {**_WRITE, "Key": _ITEM},
    "UpdateItem": {
        **_WRITE,
        "Key": _ITEM,
        "UpdateExpression": _text,
        "AttributeUpdates": _UPDATES,
    },
    "BatchWriteItem": {
        "RequestItems": _by_table(_list(_WRITE_REQUEST)),
        "ReturnConsumedCapacity": _text,
        "ReturnItemCollectionMetrics": _text,
    },
    "TransactWriteItems": {
        "TransactItems": _list(_single(_TRANSACT)),
        "ReturnConsumedCapacity": _text,
        "ReturnItemCollectionMetrics": _text,
        "ClientRequestToken": _text,
    },
}

_CONVERTERS = {
    operation: _members(known, _REQUIRED.get(operation, ()))
    for operation, known in _MEMBERS.items()
}

PARAMETERS = frozenset(_MEMBERS)
"""The operations whose parameters are known here."""
