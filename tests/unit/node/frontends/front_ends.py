"""Reads by every front end of a node, with all of what came of them in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.roster.endpoints import AddressFamily
from cluster.transport.dax_protocol import ConnectionInfo
from node.backend.calls import End, Refusal, Success
from node.backend.retry import meaning_of
from node.frontends.grpc.messages import fill
from node.frontends.grpc.values import to_item
from paceline.dax.cbor import Reader
from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.expressions import apply_projection, parse_projection
from paceline.dax.request_types import RawRequest
from paceline.dax.requests import encode_request, parse_request, read_method
from paceline.dax.responses import read_raw_reply
from paceline.dax.validity import are_sane_paths
from paceline.errors import DynamoDBError, ServiceError
from paceline.types import Item, KeyAttribute, KeySchema, Params, Result
from paceline.v1 import data_pb2 as pb
from tests.unit.node.frontends.doors import DynamoDB, Node

SCHEMA = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))
PEER = ConnectionInfo("dax", AddressFamily.IPV4, False, "peer")
RESERVED = frozenset({"name"})
KEY_BYTES_MAX = 2048
KEYS_MAX = 100
READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})

LAST = 3
"""Of the items of a table; there are no others."""


def key(number: int) -> Item:
    return {"id": {"S": "a"}, "at": {"N": str(number)}}


def item(number: int) -> Item:
    return {
        **key(number),
        "v": {"N": str(10 * number)},
        "name": {"S": "x"},
        "m": {"M": {"a": {"S": "1"}, "b": {"S": "2"}}},
    }


def describe(table: str) -> End:
    if table == "gone":
        return _refusal("ResourceNotFoundException", f"Requested resource not found: {table}")
    names = {"id": "S", "at": "N", "age": "N", "city": "S"}
    keys = [("id", "HASH"), ("at", "RANGE")]
    elements = [{"AttributeName": name, "KeyType": kind} for name, kind in keys]
    local = [elements[0], {"AttributeName": "age", "KeyType": "RANGE"}]
    return Success(
        {
            "Table": {
                "TableName": table,
                "TableId": f"{table}-1",
                "TableStatus": "ACTIVE",
                "KeySchema": elements,
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": kind} for name, kind in names.items()
                ],
                "LocalSecondaryIndexes": [{"IndexName": "by-age", "KeySchema": local}],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "by-city",
                        "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}],
                    }
                ],
            }
        }
    )


def _refusal(name: str, message: str) -> Refusal:
    return Refusal(DynamoDBError(name, message, 400), meaning_of(name, 400))


class _Refused(Exception):
    pass


def answer(operation: str, params: Params) -> End:
    """As much of DynamoDB as the tests ask for: it judges projections and keys, and counts."""
    try:
        return Success(_answered(operation, params))
    except _Refused as refused:
        return _refusal("ValidationException", str(refused))


def _answered(operation: str, params: Params) -> Result:
    if params.get("TableName") == "gone":
        raise _Refused("no such table")
    result: Result = {}
    units: dict[str, float] = {}
    match operation:
        case "GetItem":
            found = _found(params, params["Key"])
            if found is not None:
                result["Item"] = found
            units = {params["TableName"]: _units(params)}
        case "BatchGetItem":
            parts = params["RequestItems"]
            keys = [json.dumps([name, one]) for name in parts for one in parts[name]["Keys"]]
            if not 0 < len(keys) <= KEYS_MAX or len(set(keys)) < len(keys):
                raise _Refused("not so many keys, and no key twice")
            found_by_table = {
                name: [_found(part, one) for one in part["Keys"]] for name, part in parts.items()
            }
            result["Responses"] = {
                name: [one for one in found if one is not None]
                for name, found in found_by_table.items()
            }
            units = {name: _units(part) * len(part["Keys"]) for name, part in parts.items()}
        case "TransactGetItems":
            gets = [action["Get"] for action in params["TransactItems"]]
            result["Responses"] = [
                {} if one is None else {"Item": one}
                for one in (_found(get, get["Key"]) for get in gets)
            ]
        case "DeleteItem":
            pass
        case _:
            if params.get("IndexName") not in (None, "by-age", "by-city"):
                raise _Refused("The table does not have the specified index")
            if params.get("IndexName") == "by-city" and params.get("ConsistentRead"):
                raise _Refused("Consistent reads are not supported on global secondary indexes")
            items = [_found(params, key(number)) for number in range(1, LAST + 1)]
            result.update({"Items": items, "Count": LAST, "ScannedCount": LAST})
            units = {params["TableName"]: _units(params) * LAST}
    wanted = params.get("ReturnConsumedCapacity", "NONE")
    if wanted != "NONE":
        told = [_capacity(table, consumed, wanted) for table, consumed in units.items()]
        result["ConsumedCapacity"] = told if operation == "BatchGetItem" else told[0]
    return result


def _units(params: Params) -> float:
    return 1.0 if params.get("ConsistentRead") else 0.5


def _capacity(table: str, units: float, wanted: str) -> Result:
    more = {"Table": {"CapacityUnits": units}} if wanted == "INDEXES" else {}
    return {"TableName": table, "CapacityUnits": units, **more}


def _found(params: Params, asked: Item) -> Item | None:
    if asked.keys() != set(SCHEMA.names) or "N" not in asked["at"] or "S" not in asked["id"]:
        raise _Refused("The provided key element does not match the schema")
    if len(asked["id"]["S"]) > KEY_BYTES_MAX:
        raise _Refused("Size of hashkey has exceeded the maximum size limit of 2048 bytes")
    names = params.get("ExpressionAttributeNames")
    text = params.get("ProjectionExpression")
    if names is not None and text is None and "KeyConditionExpression" not in params:
        raise _Refused("ExpressionAttributeNames can only be specified when using expressions")
    paths = () if text is None else parse_projection(text, names or {})
    if not are_sane_paths(paths):
        raise _Refused("Invalid ProjectionExpression: Two document paths overlap")
    if any(len(path) > 1 and path[0] in SCHEMA.names for path in paths):
        raise _Refused("Key attributes must be scalars")
    if text is not None and RESERVED & {part.strip() for part in text.split(",")}:
        raise _Refused("Attribute name is a reserved keyword")
    number = int(asked["at"]["N"])
    if not 1 <= number <= LAST or asked["id"]["S"] != "a":
        return None
    return apply_projection(item(number), paths) if paths else item(number)


@dataclass(frozen=True)
class Outcome:
    """``cache``: None where the protocol does not tell. ``asked``: what DynamoDB was asked, as
    (operation, whether it was consistent, by table, the index, the capacity that was asked for).
    ``counted``: hits, misses, bypasses, and hits and misses of pages."""

    result: Result | None
    error: tuple[str, str] | None
    cache: str | None
    asked: list[tuple[Any, ...]]
    counted: tuple[int, ...]


class World:
    """A node whose DynamoDB is the above, and a client of one of its front ends."""

    def __init__(self, door: str) -> None:
        self.door = door
        self.node = Node()
        self.dynamodb: DynamoDB = self.node.dynamodb
        self.dynamodb.describe = describe
        self.dynamodb.answer = answer

    async def read(self, operation: str, params: Params) -> Outcome:
        before = self._counted()
        asked_before = len(self.dynamodb.sent)
        result: Result | None = None
        error: tuple[str, str] | None = None
        cache: str | None = None
        try:
            result, cache = await getattr(self, f"_{self.door}")(operation, params)
        except ServiceError as failed:
            error = (failed.name, failed.message)
        counted = tuple(b - a for a, b in zip(before, self._counted(), strict=True))
        asked = [
            _said(sent.operation, sent.body)
            for sent in self.dynamodb.sent[asked_before:]
            if sent.operation in READS
        ]
        return Outcome(result and _tidy(result), error, cache, asked, counted)

    def _counted(self) -> tuple[int, ...]:
        c = self.node.operations.reads.counters
        return c.hits, c.misses, c.bypasses, c.query_hits, c.query_misses

    # -- the ways in ------------------------------------------------------------------------

    async def _http(self, operation: str, params: Params) -> tuple[Result, str | None]:
        reply = await self.node.post(operation, params)
        return _json_result(reply.status, reply.body), reply.cache

    async def _raw(self, operation: str, params: Params) -> tuple[Result, str | None]:
        request = RawRequest(f"DynamoDB_20120810.{operation}", json.dumps(params).encode())
        reply = read_raw_reply((await self._exchange(encode_request(request)))[1:])
        return _json_result(reply.status, reply.body), reply.cache

    async def _dax(self, operation: str, params: Params) -> tuple[Result, str | None]:
        request = to_request(operation, params, lambda table: SCHEMA, _no_list)
        body = (await self._exchange(encode_request(request)))[1:]
        names_of = self.node.lists.names_of
        return decode_result(operation, params, body, lambda table: SCHEMA, names_of), None

    async def _exchange(self, frame: bytes) -> bytes:
        reply = self.node.dax.fast(frame)
        if reply is None:
            reader = Reader(frame)
            method = read_method(reader)
            request = parse_request(method, Reader(frame, reader.pos))
            reply = await self.node.dax.handle(request, PEER)
        return reply

    async def _grpc(self, operation: str, params: Params) -> tuple[Result, str | None]:
        request = getattr(pb, f"{operation}Request")()
        said = dict(params)
        if "ReturnConsumedCapacity" in said:
            name = f"RETURN_CONSUMED_CAPACITY_{said['ReturnConsumedCapacity']}"
            said["ReturnConsumedCapacity"] = pb.ReturnConsumedCapacity.Value(name)
        if operation == "TransactGetItems":
            said["TransactItems"] = [action["Get"] for action in said["TransactItems"]]
        fill(request, said)
        response, call = await self.node.call(operation, request)
        if response is None:
            told = pb.Error.FromString(call.trailing["paceline-error-bin"])
            raise ServiceError(told.code, told.message)
        return _grpc_result(operation, response), call.initial["x-paceline-cache"]


def _no_list(names: tuple[str, ...]) -> int:
    raise AssertionError("a read has no attribute list")


def _json_result(status: int, body: bytes) -> Result:
    said: Result = json.loads(body)
    if status != 200:
        raise ServiceError(said["__type"].rpartition("#")[2], said["message"])
    return said


def _grpc_result(operation: str, response: Any) -> Result:
    result: Result = {}
    match operation:
        case "GetItem":
            if response.HasField("item"):
                result["Item"] = to_item(response.item.attributes)
        case "BatchGetItem":
            result["Responses"] = {
                table: [to_item(one.attributes) for one in items.items]
                for table, items in response.responses.items()
            }
        case "TransactGetItems":
            result["Responses"] = [
                {"Item": to_item(one.item.attributes)} if one.HasField("item") else {}
                for one in response.responses
            ]
        case "DeleteItem":
            pass
        case _:
            result["Items"] = [to_item(one.attributes) for one in response.items]
            result["Count"], result["ScannedCount"] = response.count, response.scanned_count
    told = response.consumed_capacity
    if operation in ("BatchGetItem", "TransactGetItems"):
        if told:
            result["ConsumedCapacity"] = [_grpc_capacity(one) for one in told]
    elif response.HasField("consumed_capacity"):
        result["ConsumedCapacity"] = _grpc_capacity(told)
    return result


def _grpc_capacity(told: Any) -> Result:
    result: Result = {"TableName": told.table_name, "CapacityUnits": told.capacity_units}
    if told.HasField("table"):
        result["Table"] = {"CapacityUnits": told.table.capacity_units}
    return result


def _tidy(result: Result) -> Result:
    """Without what some protocols say where there is nothing to say."""
    tidy = {name: value for name, value in result.items() if name != "UnprocessedKeys" or value}
    responses = tidy.get("Responses")
    if isinstance(responses, dict):
        tidy["Responses"] = {table: sorted(items, key=_text) for table, items in responses.items()}
    if isinstance(tidy.get("ConsumedCapacity"), list):
        tidy["ConsumedCapacity"] = sorted(
            tidy["ConsumedCapacity"], key=lambda one: str(one["TableName"])
        )
    return tidy


def _text(found: Mapping[str, Any]) -> str:
    return json.dumps(found, sort_keys=True)


def _said(operation: str, params: Params) -> tuple[Any, ...]:
    consistent: Any = bool(params.get("ConsistentRead"))
    if operation == "BatchGetItem":
        consistent = {
            table: bool(part.get("ConsistentRead"))
            for table, part in params["RequestItems"].items()
        }
    capacity = params.get("ReturnConsumedCapacity", "NONE")
    return operation, consistent, params.get("IndexName"), capacity
