"""The bytes of an operation in each protocol, and what the right reply looks like.

DAX frames are written by the project's own codec, HTTP requests have the headers of boto3's.
Tables are those of the fake DynamoDB (``fake_answers.c``): ``h1000`` has items of 1000 bytes by a
hash key, ``r1000`` partitions of ten. What is written is what is there already, so that a cache and
the fake never differ.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from benchmarks.load.kinds import MARK, Kind, Reply, key_name
from paceline.auth.sigv4 import signing_key
from paceline.dax.attribute_lists import encode_item, list_id
from paceline.dax.client.requests import to_request
from paceline.dax.connection import ClientConnection
from paceline.dax.requests import encode_request
from paceline.dax.responses import MISS_REPLY, item_reply
from paceline.types import KeyAttribute, KeySchema, Params

BATCH = 50
PAGE = 10
USER_AGENT = (
    "Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#6.1 md/arch#x86_64 "
    "lang/python#3.11.7 md/pyimpl#CPython m/Z,b,D cfg/retry-mode#legacy Botocore/1.40.1"
)

_HASH = KeySchema(KeyAttribute("id", "S"))
_RANGE = KeySchema(KeyAttribute("id", "S"), KeyAttribute("n", "N"))


def preamble() -> bytes:
    """What a DAX connection begins with; it has no reply."""
    return ClientConnection().preamble("bench", bytes(16))


ACCESS_KEY, SECRET_KEY, REGION = "PLAKBENCHMARK0000001", "benchmark" * 4, "us-east-1"
"""Of the one principal of nodes that ask for signatures."""


def authorization() -> bytes:
    """What a DAX connection shows behind its beginning: a signature of now; it has no reply."""
    return ClientConnection().authorize(ACCESS_KEY, SECRET_KEY, REGION, datetime.now(UTC))


def signed(kind: Kind) -> Kind:
    """A request by HTTP, signed now. ValueError for one with keys to put in."""
    if kind.holes():
        raise ValueError(f"{kind.name}: it is not the same each time, so it cannot be signed once")
    head, _, body = kind.frame.decode().partition("\r\n\r\n")
    lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
    headers = {name.lower(): value for name, _, value in lines}
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers["x-amz-date"] = at
    names = ("content-type", "host", "x-amz-date", "x-amz-target")
    canonical = "".join(f"{name}:{headers[name]}\n" for name in names)
    listed = ";".join(names)
    text = f"POST\n/\n\n{canonical}\n{listed}\n{sha256(body.encode()).hexdigest()}"
    scope = f"{at[:8]}/{REGION}/dynamodb/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(text.encode()).hexdigest()}"
    key = signing_key(SECRET_KEY, at[:8], REGION, "dynamodb")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    shown = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={listed},"
        f" Signature={signature}"
    )
    told = {"x-amz-date": at, "authorization": shown}
    first = kind.frame.decode().partition("\r\n")[0]
    rest = "\r\n".join(f"{n}: {told.get(n.lower(), value)}" for n, _, value in lines)
    return replace(kind, frame=f"{first}\r\n{rest}\r\n\r\n{body}".encode())


def value_of(size: int) -> str:
    return "x" * size


def schema_of(table: str) -> KeySchema:
    return _RANGE if table.startswith("r") else _HASH


# -- operations, in boto3's terms --------------------------------------------------------------


def get(size: int, key: str = "") -> Params:
    return {"TableName": f"h{size}", "Key": {"id": {"S": key or key_name(MARK)}}}


def put(size: int) -> Params:
    item = {"id": {"S": key_name(MARK)}, "v": {"S": value_of(size)}}
    return {"TableName": f"h{size}", "Item": item}


def update(size: int) -> Params:
    return {
        **get(size),
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": value_of(size)}},
    }


def query(size: int) -> Params:
    return {
        "TableName": f"r{size}",
        "KeyConditionExpression": "id = :i",
        "ExpressionAttributeValues": {":i": {"S": key_name(MARK)}},
    }


def batch_get(size: int, count: int = BATCH) -> Params:
    keys = [{"id": {"S": key_name(MARK + number)}} for number in range(count)]
    return {"RequestItems": {f"h{size}": {"Keys": keys}}}


# -- DAX ---------------------------------------------------------------------------------------


def _list_id(names: tuple[str, ...]) -> int:
    return list_id(names)


def dax_frame(operation: str, params: Params) -> bytes:
    return encode_request(to_request(operation, params, schema_of, _list_id))


def dax_item(size: int) -> bytes:
    """The whole reply to a GetItem."""
    item = {"id": {"S": key_name(0)}, "v": {"S": value_of(size)}}
    return item_reply(encode_item(item, _HASH, _list_id))


def dax_get(size: int, name: str = "hit") -> Kind:
    return Kind(name, dax_frame("GetItem", get(size)), Reply.exactly(dax_item(size)))


def dax_write(operation: str, size: int) -> Kind:
    params = put(size) if operation == "PutItem" else update(size)
    return Kind("write", dax_frame(operation, params), Reply.exactly(MISS_REPLY))


def dax_query(size: int) -> Kind:
    """Ten items, each with its key: at least that many bytes, and no more than a little more."""
    least = PAGE * size
    reply = Reply(least, least + PAGE * 100, b"\x80\xa3")
    return Kind("query", dax_frame("Query", query(size)), reply)


def dax_batch_get(size: int, name: str = "batch") -> Kind:
    least = BATCH * size
    reply = Reply(least, least + BATCH * 60 + 60, b"\x80\x82\xa1", values=2)
    return Kind(name, dax_frame("BatchGetItem", batch_get(size)), reply)


# -- HTTP --------------------------------------------------------------------------------------


def http_frame(operation: str, params: Params) -> bytes:
    """With the headers that boto3 sends."""
    body = json.dumps(params)
    return (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:8141\r\nAccept-Encoding: identity\r\n"
        f"X-Amz-Target: DynamoDB_20120810.{operation}\r\n"
        "Content-Type: application/x-amz-json-1.0\r\n"
        f"User-Agent: {USER_AGENT}\r\n"
        "X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20260101/us-east-1/dynamodb/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}\r\n"
        f"amz-sdk-invocation-id: {'0' * 36}\r\namz-sdk-request: attempt=1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _body(least: int, spare: int) -> Reply:
    return Reply(least, least + spare, b"HTTP/1.1 200 ")


def http_get(size: int, name: str = "hit") -> Kind:
    reply = _json_of({"Item": put(size)["Item"]})
    return Kind(name, http_frame("GetItem", get(size)), reply)


def http_get_first(size: int) -> Kind:
    """Always the first key."""
    return replace(http_get(size), frame=http_frame("GetItem", get(size, key_name(0))))


def _json_of(result: dict[str, Any]) -> Reply:
    """JSON of this meaning, with or without spaces behind its signs."""
    least = len(json.dumps(result, separators=(",", ":")))
    return _body(least, len(json.dumps(result)) - least)


def http_write(operation: str, size: int) -> Kind:
    params = put(size) if operation == "PutItem" else update(size)
    return Kind("write", http_frame(operation, params), _json_of({}))


def http_query(size: int) -> Kind:
    items = [{**put(size)["Item"], "n": {"N": str(number)}} for number in range(PAGE)]
    reply = _json_of({"Items": items, "Count": PAGE, "ScannedCount": PAGE})
    return Kind("query", http_frame("Query", query(size)), reply)


def http_batch_get(size: int, name: str = "batch") -> Kind:
    result = {"Responses": {f"h{size}": [put(size)["Item"]] * BATCH}, "UnprocessedKeys": {}}
    return Kind(name, http_frame("BatchGetItem", batch_get(size)), _json_of(result))


# -- others ------------------------------------------------------------------------------------


def resp_command(*words: str) -> bytes:
    parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{parts}".encode()


def resp_get(size: int) -> Kind:
    reply = f"${size}\r\n{value_of(size)}\r\n".encode()
    return Kind("hit", resp_command("GET", key_name(MARK)), Reply.exactly(reply))


def resp_set(size: int) -> Kind:
    frame = resp_command("SET", key_name(MARK), value_of(size))
    return Kind("write", frame, Reply.exactly(b"+OK\r\n"))


def resp_mget(size: int) -> Kind:
    frame = resp_command("MGET", *(key_name(MARK + number) for number in range(BATCH)))
    one = f"${size}\r\n{value_of(size)}\r\n"
    return Kind("batch", frame, Reply.exactly(f"*{BATCH}\r\n{one * BATCH}".encode()))


def memcached_get(size: int) -> Kind:
    value = value_of(size)
    length = len(f"VALUE {key_name(0)} 0 {size}\r\n{value}\r\nEND\r\n")
    frame = f"get {key_name(MARK)}\r\n".encode()
    return Kind("hit", frame, Reply(length, length, b"VALUE " + key_name(0)[:4].encode()))


def memcached_set(size: int) -> Kind:
    frame = f"set {key_name(MARK)} 0 0 {size}\r\n{value_of(size)}\r\n".encode()
    return Kind("write", frame, Reply.exactly(b"STORED\r\n"))
