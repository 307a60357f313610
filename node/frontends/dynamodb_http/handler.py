"""DynamoDB's HTTP requests to operations, or on to DynamoDB as they came.

Three rules:

* A read is answered by the operation layer only if DynamoDB would surely take it as it is;
  otherwise DynamoDB is asked in the caller's own words, and says what is wrong with them. What it
  surely refuses is refused here, in its words, and so is what no JSON parser can read.
* A write goes through the fence of its keys. One that may change a table in ways that cannot be
  told (PartiQL, a member that is not known here, a table's deletion) fences the whole table:
  ``Operations.raw`` decides that.
* What cannot change anything is passed on without either.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from node.frontends.dynamodb_http.parameters import (
    NOT_JSON,
    PARAMETERS,
    has_sane_key,
    json_value,
    low_level,
)
from node.frontends.dynamodb_http.replies import (
    Cache,
    Reply,
    done_reply,
    error_reply,
    reply_of,
    to_json,
)
from node.frontends.dynamodb_http.request import NOT_READ, HttpRequest
from node.frontends.dynamodb_http.signatures import Signatures
from node.operations.service import Operations, wants_capacity
from node.reads.items import Found
from node.reads.projections import Projections, leads_into_key
from node.requests.reach import DYNAMODB, STREAM_READS, STREAMS, only_reads
from node.tables.attribute_lists import UnknownAttributeList
from node.tables.item_keys import item_key
from node.tables.table_info import TableInfo
from node.values import json_slices
from node.writes.plan import WRITES
from paceline.dax.validity import SurelyInvalid, refuse_invalid
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError, RequestError, Unavailable
from paceline.types import Item, Key, KeySchema, Params, Result

REQUEST_TIMEOUT_S = 10.0
"""As for DAX requests: an election takes one to two seconds. SDKs wait for 30 to 60 s."""

DESCRIBED_S = 1.0
"""How long a read waits for the description of its table before it is passed on."""

JSON_FORM = b"\x00json"
"""Names this front end's encoding of a cached page; those of DAX are projections."""

_READS_OF_CACHE = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})

_log = structlog.get_logger()


class HttpHandler:
    """One per node, shared by all connections."""

    def __init__(self, operations: Operations, clock: Callable[[], float]) -> None:
        self._operations = operations
        self._clock = clock
        self._projections = Projections()
        self._signatures = Signatures(operations)

    @property
    def healthy(self) -> bytes:
        """DynamoDB's words, of the region behind."""
        region = self._operations.reads.backend.region
        return f"healthy: dynamodb.{region}.amazonaws.com ".encode()

    def fast(self, request: HttpRequest) -> Reply | None:
        """The answer to a plain GetItem that hits; None for all else."""
        if request.target != "DynamoDB_20120810.GetItem" or not self._signatures.will_do(request):
            return None
        params = self._surely_valid_get(request)
        if params is None or not self._from_cache(params):
            return None
        info = self._operations.tables.peek(params["TableName"])
        if info is None:
            return None
        if leads_into_key(params, info):
            return None
        key = _readable_key(params["TableName"], params["Key"], info.schema)
        entry = None if key is None else self._operations.reads.entry(key)
        if entry is None:
            return None
        try:
            if not _asks_for_more(params):
                if entry.form is None:
                    made = to_json(self._operations.get_result(Found(entry.item), params))
                    self._operations.reads.keep_form(entry, made)
                    return Reply(200, made, "hit")
                return Reply(200, entry.form, "hit")
            return _answer(self._operations.get_result(Found(entry.item), params), "hit", params)
        except UnknownAttributeList:
            return None  # the primary's stream is ahead of this node's log

    def read(self, request: HttpRequest) -> None:
        """Reads a large body, on another thread."""
        body = _parsed(request)
        if body is not None and request.operation in PARAMETERS:
            request.params = low_level(request.operation, body)
            request.encodable = _is_encodable(request)

    async def handle(self, request: HttpRequest) -> Reply:
        try:
            return await self._answered(request)
        except PacelineError as error:
            return reply_of(error)

    def failed(self, request: HttpRequest) -> Reply:
        """What to say of a request that failed in an unforeseen way."""
        if only_reads(request.operation) or request.operation in STREAM_READS:
            return error_reply("InternalServerError", "The request failed in the node.", 500)
        return reply_of(
            OutcomeUnknown("the request failed in the node; read the item to see what it did")
        )

    async def _answered(self, request: HttpRequest) -> Reply:
        service, _, operation = request.target.partition(".")
        unknown = service not in (DYNAMODB, STREAMS) or not operation.isalnum()
        if unknown or (service == STREAMS and operation not in STREAM_READS):
            _parsed(request)
            broken = request.body and request.parsed is NOT_JSON
            return error_reply(
                "SerializationException" if broken else "UnknownOperationException", None
            )
        deadline = self._clock() + REQUEST_TIMEOUT_S
        if not self._signatures.will_do(request):
            refusal = await self._signatures.refused(request, deadline)
            if refusal is not None:
                return refusal
        if not request.body:
            return error_reply("SerializationException", None)
        body = _parsed(request)
        if body is None:
            whole = request.parsed is not NOT_JSON
            message = "The request is not a JSON object" if whole else None
            return error_reply("SerializationException", message)
        if not _is_encodable(request):
            return error_reply("SerializationException", "The request holds half a character")
        if service == STREAMS:
            return await self._passed(request, deadline)
        if operation in _READS_OF_CACHE:
            return await self._read(request, body, deadline)
        if operation in WRITES:
            return await self._write(request, body, deadline)
        if only_reads(operation):
            return await self._passed(request, deadline)
        return await self._raw(request, body, deadline)

    # -- reads ------------------------------------------------------------------------------

    async def _read(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        try:
            match request.operation:
                case "GetItem":
                    return await self._get_item(request, body, deadline)
                case "BatchGetItem":
                    return await self._batch_get(request, body, deadline)
            return await self._page(request, body, deadline)
        except SurelyInvalid:
            raise
        except (RequestError, ValueError) as error:
            # DynamoDB has stored what this node's encoding has no form for: a type of its future.
            _log.warning("passing a read on", operation=request.operation, reason=str(error))
            return await self._passed_read(request, body, deadline)

    def _surely_valid_get(self, request: HttpRequest) -> Params | None:
        params = _low_level(request, _parsed(request))
        if params is None or "Key" not in params or not self._projections.surely_valid(params):
            return None
        return params

    def _from_cache(self, params: Params) -> bool:
        """Whether the item may come from the cache at all."""
        reads = self._operations.reads
        return not params.get("ConsistentRead") or params["TableName"] in reads.consistent

    async def _get_item(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        params = self._surely_valid_get(request)
        if params is None or not self._from_cache(params):
            refuse_invalid("GetItem", body)
            reply = await self._passed_read(request, body, deadline)
            plain = _low_level(request, body)
            if plain is not None:
                self._projections.taken(plain, found="Item" in json.loads(reply.body))
            return reply
        info = await self._described(params["TableName"])
        if info is None:
            return await self._passed_read(request, body, deadline)
        key = _readable_key(params["TableName"], params["Key"], info.schema)
        if key is None or leads_into_key(params, info):
            return await self._passed_read(request, body, deadline)
        result, hit = await self._operations.get(params, deadline)
        return _answer(result, "hit" if hit else "miss", params)

    async def _batch_get(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        params = _low_level(request, body)
        if params is None or not await self._surely_valid_batch(params):
            refuse_invalid("BatchGetItem", body)
            reply = await self._passed_read(request, body, deadline)
            if params is not None:
                found = json.loads(reply.body).get("Responses") or {}
                for table, part in params["RequestItems"].items():
                    self._projections.taken(part, found=bool(found.get(table)))
            return reply
        result, hit = await self._operations.batch_get(params, deadline)
        cache: Cache = "hit" if hit else "miss"
        if wants_capacity(params):
            told = result.setdefault("ConsumedCapacity", [])
            known = {entry.get("TableName") for entry in told}
            for table in params["RequestItems"]:
                if table not in known:
                    told.append(_nothing_consumed(table, params))
        return Reply(200, to_json(result), cache)

    async def _surely_valid_batch(self, params: Params) -> bool:
        requests: dict[str, Params] = params.get("RequestItems") or {}
        for table, part in requests.items():
            if not self._projections.surely_valid(part):
                return False
            info = await self._described(table)
            if info is None or leads_into_key(part, info):
                return False
            keys = [_readable_key(table, key, info.schema) for key in part["Keys"]]
            if None in keys or len(set(keys)) != len(keys):
                return False
        return True

    async def _page(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        params = _low_level(request, body)
        if params is None:
            refuse_invalid(request.operation, body)
            return await self._passed_read(request, body, deadline)
        if await self._described(params["TableName"]) is None:
            return await self._passed_read(request, body, deadline)
        answer = await self._operations.query(request.operation, params, deadline)
        if answer.result is not None:
            cache: Cache = "bypass" if params.get("ConsistentRead") and not answer.kept else "miss"
            return _answer(answer.result, cache, params)
        assert answer.kept is not None
        if wants_capacity(params):
            return _answer(answer.kept.result(), "hit", params)
        encoded = answer.kept.reply(JSON_FORM)
        if encoded is None:
            encoded = to_json(answer.kept.result())
            answer.kept.keep_reply(JSON_FORM, encoded)
        return Reply(200, encoded, "hit")

    # -- writes -----------------------------------------------------------------------------

    async def _write(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        params = _low_level(request, body)
        if params is None:
            return await self._raw(request, body, deadline)
        result = await self._operations.execute(request.operation, params, deadline)
        return done_reply(result)

    async def _raw(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        """Sends what was understood, not the bytes that came: a parser that reads them otherwise
        than ours must not be given the chance to write elsewhere."""
        return _raw(await self._operations.raw(request.target, body, deadline))

    async def _described(self, table: str) -> TableInfo | None:
        """None: DynamoDB does not say what the table is, or not soon enough for a read to wait."""
        try:
            async with asyncio.timeout(DESCRIBED_S):
                return await self._operations.tables.schema(table)
        except (DynamoDBError, Unavailable, TimeoutError):
            return None

    async def _passed_read(self, request: HttpRequest, body: Params, deadline: float) -> Reply:
        """A read that this node cannot answer must still see what it has acknowledged, though it
        costs twice as much. Of a global index there is no consistent read."""
        index = body.get("IndexName")
        if index is not None:
            table = body.get("TableName")
            info = self._operations.tables.peek(table) if isinstance(table, str) else None
            known = info.indexes.get(index) if info is not None and isinstance(index, str) else None
            if known is not None and known.kind == "GSI":
                return await self._passed(request, deadline)
        try:
            return await self._passed(_consistent(request, body), deadline)
        except DynamoDBError as error:
            if index is None or error.name != "ValidationException":
                raise
            return await self._passed(request, deadline)  # it is a global one, or wrong elsewhere

    async def _passed(self, request: HttpRequest, deadline: float) -> Reply:
        """Of a request that changes nothing."""
        return _raw(await self._operations.passed(request.target, request.body, deadline))


def _consistent(request: HttpRequest, body: Params) -> HttpRequest:
    parts = body.get("RequestItems")
    if request.operation != "BatchGetItem":
        changed = {**body, "ConsistentRead": True}
    elif isinstance(parts, dict) and all(isinstance(part, dict) for part in parts.values()):
        asked = {table: {**part, "ConsistentRead": True} for table, part in parts.items()}
        changed = {**body, "RequestItems": asked}
    else:
        return request
    return replace(request, body=json.dumps(changed).encode())


def _parsed(request: HttpRequest) -> Params | None:
    """The body, None if it is no JSON object. Read once."""
    if request.parsed is None:
        request.parsed = json_value(request.body)
    return request.parsed if isinstance(request.parsed, dict) else None


def _low_level(request: HttpRequest, body: Any) -> Params | None:
    if request.params is not NOT_READ:
        return request.params  # type: ignore[no-any-return]
    return low_level(request.operation, body)


def _is_encodable(request: HttpRequest) -> bool:
    """JSON can escape halves of surrogate pairs, which no other form of text can hold."""
    if request.encodable is not None:
        return request.encodable
    if b"\\u" not in request.body:
        return True
    try:
        json_slices.check_text(request.parsed)
    except UnicodeEncodeError:
        return False
    return True


def _readable_key(table: str, attributes: Item, schema: KeySchema) -> Key | None:
    """None: DynamoDB would refuse it, or might."""
    try:
        key = item_key(table, attributes, schema, "Key")
        return key if has_sane_key(attributes, schema) else None
    except (RequestError, ValueError):
        return None


def _asks_for_more(params: Params) -> bool:
    """Than the whole item, which is what an entry keeps in this front end's form."""
    return "ProjectionExpression" in params or wants_capacity(params)


def _answer(result: Result, cache: Cache, params: Params) -> Reply:
    """Nothing was consumed by an answer from the cache, or by one shared with another reader."""
    if wants_capacity(params):
        result.setdefault("ConsumedCapacity", _nothing_consumed(params["TableName"], params))
    return Reply(200, to_json(result), cache)


def _nothing_consumed(table: str, params: Params) -> dict[str, Any]:
    capacity: dict[str, Any] = {"TableName": table, "CapacityUnits": 0.0}
    if params["ReturnConsumedCapacity"] == "INDEXES":
        capacity["Table"] = {"CapacityUnits": 0.0}
    return capacity


def _raw(result: Result) -> Reply:
    return Reply(200, result["Body"], "bypass", result.get("RequestId"))
