"""What the hostile clients of ``benchmarks.beside`` send, and what the DynamoDB behind answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from node.frontends.grpc.values import fill_item, fill_value
from paceline.dax.cbor import write_array, write_int, write_text
from paceline.dax.request_types import PutItem, RawRequest, Request
from paceline.v1 import data_pb2 as pb

TABLE = "bench"
ITEMS, NUMBERS = 25, 6000
DENSEST = 1_864_000
"""Empty lists in 16 MB of JSON: ``{"L":[]},`` has nine bytes."""
NULLS = 200_000
"""In an item of 400 KB; each counts for two bytes."""
BODY_BYTES_MAX = 16 * 1024 * 1024
FRAME_ELEMENTS = 2_000_000

Params = dict[str, Any]


# -- requests ----------------------------------------------------------------------------------


def puts(values: list[Params]) -> Params:
    """``ITEMS`` items with ``values`` each."""
    items = [{"id": {"S": f"i{n}"}, "l": {"L": values}} for n in range(ITEMS)]
    return {"RequestItems": {TABLE: [{"PutRequest": {"Item": item}} for item in items]}}


def numbers() -> Params:
    return puts([{"N": "7"}] * NUMBERS)


def densest() -> Params:
    return puts([{"L": []}] * (DENSEST // ITEMS - 8))


def deletes(count: int) -> Params:
    writes = [{"DeleteRequest": {"Key": {"id": {"S": f"k{n}"}}}} for n in range(count)]
    return {"RequestItems": {TABLE: writes}}


def transaction(count: int) -> Params:
    keyed = [{"TableName": TABLE, "Key": {"id": {"S": f"k{n}"}}} for n in range(count)]
    return {"TransactItems": [{"Delete": one} for one in keyed]}


def keys(count: int, prefix: str = "k") -> Params:
    asked = [{"id": {"S": f"{prefix}{n}"}} for n in range(count)]
    return {"RequestItems": {TABLE: {"Keys": asked}}}


def tables(count: int) -> Params:
    return {"RequestItems": {f"t{n}": {"Keys": [{"id": {"S": "k"}}]} for n in range(count)}}


def update(count: int) -> Params:
    """Its maps of names and values have ``count`` entries each."""
    return {
        "TableName": TABLE,
        "Key": {"id": {"S": "u"}},
        "UpdateExpression": "SET #n1 = :v1",
        "ExpressionAttributeNames": {f"#n{n}": "a" for n in range(count)},
        "ExpressionAttributeValues": {f":v{n}": {"N": "1"} for n in range(count)},
    }


def legacy_update(count: int) -> Params:
    change = {"Value": {"L": [{"N": "7"}]}, "Action": "PUT"}
    return {
        "TableName": TABLE,
        "Key": {"id": {"S": "u"}},
        "AttributeUpdates": {f"a{n}": change for n in range(count)},
        "Expected": {f"a{n}": {"Exists": False} for n in range(count)},
    }


def legacy_query(count: int) -> Params:
    one = {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "7"}]}
    return {
        "TableName": TABLE,
        "KeyConditions": {"id": {**one, "AttributeValueList": [{"S": "x"}]}},
        "QueryFilter": {f"a{n}": one for n in range(count)},
    }


def statement(values: list[Params]) -> Params:
    return {"Statement": f"INSERT INTO {TABLE} VALUE {{'id':?,'l':?}}", "Parameters": values}


def statements(count: int) -> Params:
    return {"Statements": [statement([{"S": "k"}]) for _ in range(count)]}


def nest(depth: int) -> Params:
    """Lists in lists."""
    one: Params = {"NULL": True}
    for _ in range(depth):
        one = {"L": [one]}
    return one


QUERY: Params = {
    "TableName": TABLE,
    "KeyConditionExpression": "id = :v",
    "ExpressionAttributeValues": {":v": {"S": "x"}},
}
CONSISTENT = {**QUERY, "ConsistentRead": True}
PROJECTED: Params = {
    "RequestItems": {
        TABLE: {**keys(25)["RequestItems"][TABLE], "ProjectionExpression": "id, l"},
    }
}
NESTED = b'{"L":[' * 30 + b"]}" * 30


@dataclass(frozen=True)
class Load:
    operation: str
    params: Callable[[], Params]
    protocols: tuple[str, ...] = ("http", "dax", "grpc")


ORDINARY_BYTES = 256 * 1024
"""Of JSON, or what is the same in another form: the largest requests and pages beside which the
event loop is to wake up within 5 ms."""


def filled(value: Params) -> list[Params]:
    """As many of ``value`` as have ``ORDINARY_BYTES`` in JSON."""
    each = len(json.dumps(value, separators=(",", ":"))) + 1
    return [value] * ((ORDINARY_BYTES - 200) // each)


SHAPES: dict[str, Params] = {
    "numbers": {"l": {"L": filled({"N": "7"})}},
    "empty lists": {"l": {"L": filled({"L": []})}},
    "texts": {"l": {"L": filled({"S": "x" * 100})}},
    "one text": {"l": {"S": "x" * (ORDINARY_BYTES - 100)}},
    "a set": {"l": {"SS": [f"{n:06}" for n in range(ORDINARY_BYTES // 9 - 20)]}},
    "a map": {"l": {"M": {f"{n:05}": {"N": "7"} for n in range(ORDINARY_BYTES // 18 - 20)}}},
    "lists in lists": {"l": {"L": filled(nest(20))}},
}
"""Attributes of an item beside its key, of ``ORDINARY_BYTES`` in JSON."""


def put(shape: str) -> Params:
    return {"TableName": TABLE, "Item": {"id": {"S": "x"}, **SHAPES[shape]}}


def page(shape: str, *, consistent: bool) -> Params:
    asked = {**QUERY, "ExpressionAttributeValues": {":v": {"S": f"of {shape}"}}}
    return {**asked, "ConsistentRead": True} if consistent else asked


JSON_ONLY = ("http", "raw")
"""What has no form of its own in other protocols: JSON by HTTP and in frames of DAX."""
ANY = ("http", "raw", "dax", "grpc")

LOADS = {
    f"write of {ITEMS} x {NUMBERS} numbers": Load("BatchWriteItem", numbers),
    "the densest write": Load("BatchWriteItem", densest),
    "answer of 25 x 6000 numbers": Load("BatchGetItem", lambda: keys(ITEMS)),
    "the same, projected": Load("BatchGetItem", lambda: PROJECTED),
    "answer of 16 MB of nulls": Load("BatchGetItem", lambda: keys(ITEMS, "big")),
    "page of 100 000 numbers": Load("Query", lambda: CONSISTENT),
    "page that is cached": Load("Query", lambda: QUERY),
    "page of 1 MB of nulls": Load("Scan", lambda: {"TableName": TABLE, "ConsistentRead": True}),
    "page of 1 MB of nulls, cached": Load("Scan", lambda: {"TableName": TABLE}),
    "100 000 keys": Load("BatchGetItem", lambda: keys(100_000)),
    "100 000 tables": Load("BatchGetItem", lambda: tables(100_000), ("http", "grpc")),
    "100 000 deletions": Load("BatchWriteItem", lambda: deletes(100_000), ("http", "grpc")),
    "transaction of 100 000": Load("TransactWriteItems", lambda: transaction(100_000)),
    "maps of 100 000 names and values": Load("UpdateItem", lambda: update(100_000)),
    "legacy update of 100 000": Load("UpdateItem", lambda: legacy_update(100_000), JSON_ONLY),
    "legacy query of 100 000": Load("Query", lambda: legacy_query(100_000), JSON_ONLY),
    "statement of 400 000 values": Load(
        "ExecuteStatement", lambda: statement([{"N": "7"}] * 400_000), JSON_ONLY
    ),
    "the densest statement": Load(
        "ExecuteStatement", lambda: statement([{"L": []}] * DENSEST), JSON_ONLY
    ),
    "100 000 statements": Load("BatchExecuteStatement", lambda: statements(100_000), JSON_ONLY),
    "statement of 16 MB": Load(
        "ExecuteStatement", lambda: {"Statement": "x " * (BODY_BYTES_MAX // 2 - 30)}, JSON_ONLY
    ),
    "statement of 16 MB, one word": Load(
        "ExecuteStatement", lambda: {"Statement": "x" * (BODY_BYTES_MAX - 60)}, JSON_ONLY
    ),
}

ORDINARY = {
    **{f"256 KB put, {one}": Load("PutItem", partial(put, one), ANY) for one in SHAPES},
    **{
        f"256 KB page, {one}": Load("Query", partial(page, one, consistent=True), ANY)
        for one in SHAPES
    },
    **{
        f"256 KB page, cached, {one}": Load("Query", partial(page, one, consistent=False), ANY)
        for one in SHAPES
    },
}
LOADS |= ORDINARY

BODIES = {
    "16 MB with too many values": b"[" + b"0," * (BODY_BYTES_MAX // 2 - 2) + b"0]",
    "16 MB nested too deeply": b"[" * (BODY_BYTES_MAX // 2) + b"]" * (BODY_BYTES_MAX // 2),
    "lists in lists": b'{"TableName":"bench","Item":{"id":{"S":"x"},"l":{"L":['
    + b",".join([NESTED] * (BODY_BYTES_MAX // len(NESTED) - 2000))
    + b"]}}}",
}
"""Of PutItem."""


def put_of_elements(count: int) -> PutItem:
    """By DAX, a list of so many elements of one byte."""
    values = bytearray()
    write_int(values, 1)
    write_array(values, count)
    values += bytes(count)
    key = bytearray()
    write_text(key, "x")
    return PutItem(TABLE, bytes(key[1:]), bytes(values))


FRAMES: dict[str, Callable[[], Request]] = {
    "16 million elements": lambda: put_of_elements(16_000_000),
    "2 million elements": lambda: put_of_elements(FRAME_ELEMENTS),
}


def null_list(count: int) -> pb.PutItemRequest:
    """A list of ``count`` nulls, which have four bytes each."""
    request = pb.PutItemRequest(table_name=TABLE)
    fill_item(request.item, {"id": {"S": "x"}, "l": {"L": [{"NULL": True}] * count}})
    return request


def nested(depth: int) -> pb.PutItemRequest:
    """Lists in lists, as many as gRPC takes, and again until there are 16 MB."""
    one = nest(depth)
    request = pb.PutItemRequest(table_name=TABLE)
    fill_item(request.item, {"id": {"S": "x"}, "l": {"L": [one] * 60_000}})
    return request


MESSAGES: dict[str, Callable[[], Any]] = {
    "4 million nulls": lambda: null_list(4_000_000),
    "lists in lists": lambda: nested(40),
}
"""Of PutItem."""


def raw_request(name: str) -> RawRequest:
    operation, body = json_request(name)
    return RawRequest(f"DynamoDB_20120810.{operation}", body)


def json_request(name: str) -> tuple[str, bytes]:
    """The operation, and the body."""
    load = LOADS.get(name)
    if load is None:
        return "PutItem", BODIES[name]
    return load.operation, json.dumps(load.params(), separators=(",", ":")).encode()


def message(operation: str, params: Params) -> Any:
    request: Any = getattr(pb, f"{operation}Request")()
    for table, part in params.get("RequestItems", {}).items():
        for write in part if isinstance(part, list) else ():
            one = request.request_items[table].requests.add()
            if "PutRequest" in write:
                one.put_item.SetInParent()
                fill_item(one.put_item.attributes, write["PutRequest"]["Item"])
            else:
                one.delete_key.SetInParent()
                fill_item(one.delete_key.attributes, write["DeleteRequest"]["Key"])
        if isinstance(part, dict):
            for key in part["Keys"]:
                fill_item(request.request_items[table].keys.add().attributes, key)
            if "ProjectionExpression" in part:
                text = part["ProjectionExpression"]
                request.request_items[table].projection_expression = text
    for action in params.get("TransactItems", ()):
        one = request.transact_items.add().delete
        one.table_name = action["Delete"]["TableName"]
        fill_item(one.key, action["Delete"]["Key"])
    if "TableName" in params:
        request.table_name = params["TableName"]
    for field in ("Key", "Item"):
        if field in params:
            fill_item(getattr(request, snake(field)), params[field])
    for field in ("UpdateExpression", "KeyConditionExpression", "ConsistentRead"):
        if field in params:
            setattr(request, snake(field), params[field])
    request_names = params.get("ExpressionAttributeNames")
    if request_names:
        request.expression_attribute_names.update(request_names)
    for placeholder, value in params.get("ExpressionAttributeValues", {}).items():
        fill_value(request.expression_attribute_values[placeholder], value)
    return request


def snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name).lstrip("_")


# -- answers -----------------------------------------------------------------------------------


def answer_to(operation: str, body: Params) -> Params:
    name = {"AttributeName": "id"}
    items = [{"id": {"S": f"k{n}"}, "l": {"L": [{"N": "7"}] * NUMBERS}} for n in range(ITEMS)]
    match operation:
        case "DescribeTable":
            return {
                "Table": {
                    "TableName": body["TableName"],
                    "TableStatus": "ACTIVE",
                    "TableId": "bench",
                    "KeySchema": [{**name, "KeyType": "HASH"}],
                    "AttributeDefinitions": [{**name, "AttributeType": "S"}],
                }
            }
        case "GetItem":
            return {"Item": {**body["Key"], "v": {"S": "x" * 1000}}}
        case "BatchGetItem":
            return {"Responses": {TABLE: items}, "UnprocessedKeys": {}}
        case "Query":
            return {"Items": items[:17], "Count": 17, "ScannedCount": 17}
        case "Scan":
            return {"Items": full_items(2), "Count": 2, "ScannedCount": 2}
    return {}


def full_items(count: int) -> list[Params]:
    return [
        {"id": {"S": f"big{n}"}, "l": {"L": [{"NULL": True}] * (NULLS - 10)}} for n in range(count)
    ]


def prepared() -> dict[str, bytes]:
    """The largest answers, by what is in their requests."""
    batch: Params = {"Responses": {TABLE: full_items(ITEMS)}, "UnprocessedKeys": {}}
    answers = {"big": batch}
    for shape, attributes in SHAPES.items():
        items = [{"id": {"S": "x"}, **attributes}]
        answers[f"of {shape}"] = {"Items": items, "Count": 1, "ScannedCount": 1}
    return {
        marker: json.dumps(answer, separators=(",", ":")).encode()
        for marker, answer in answers.items()
    }


def serve_source(port: int) -> None:
    """A DynamoDB with one table; what is written is forgotten."""
    large = prepared()
    known: dict[str, bytes] = {}

    def answered(operation: str, body: bytes) -> bytes:
        if operation == "BatchGetItem" and b'"big' in body[:200]:
            return large["big"]
        if operation in ("DescribeTable", "GetItem"):
            return json.dumps(answer_to(operation, json.loads(body))).encode()
        if operation == "Query" and (found := re.search(rb'"(of [a-z ]+)"', body)):
            return large[found[1].decode()]
        if operation not in known:
            known[operation] = json.dumps(answer_to(operation, {})).encode()
        return known[operation]

    async def answer(request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        return web.Response(
            body=answered(operation, await request.read()),
            content_type="application/x-amz-json-1.0",
            headers={"x-amzn-requestid": "bench"},
        )

    app = web.Application(client_max_size=8 * BODY_BYTES_MAX)
    app.router.add_post("/", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)
