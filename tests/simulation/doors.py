"""The ways into a node, as clients have them: a request in the protocol's own form, and what came
back, as the result or the error that an SDK makes of it.

A call runs in the node's process and dies with it. Nothing is between client and node: what they
say to each other is whole or not there at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import grpc

from cluster.roster.endpoints import AddressFamily
from cluster.transport.dax_protocol import READS as DAX_READS
from cluster.transport.dax_protocol import ConnectionInfo
from node.frontends.grpc.errors import ERROR_KEY, NOT_SENT, OUTCOME_UNKNOWN, UNAVAILABLE
from node.frontends.grpc.messages import fill
from node.frontends.grpc.values import to_item
from node.frontends.http.messages import HttpRequest
from node.frontends.http.protocol import REPLY_INLINE_BYTES_MAX
from node.frontends.json_api.replies import body_of
from paceline.client.core.definitions import Definitions, MissingDefinition
from paceline.client.core.legacy import modernize
from paceline.dax.cbor import Reader
from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.errors import decode_error, decode_reasons, encode_error
from paceline.dax.family import Family
from paceline.dax.request_types import RawRequest, Request
from paceline.dax.requests import encode_request, parse_request, read_method
from paceline.dax.responses import read_raw_reply
from paceline.dynamodb_operations import named_tables
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    ServiceError,
    Unavailable,
)
from paceline.types import KeySchema, Params, Result
from paceline.v1 import data_pb2 as pb
from tests.simulation.node import SimulatedNode
from tests.simulation.signing import Identity

TARGET = "DynamoDB_20120810."
SIGNED = {
    b"authorization": b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
    b"x-amz-date": b"20260101T000000Z",
}
OK = 200
ON_FAILURE = "ReturnValuesOnConditionCheckFailure"

DATA = frozenset(
    {
        "GetItem",
        "BatchGetItem",
        "TransactGetItems",
        "Query",
        "Scan",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "BatchWriteItem",
        "TransactWriteItems",
    }
)
ONE_TABLE = frozenset({"GetItem", "Query", "Scan"})
LEGACY = frozenset({"AttributesToGet", "AttributeUpdates", "Expected", "KeyConditions"})

Complain = Callable[[str], None]


@dataclass
class Visitor:
    """A client, as far as protocols care."""

    rng: random.Random
    family: Family
    complain: Complain
    """Told of what a front end would log as an error."""
    schemas: Mapping[str, KeySchema]
    """Of the tables as they are. Nothing in the DAX protocol tells a client that a table was made
    anew with another key: whoever does that makes new clients."""
    deadline_s: float = 5.0
    """Of its next call by gRPC, which is the one protocol that tells it."""
    definitions: Definitions = field(default_factory=Definitions)
    identity: Identity | None = None
    """Who it is, where clients have to sign."""
    hit: bool = False
    """Its last request was answered at once, from the cache."""


def doors_for(operation: str, params: Params) -> frozenset[str]:
    """By which doors this can be said."""
    if operation not in DATA:
        return frozenset({"http", "raw"})
    if not LEGACY.isdisjoint(params):
        return frozenset({"http", "raw", "dax"})
    if ON_FAILURE in params:
        return frozenset({"http", "raw", "grpc"})
    return frozenset({"http", "raw", "dax", "grpc"})


async def call(
    door: str, node: SimulatedNode, visitor: Visitor, operation: str, params: Params
) -> Result:
    """PacelineError for every kind of error that the node answers."""
    visitor.hit = False
    match door:
        case "http":
            return await _http(node, visitor, operation, params)
        case "raw":
            request = RawRequest(TARGET + operation, json.dumps(params).encode())
            reply = read_raw_reply(await _exchange(node, visitor, request))
            return _said(reply.status, reply.body)
        case "dax":
            return await _dax(node, visitor, operation, params)
        case "grpc":
            return await _grpc(node, visitor, operation, params)
    raise AssertionError(door)


# -- HTTP ---------------------------------------------------------------------------------------


async def _http(node: SimulatedNode, visitor: Visitor, operation: str, params: Params) -> Result:
    target, body, who = TARGET + operation, json.dumps(params).encode(), visitor.identity
    request = HttpRequest(target, body, headers=SIGNED)
    if who is not None:
        request = who.request(target, body)
    handler = node.http
    reply = None
    try:
        form = None
        if operation == "GetItem" and who is not None:
            form = who.form(node, request, REPLY_INLINE_BYTES_MAX)
        elif operation == "GetItem":
            form = handler.form(request.body, REPLY_INLINE_BYTES_MAX)
        if form is not None:
            visitor.hit = True
            return _said(OK, body_of(form))
        if who is not None:
            reply = who.refused_by_http(node, request)
        if reply is None:
            reply = handler.fast(request)
            visitor.hit = reply is not None
    except Exception as error:
        visitor.complain(f"the fast path failed: {error!r}")
    if reply is None:
        try:
            if who is not None:
                reply = await node.http_callers.refused_later(request, "client", secure=False)
            reply = reply or await handler.handle(request)
        except Exception as error:
            visitor.complain(f"{operation} by HTTP failed: {error!r}")
            reply = handler.failed(request)
    return _said(reply.status, reply.body)


def _said(status: int, body: bytes) -> Result:
    said: Result = json.loads(body)
    if status == OK:
        return said
    name = said["__type"].rpartition("#")[2]
    message = said.get("message") or said.get("Message") or ""
    if name == "OutcomeUnknownException":
        raise OutcomeUnknown(message)
    raise DynamoDBError(
        name, message, status, reasons=said.get("CancellationReasons"), item=said.get("Item")
    )


# -- DAX ----------------------------------------------------------------------------------------


async def _dax(node: SimulatedNode, visitor: Visitor, operation: str, params: Params) -> Result:
    known = visitor.definitions
    _follow_tables(visitor, operation, params)
    said = modernize(operation, params)
    if operation == "TransactWriteItems" and "ClientRequestToken" not in said:
        said = {**said, "ClientRequestToken": visitor.rng.randbytes(8).hex()}
    try:
        while True:
            try:
                request, data = _frame(known, operation, said)
                break
            except MissingDefinition as missing:
                await _learn(node, visitor, missing.request)
        body = await _exchange(node, visitor, request, data)
    except ServiceError as error:
        if error.name in ("ValidationException", "ResourceNotFoundException"):
            known.forget_tables(named_tables(operation, params))
            if "attribute list" in error.message:
                known.ids.clear()  # of a cluster that is no more: a new client would help
                known.names.clear()
        raise
    if _follow_tables(visitor, operation, params):
        raise OutcomeUnknown("the table was made anew meanwhile; this client cannot read the reply")
    while True:
        try:
            return decode_result(operation, said, body, known.schema_of, known.names_of)
        except MissingDefinition as missing:
            await _learn(node, visitor, missing.request)


def _frame(known: Definitions, operation: str, said: Params) -> tuple[Request, bytes]:
    """The request, and how it is sent."""
    schema = known.schemas.get(said["TableName"]) if operation in ONE_TABLE else None
    if schema is not None:
        return _read_frame(operation, json.dumps(said), schema)
    request = to_request(operation, said, known.schema_of, known.list_id)
    return request, encode_request(request)


@lru_cache(4096)
def _read_frame(operation: str, said: str, schema: KeySchema) -> tuple[Request, bytes]:
    """Clients ask the same again and again, and these frames depend on nothing else."""
    request = to_request(operation, json.loads(said), lambda _: schema, _no_list)
    return request, encode_request(request)


def _no_list(_: object) -> int:
    raise AssertionError("reads send no items")


def _follow_tables(visitor: Visitor, operation: str, params: Params) -> bool:
    """Whether the client knew another key of one of the tables."""
    known, schemas = visitor.definitions.schemas, visitor.schemas
    if all(schema is schemas[table] for table, schema in known.items()):
        return False
    tables = [t for t in named_tables(operation, params) if t in known and known[t] != schemas[t]]
    visitor.definitions.forget_tables(tables)
    return bool(tables)


async def _learn(node: SimulatedNode, visitor: Visitor, request: Request) -> None:
    known = visitor.definitions
    known.learn(request, await _exchange(node, visitor, request))
    for table, schema in known.schemas.items():
        if schema == visitor.schemas[table]:
            known.schemas[table] = visitor.schemas[table]  # the very object: see _follow_tables


async def _exchange(
    node: SimulatedNode, visitor: Visitor, request: Request, data: bytes | None = None
) -> bytes:
    """The reply's body. ``data``: the request's frame, where it is at hand."""
    data, who = data or encode_request(request), visitor.identity
    if who is None:
        reply = node.dax.fast(data)
    else:
        caller = who.dax(node)
        reply = caller.answered(data)
        visitor.hit = reply is not None
        if reply is None:
            reply = who.refused_by_dax(node, caller)
    if reply is None:
        reply = await _handled(node, visitor, data)
    if reply[0] == 0x80:
        return reply[1:]
    error = decode_error(Reader(reply))
    if isinstance(error, DynamoDBError) and error.reasons:
        known = visitor.definitions
        while True:
            try:
                decode_reasons(error, request, known.schema_of, known.names_of)
                break
            except MissingDefinition as missing:
                await _learn(node, visitor, missing.request)
    raise error


async def _handled(node: SimulatedNode, visitor: Visitor, data: bytes) -> bytes:
    """As ``DaxProtocol`` does it."""
    reader = Reader(data)
    method = read_method(reader)
    request = parse_request(method, Reader(data, reader.pos))
    family = visitor.family
    peer = ConnectionInfo("default", AddressFamily.IPV4, False, "client", client=family)
    read = isinstance(request, DAX_READS)
    try:
        return await node.dax.handle(request, peer)
    except PacelineError as error:
        return encode_error(error, client=family, read=read, request=request)
    except Exception as error:
        visitor.complain(f"{type(request).__name__} by DAX failed: {error!r}")
        return encode_error(error, client=family, read=read, request=request)


# -- gRPC ---------------------------------------------------------------------------------------


class _Aborted(Exception):
    def __init__(self, error: PacelineError) -> None:
        super().__init__(str(error))
        self.error = error


class _Context:
    """What a servicer needs of ``grpc.aio.ServicerContext``."""

    def __init__(self, deadline: float, clock: Callable[[], float]) -> None:
        self._deadline = deadline
        self._clock = clock
        self._when_done: list[Callable[[Any], None]] = []

    def add_done_callback(self, done: Callable[[Any], None]) -> None:
        self._when_done.append(done)

    def end(self) -> None:
        for done in self._when_done:
            done(self)

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def time_remaining(self) -> float:
        return max(self._deadline - self._clock(), 0.0)

    async def send_initial_metadata(self, _: Any) -> None: ...

    async def abort(
        self, code: grpc.StatusCode, message: str, trailing_metadata: tuple[Any, ...]
    ) -> None:
        raise _Aborted(_told(dict(trailing_metadata)[ERROR_KEY]))


def _told(data: bytes) -> PacelineError:
    told = pb.Error.FromString(data)
    if told.outcome == pb.REQUEST_OUTCOME_UNKNOWN:
        assert told.code == OUTCOME_UNKNOWN
        return OutcomeUnknown(told.message)
    if told.code in (NOT_SENT, UNAVAILABLE):
        return (NotSent if told.code == NOT_SENT else Unavailable)(told.message)
    reasons = None
    if told.cancellation_reasons:
        reasons = [
            {"Code": one.code, **(_one("Item", one.item) if one.HasField("item") else {})}
            for one in told.cancellation_reasons
        ]
    item = to_item(told.item.attributes) if told.HasField("item") else None
    return DynamoDBError(told.code, told.message, 400, reasons=reasons, item=item)


async def _grpc(node: SimulatedNode, visitor: Visitor, operation: str, params: Params) -> Result:
    request = getattr(pb, f"{operation}Request")()
    fill(request, _by_number(request.DESCRIPTOR, params))
    path = f"/paceline.v1.Data/{operation}"
    if visitor.identity is not None:
        visitor.identity.call(node, path, request.SerializeToString())
    clock = node.owner.clock
    context = _Context(clock() + visitor.deadline_s, clock)
    try:
        response = await node.grpc[path](request, context)
    except _Aborted as aborted:
        raise aborted.error from None
    finally:
        context.end()
    return _result(operation, response)


def _by_number(descriptor: Any, params: Params) -> Params:
    """Enumerated values as protobuf takes them, and a transaction's reads without their name."""
    changed = dict(params)
    for name, value in params.items():
        enum = _ENUMS.get(name)
        if enum is not None:
            changed[name] = enum[1].Value(enum[0] + value)
    actions = params.get("TransactItems")
    if actions is not None:
        changed["TransactItems"] = [
            action["Get"] if "Get" in action else _numbered(action) for action in actions
        ]
    return changed


def _numbered(action: Params) -> Params:
    ((kind, body),) = action.items()
    return {kind: _by_number(None, body)}


_ENUMS: dict[str, tuple[str, Any]] = {
    "ReturnValues": ("RETURN_VALUES_", pb.ReturnValues),
    ON_FAILURE: (
        "RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_",
        pb.ReturnValuesOnConditionCheckFailure,
    ),
}


def _result(operation: str, response: Any) -> Result:
    """As far as the workload looks at it."""
    match operation:
        case "GetItem":
            return _one("Item", response.item) if response.HasField("item") else {}
        case "TransactGetItems":
            return {
                "Responses": [
                    _one("Item", one.item) if one.HasField("item") else {}
                    for one in response.responses
                ]
            }
        case "BatchGetItem":
            return {
                "Responses": {
                    table: [to_item(item.attributes) for item in items.items]
                    for table, items in response.responses.items()
                },
                "UnprocessedKeys": {
                    table: {"Keys": [to_item(key.attributes) for key in part.keys]}
                    for table, part in response.unprocessed_keys.items()
                },
            }
        case "Query" | "Scan":
            result: Result = {"Items": [to_item(item.attributes) for item in response.items]}
            if response.last_evaluated_key:
                result["LastEvaluatedKey"] = to_item(response.last_evaluated_key)
            return result
        case "PutItem" | "UpdateItem" | "DeleteItem":
            given = response.HasField("attributes")
            return _one("Attributes", response.attributes) if given else {}
    return {}


def _one(name: str, message: Any) -> Result:
    return {name: to_item(message.attributes)}
