"""Requests of DynamoDB's JSON API to operations, or on to DynamoDB as they came.

Three rules:

* A read is given to the operation layer with its JSON: what no cache may answer is passed on in the
  caller's own words, and DynamoDB says what is wrong with them. What no JSON parser can read is
  refused here.
* A write goes through the fence of its keys. One that may change a table in ways that cannot be
  told (PartiQL, a member that is not known here, a table's deletion) fences the whole table:
  ``Operations.raw`` decides that.
* What cannot change anything is passed on without either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster.access.signatures.verification import Verified
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork, free
from cluster.transport.traces import forget_trace
from node.cache.entry import Entry
from node.frontends.json_api.parameters import NOT_JSON, PARAMETERS, json_value, to_params
from node.frontends.json_api.plain_bodies import params_of, parts_of
from node.frontends.json_api.replies import (
    HttpReply,
    body_of,
    done_reply,
    error_reply,
    hit_form,
    reply_of,
    to_json,
)
from node.frontends.json_api.request import GET_ITEM, NOT_READ, JsonRequest
from node.operations import REQUEST_TIMEOUT_S, Operations
from node.reads.cacheability import Passed, PlainGet, wants_capacity
from node.reads.queries import KeptResult
from node.reads.reading import ReadRequest
from node.requests.reach import DYNAMODB, STREAM_READS, STREAMS, only_reads
from node.tables.attribute_lists import UnknownAttributeList
from node.values import json_slices
from node.values.size import holds_more
from paceline.dynamodb_operations import WRITES
from paceline.errors import OutcomeUnknown, PacelineError
from paceline.types import Params, Result

JSON_FORM = b"\x00json"
"""The name of this front end's encoding of a cached page; those of DAX are projections."""

SEARCHED_BYTES = 1024 * 1024
"""Of a body, by one call."""

_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})


class JsonHandler:
    """Serves requests of any transport; one instance is shared by all connections of a
    transport."""

    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], float],
        large_work: LargeWork | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._operations = operations
        self._items = operations.reads.items
        self._clock = clock
        self._may_get = self._allowed if operations.as_callers is None else _nobody
        """What may be answered at once: nothing where each asks in his own name."""

    def form(self, body: bytes, bytes_max: int, by: Verified | None = None) -> bytes | None:
        """Returns what ``hit_form`` made for the plain GetItem in ``body`` if it hits, and has no
        more than ``bytes_max``; None for anything else, and then nothing is counted."""
        parts = parts_of(body)
        if parts is None:
            return None
        if (by is None or parts[0] not in by.may_get) and not self._may_get(by, parts[0]):
            return None
        if parts[4] is None and parts[2] == b"S":
            return self._items.form_of_text(parts[0], parts[1], parts[3], bytes_max)
        params = params_of(parts)
        if params is None:
            return None
        plain = self._items.plain_get(params)
        if not isinstance(plain, PlainGet):
            return None
        return self._items.form(parts[0], plain.key[1], bytes_max)

    def fast(self, request: JsonRequest) -> HttpReply | None:
        """Returns the answer to a plain GetItem that hits; None for anything else."""
        if request.target != GET_ITEM:
            return None
        if self._operations.work.spans is not None and request.is_traced:
            return None  # it leaves no span, and this caller wants to see one
        params = request.params
        if params is NOT_READ:
            params = request.params = to_params("GetItem", _parsed(request))
        if params is None or not self._may_get(
            request.caller, params["TableName"].encode("utf-8", "replace")
        ):
            return None
        plain = request.plain = self._items.plain_get(params)
        if not isinstance(plain, PlainGet):
            return None
        entry = self._items.entry(plain.key)
        if entry is None:
            return None
        if entry.form is not None and not _asks_for_more(params):
            self._operations.answered("GetItem", params)
            return HttpReply(200, body_of(entry.form), "hit")
        if self._items.is_large_hit(entry):
            request.hit = entry
            return None
        try:
            result = self._items.hit(entry.item, plain, params)
        except UnknownAttributeList:
            return None  # the primary's stream is ahead of this node's log
        made = to_json(result)
        if not _asks_for_more(params):
            self._items.keep_form(entry, hit_form(made))
        self._operations.answered("GetItem", params)
        return HttpReply(200, made, "hit")

    def _allowed(self, by: Verified | None, table: bytes) -> bool:
        """False: whether he may depends on more, which is not looked at for a hit."""
        authorizer = self._operations.authorizer
        return authorizer is None or (by is not None and authorizer.may_get(by, table))

    def read(self, request: JsonRequest) -> None:
        """Reads a large body, on another thread."""
        body = _parsed(request)
        if body is None:
            return
        request.encodable = _is_encodable(request)
        if request.operation in PARAMETERS:
            request.params = to_params(request.operation, body)

    async def handle(self, request: JsonRequest) -> HttpReply:
        try:
            return await self._answered(request)
        except PacelineError as error:
            forget_trace(error)
            return reply_of(error)

    def failed(self, request: JsonRequest) -> HttpReply:
        """Returns what is told of a request that failed in an unforeseen way."""
        if only_reads(request.operation) or request.operation in STREAM_READS:
            return error_reply("InternalServerError", "The request failed in the node.", 500)
        return reply_of(
            OutcomeUnknown("the request failed in the node; read the item to see what it did")
        )

    async def _answered(self, request: JsonRequest) -> HttpReply:
        service, _, operation = request.target.partition(".")
        if not is_served(request.target):
            _parsed(request)
            broken = request.body and request.parsed is NOT_JSON
            return error_reply(
                "SerializationException" if broken else "UnknownOperationException", None
            )
        deadline = self._clock() + REQUEST_TIMEOUT_S
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
        if operation in _READS:
            return await self._read(request, body, deadline)
        if operation in WRITES:
            return await self._write(request, body, deadline)
        if only_reads(operation):
            return await self._passed(request, deadline)
        return await self._raw(request, body, deadline)

    async def _read(self, request: JsonRequest, body: Params, deadline: float) -> HttpReply:
        params = _params(request, body)
        if request.hit is not None and isinstance(request.plain, PlainGet) and params is not None:
            try:
                return await self._hit(request.hit, request.plain, params)
            except UnknownAttributeList:
                pass  # the primary's stream is ahead of this node's log
        read = ReadRequest(request.operation, params, body, request.plain)
        answer = await self._operations.read(read, deadline)
        if answer.raw is not None:
            return _raw(answer.raw, answer.why)
        if answer.kept is None:
            made = await self._json(answer.result)
            return HttpReply(200, made, answer.cache, why=_reason(answer.why))
        kept = answer.kept
        encoded = kept.reply(JSON_FORM)
        if encoded is None:
            if kept.is_large:
                await self._large_work.admitted()
            encoded = await self._large_work.run_if(kept.is_large, lambda: _page(kept))
            kept.keep_reply(JSON_FORM, encoded)
        return HttpReply(200, encoded, answer.cache)

    async def _hit(self, entry: Entry, plain: PlainGet, params: Params) -> HttpReply:
        """Of many bytes. It was found when it was asked for, and may be another one by now."""
        self._operations.answered("GetItem", params)
        if entry.form is not None and not _asks_for_more(params):
            return HttpReply(200, body_of(entry.form), "hit")
        await self._large_work.admitted()
        made = await self._large_work.run(
            lambda: json_slices.dumps(self._items.hit(entry.item, plain, params))
        )
        if not _asks_for_more(params):
            self._items.keep_form(entry, hit_form(made))
        return HttpReply(200, made, "hit")

    async def _json(self, result: Result | None) -> bytes:
        if not holds_more(result, INLINE_VALUES_MAX):
            return to_json(result)
        made = await self._large_work.run(lambda: json_slices.dumps(result))
        self._large_work.let_go([result])
        return made

    # -- writes -----------------------------------------------------------------------------

    async def _write(self, request: JsonRequest, body: Params, deadline: float) -> HttpReply:
        params = _params(request, body)
        if params is None:
            return await self._raw(request, body, deadline)
        result = await self._operations.write(request.operation, params, deadline)
        if not holds_more(result, INLINE_VALUES_MAX):
            return done_reply(result)
        reply = await self._large_work.run(lambda: done_reply(result))
        self._large_work.let_go([result])
        return reply

    async def _raw(self, request: JsonRequest, body: Params, deadline: float) -> HttpReply:
        """Sends what was understood, not the bytes that came: a parser that reads them otherwise
        than ours must not be given the chance to write elsewhere."""
        return _raw(await self._operations.raw(request.target, body, deadline))

    async def _passed(self, request: JsonRequest, deadline: float) -> HttpReply:
        """Of a request that changes nothing."""
        return _raw(await self._operations.passed(request.target, request.body, deadline))


def _nobody(by: Verified | None, table: bytes) -> bool:
    return False


def is_served(target: str) -> bool:
    """True if there may be such an operation, of a service that a node stands for."""
    service, _, operation = target.partition(".")
    if not operation.isalnum():
        return False
    return service == DYNAMODB or (service == STREAMS and operation in STREAM_READS)


def _parsed(request: JsonRequest) -> Params | None:
    """Returns the body, read once; None if it is no JSON object."""
    if request.parsed is None:
        request.parsed = json_value(request.body)
    return request.parsed if isinstance(request.parsed, dict) else None


def _params(request: JsonRequest, body: Any) -> Params | None:
    """Returns what was asked for, read once; None if that is not sure."""
    if request.params is NOT_READ:
        known = request.operation in PARAMETERS
        request.params = to_params(request.operation, body) if known else None
    return request.params  # type: ignore[no-any-return]


def _is_encodable(request: JsonRequest) -> bool:
    """False if a text holds half of a surrogate pair. JSON can escape those; no other form of text
    can hold them."""
    if request.encodable is not None:
        return request.encodable
    if not _holds(request.body, b"\\u"):
        return True
    try:
        json_slices.check_text(request.parsed)
    except UnicodeEncodeError:
        return False
    return True


def _holds(body: bytes, mark: bytes) -> bool:
    """Whether two bytes stand in it; in steps, for they are not found fast in 16 MB."""
    return any(
        body.find(mark, start, start + SEARCHED_BYTES + 1) >= 0
        for start in range(0, len(body), SEARCHED_BYTES)
    )


def _page(kept: KeptResult) -> bytes:
    page = kept.result()
    made = json_slices.dumps(page)
    if kept.is_large:
        held: list[object] = [page]
        del page
        free(held)
    return made


def _asks_for_more(params: Params) -> bool:
    """True if the request asks for more than the whole item, which is what an entry keeps in this
    front end's form."""
    return "ProjectionExpression" in params or wants_capacity(params)


def _raw(result: Result, why: Passed | None = None) -> HttpReply:
    body, request_id = result["Body"], result.get("RequestId")
    return HttpReply(200, body, "bypass", request_id, why=_reason(why))


def _reason(why: Passed | None) -> str:
    return "" if why is None else why.reason
