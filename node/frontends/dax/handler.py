"""The DAX front end: frames in, whole replies out. It translates; the operations decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from cluster.access.signatures.verification import Verified
from cluster.coherence.guard import Guard
from cluster.transport.dax_server import ConnectionInfo
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from cluster.transport.origin import came_from, host_of
from node.cache.item_cache import ItemCache
from node.cache.key_table import SHARD_MASK, Shards
from node.cache.nodes import HITS_MAX
from node.operations import REQUEST_TIMEOUT_S, Operations
from node.reads.cacheability import Cacheability
from node.reads.queries import kept_result
from node.reads.reading import ReadRequest
from node.tables.attribute_lists import UnknownAttributeList
from node.tables.item_keys import has_sane_key
from node.tables.table_info import TableInfo
from node.values.size import holds_more
from paceline.dax import requests as dax
from paceline.dax.attribute_lists import EMPTY_LIST_ID, ListId
from paceline.dax.errors import encode_error
from paceline.dax.family import Family
from paceline.dax.keys import canonical_key, decode_key, encode_key, has_one_spelling
from paceline.dax.requests import CONSISTENT_TAILS, GET_ITEM_HEAD, PLAIN_TAILS
from paceline.dax.responses import (
    attribute_list_id_reply,
    attribute_list_reply,
    batch_get_reply,
    item_reply,
    key_schema_reply,
)
from paceline.dax.server.params import to_params
from paceline.dax.server.replies import encode_result
from paceline.dynamodb_operations import OPERATIONS, WRITES, Named
from paceline.errors import (
    DynamoDBError,
    PacelineError,
    ProtocolError,
    RequestError,
    Unavailable,
)
from paceline.types import KeySchema, Params, Result

_log = structlog.get_logger()

_LEFT_OUT = "the answer of a write that was done is left out"

_JAVA_FORM = b"\xbf"
"""Precedes the projection that a kept page's reply belongs to. No projection begins so."""

EndpointsOf = Callable[[ConnectionInfo], bytes]
"""The reply to ``endpoints`` for a client that came in by this listener."""

Raw = Callable[[dax.RawRequest], Awaitable[bytes]]
"""The reply to a request of the HTTP API."""


class DaxHandler:
    """One per node, shared by all connections."""

    def __init__(
        self,
        operations: Operations,
        items: ItemCache,
        guard: Guard,
        endpoints: EndpointsOf,
        clock: Callable[[], float],
        raw: Raw | None = None,
        large_work: LargeWork | None = None,
    ) -> None:
        self._raw = raw
        self._large_work = large_work or LargeWork()
        self._operations = operations
        self._cacheability = operations.reads.cacheability
        self._consistent = self._cacheability.consistent
        self._lists = operations.lists
        # Of what each caller may get, a look at an entry tells nothing where he asks in his own
        # name: there are no entries for the fast path then.
        self._tables = items.tables if operations.as_callers is None else {}
        self._touch = items.touch
        columns = items.columns
        self._expires_at, self._hits = columns.expires_at, columns.hits
        self._replies = columns.values
        self._usual_head, self._usual_end, self._usual_table = b"\0", 1, b""
        """How the last request began that named a cached table, up to its key: the next one often
        begins so, too, and then needs no reading."""
        self._guard = guard
        self._counters = operations.reads.counters
        self._turn = self._counters.at_once_dax.turn
        self._samples = self._counters.samples
        authorizer = operations.authorizer
        self._may_get = _anybody if authorizer is None else authorizer.may_get
        self._endpoints = endpoints
        self._clock = clock

    def fast(self, data: bytes, by: Verified | None = None) -> bytes | None:
        """Returns the reply to ``data`` if it is one plain GetItem that hits; None for anything
        else, and if ``by`` may not get whatever there is in the table.

        A fenced or unknown key has no entry, so the lease is the only other thing to check.
        """
        end = self._usual_end
        if data[:end] != self._usual_head:
            end = self._read_head(data)
            if not end:
                return None
        table = self._usual_table
        if by is not None and table not in by.may_get and not self._may_get(by, table):
            return None
        shards = self._tables.get(table)
        if shards is None:
            return None
        try:
            head = data[end]
            if 0x40 <= head < 0x58:
                start = end + 1
                end = start + head - 0x40
            elif head == 0x58:
                start = end + 2
                end = start + data[end + 1]
            else:
                return None
        except IndexError:
            return None
        key = data[start:end]
        node = shards[hash(key) & SHARD_MASK].get(key)
        if node is None:
            node = self._under_another_spelling(shards, _table_name(data), key)
            if node is None:
                return None
        tail = data[end:]
        if tail not in PLAIN_TAILS and (
            tail not in CONSISTENT_TAILS or _table_name(data) not in self._consistent
        ):
            return None
        now = self._clock()
        if now >= self._guard.serve_until or now >= self._expires_at[node]:
            return None
        if self._hits[node] < HITS_MAX:
            self._hits[node] += 1
        if self._touch is not None:
            self._touch(node)
        counters = self._counters
        counters.hits += 1
        reply: bytes = self._replies[node]
        if counters.hits >= self._samples.due_at:
            self._samples.take_at_once(counters.hits, table, key, reply, now, "dax")
        return reply

    def _read_head(self, data: bytes) -> int:
        """Returns where the table's name ends; 0 for what is no GetItem of a cached table."""
        if data[:6] != GET_ITEM_HEAD or len(data) < 8:
            return 0
        head = data[6]
        if 0x40 <= head < 0x58:
            start, end = 7, head - 0x39
        elif head == 0x58:
            start = 8
            end = 8 + data[7]
        else:
            return 0
        table = data[start:end]
        if table not in self._tables:
            return 0
        if table != self._usual_table:
            self._turn(table)
        self._usual_head, self._usual_end, self._usual_table = data[:end], end, table
        return end

    def _under_another_spelling(self, shards: Shards, table: str, key: bytes) -> int | None:
        """Returns the node of a key whose number the client spells in its own way: some of AWS's
        clients send 10 with its zero, JavaScript's sends hash keys as doubles."""
        info = self._operations.tables.peek(table)
        if info is None or has_one_spelling(info.schema):
            return None
        try:
            canonical = canonical_key(info.schema, key)
        except (ProtocolError, ValueError):
            return None
        return shards[hash(canonical) & SHARD_MASK].get(canonical)

    async def handle(self, request: dax.Request, peer: ConnectionInfo) -> bytes:
        """Returns the complete reply. Raises PacelineError, which the connection turns into an
        error reply."""
        came_from(host_of(peer.peer))
        try:
            while True:
                try:
                    return await self._answered(request, peer)
                except UnknownAttributeList as error:
                    # Known to another node or to the primary, maybe; nothing was done here yet.
                    await self._lists.learn(error.list_id)
        except DynamoDBError as error:
            if error.reasons is None or not isinstance(request, dax.TransactWriteItems):
                raise
            return await self._cancelled(request, error)

    async def _cancelled(self, request: dax.TransactWriteItems, error: DynamoDBError) -> bytes:
        """Cancellation reasons may hold items, which need schemas and attribute lists."""
        try:
            schemas = await self._operations.tables.schemas(_tables_of(request))
            return await self._with_lists(
                lambda list_id: encode_error(
                    error, request=request, schema_of=schemas.__getitem__, list_id=list_id
                )
            )
        except Exception:
            _log.exception("the items of a cancelled transaction are left out")
            return encode_error(error, request=request)

    async def _answered(self, request: dax.Request, peer: ConnectionInfo) -> bytes:
        match request:
            case dax.Endpoints():
                return self._endpoints(peer)
            case dax.DefineKeySchema(table=table):
                schema = (await self._operations.tables.schema(table)).schema
                return key_schema_reply(schema)
            case dax.DefineAttributeListId(names=names):
                if self._operations.authorizer is not None:
                    self._operations.authorizer.check_any("DefineAttributeListId")
                return attribute_list_id_reply(await self._lists.define(tuple(names)))
            case dax.DefineAttributeList(id=list_id):
                return attribute_list_reply(self._lists.names_of(list_id))
            case dax.GetItem() if _is_plain(request, self._cacheability):
                return await self._get_item(request, peer)
            case dax.BatchGetItem() if not peer.large and _is_plain_batch(
                request, self._cacheability
            ):
                reply = await self._batch_get(request, peer)
                if reply is not None:
                    return reply
            case dax.RawRequest():
                if self._raw is None:
                    raise RequestError(
                        "UnknownOperationException", "this node takes no raw requests"
                    )
                return await self._raw(request)
        return await self._general(request, peer)

    async def _get_item(self, request: dax.GetItem, peer: ConnectionInfo) -> bytes:
        table = await self._operations.tables.schema(request.table)
        try:
            attributes = decode_key(table.schema, request.key)
        except ProtocolError:
            raise RequestError(
                "ValidationException", "The provided key element does not match the schema"
            ) from None
        if not has_sane_key(attributes, table.schema):
            return await self._general(request, peer)
        key = (request.table, encode_key(table.schema, attributes))
        deadline = self._clock() + REQUEST_TIMEOUT_S
        item = await self._operations.item(table, key, attributes, deadline)
        return item_reply(item)

    async def _batch_get(self, request: dax.BatchGetItem, peer: ConnectionInfo) -> bytes | None:
        """None: it has to go the general way."""
        asked: dict[str, tuple[TableInfo, Sequence[bytes]]] = {}
        for name, part in request.tables.items():
            table = self._operations.tables.peek(name)
            if table is None:
                return None
            asked[name] = table, part.keys
        forms = await self._operations.items(asked, self._clock() + REQUEST_TIMEOUT_S)
        if forms is None:
            return None
        return batch_get_reply(forms.found, forms.undone, indefinite=peer.client is Family.JAVA)

    async def _general(self, request: dax.DataRequest, peer: ConnectionInfo) -> bytes:
        held: list[object] = []
        try:
            return await self._carried_out(request, peer, held)
        finally:
            if held:
                self._large_work.let_go(held)

    async def _carried_out(
        self, request: dax.DataRequest, peer: ConnectionInfo, held: list[object]
    ) -> bytes:
        """``held``: gets what takes long to free."""
        client = peer.client
        deadline = self._clock() + REQUEST_TIMEOUT_S
        schemas = await self._operations.tables.schemas(_tables_of(request))
        translate = partial(to_params, request, schemas.__getitem__, self._lists.names_of, client)
        operation, params = await self._large_work.run_if(peer.large, translate)
        if peer.large:
            held.append(params)
        if operation not in WRITES:
            answer = await self._operations.read(ReadRequest(operation, params), deadline)
            if answer.kept is not None:
                # The page may have been asked for by a projection that differs in list indexes,
                # which are not asked for upstream but shape the reply.
                form = request.options.projection or b""
                if client is Family.JAVA:
                    form = _JAVA_FORM + form
                reply = answer.kept.reply(form)
                if reply is None:
                    page = await kept_result(answer.kept, self._large_work)
                    reply = await self._read_reply(request, params, page, schemas, client)
                    answer.kept.keep_reply(form, reply)
                return reply
            result = await answer.results(self._large_work)
            return await self._read_reply(request, params, result, schemas, client)
        result = await self._operations.write(operation, params, deadline)
        try:
            return await self._encoded(request, params, result, schemas, client)
        except PacelineError as error:
            # It was done. The names of its answer's attributes cannot be registered right now.
            _log.warning(_LEFT_OUT, operation=operation, reason=str(error))
        except Exception:
            # It was done, and is a success also if its answer has no form in DAX's protocol.
            _log.exception(_LEFT_OUT, operation=operation)
        return await self._encoded(request, params, {}, schemas, client)

    async def _read_reply(
        self,
        request: dax.DataRequest,
        params: Params,
        result: Result,
        schemas: Mapping[str, KeySchema],
        client: Family,
    ) -> bytes:
        try:
            return await self._encoded(request, params, result, schemas, client)
        except ValueError as error:
            # Keys have no types in this protocol: what is of another table by the same name
            # cannot be told.
            _log.warning("an answer does not fit the key of its table", reason=str(error))
            for table in schemas:
                self._operations.tables.doubt(table)
            raise Unavailable(
                "the table was made anew with another key while it was read; read again"
            ) from error

    async def _encoded(
        self,
        request: dax.DataRequest,
        params: Params,
        result: Result,
        schemas: Mapping[str, KeySchema],
        client: Family,
    ) -> bytes:
        large = holds_more(result, INLINE_VALUES_MAX)
        try:
            return await self._with_lists(
                lambda list_id: encode_result(
                    request, params, result, schemas.__getitem__, list_id, client
                ),
                large=large,
            )
        finally:
            if large:
                self._large_work.let_go([result])

    async def _with_lists(self, encode: Callable[[ListId], bytes], *, large: bool = False) -> bytes:
        """Encodes; attribute lists that turn out to be new are registered, then it encodes once
        more."""
        while True:
            missing: dict[tuple[str, ...], None] = {}

            def list_id(names: tuple[str, ...]) -> int:
                try:
                    return self._lists.list_id(names)
                except KeyError:
                    missing[names] = None  # noqa: B023 - called before the next round
                    return EMPTY_LIST_ID

            reply = await self._large_work.run_if(large, partial(encode, list_id))
            if not missing:
                return reply
            await asyncio.gather(*(self._lists.define(names) for names in missing))


def _anybody(by: Verified, table: bytes) -> bool:
    by.may_get.add(table)
    return True


def _table_name(data: bytes) -> str:
    """Returns the table of a GetItem whose head was checked."""
    return (data[8 : 8 + data[7]] if data[6] == 0x58 else data[7 : data[6] - 0x39]).decode()


def _is_plain(request: dax.GetItem, cacheability: Cacheability) -> bool:
    """True if the request asks for nothing but the whole item, which may come from the cache."""
    options = request.options
    return (
        options.projection is None
        and not options.consumed_capacity
        and cacheability.allows(request.table, consistent_read=bool(options.consistent_read))
    )


def _is_plain_batch(request: dax.BatchGetItem, cacheability: Cacheability) -> bool:
    """As ``_is_plain``, of all of its keys."""
    return not request.options.consumed_capacity and all(
        part.projection is None and cacheability.allows(name, consistent_read=part.consistent)
        for name, part in request.tables.items()
    )


def _tables_of(request: dax.DataRequest) -> tuple[str, ...]:
    """Returns the tables that the request names, where its operation has them."""
    parts: Any = request
    match OPERATIONS[type(request).__name__].named:
        case Named.REQUEST_ITEMS:
            return tuple(parts.tables)
        case Named.TRANSACT_ITEMS:
            return tuple(dict.fromkeys(item.table for item in parts.items))
    return (parts.table,)
