"""The gRPC ``Data`` service: calls in, messages out. It translates; the operations decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from cluster.transport.charges import charged
from cluster.transport.client_server import Shared
from cluster.transport.grpc_limits import received_bytes
from cluster.transport.json_values import VALUES_MAX
from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX, LargeWork
from cluster.transport.memory import MemoryBudget, decoded_bytes
from cluster.transport.origin import came_by_grpc
from cluster.transport.traces import forget_trace
from node.frontends.grpc.encoding import encode
from node.frontends.grpc.errors import status_of
from node.frontends.grpc.messages import fill, to_params
from node.operations import REQUEST_TIMEOUT_S, Operations
from node.reads.cacheability import Cache
from node.reads.reading import ReadRequest
from node.requests.excess import refuse_excess
from node.values.size import dicts_in, holds_more
from node.writes.plan import plan_write, schemas_wanted
from paceline.dynamodb_operations import WRITES
from paceline.errors import OutcomeUnknown, PacelineError, RequestError, Unavailable
from paceline.types import Params, Result
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc

DATA_SERVICE = pb.DESCRIPTOR.services_by_name["Data"].full_name
CACHE_KEY = "x-paceline-cache"

ANSWER_S = 0.1
ANSWER_SHARE = 0.1
"""Of the caller's time, for the answer's way back: at most so much and such a share of it. An
answer that comes after the deadline tells nobody what became of a write."""

SMALL_BYTES_MAX = 1024
"""What a request of so many bytes holds is not counted beyond them."""

TOO_MANY_VALUES = (
    f"The request holds more than {VALUES_MAX} values; split it, or store lists of small values "
    "in fewer, larger ones"
)
NO_ROOM = "the node has no memory for so large a request now: try again"

_log = structlog.get_logger()

_Response = TypeVar("_Response")


class DataServicer(data_pb2_grpc.DataServicer):
    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], float],
        large_work: LargeWork | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._memory = memory or MemoryBudget()
        self._operations = operations
        self._clock = clock

    async def GetItem(self, request: Any, context: Any) -> pb.GetItemResponse | bytes:
        return await self._serve("GetItem", request, context, pb.GetItemResponse())

    async def BatchGetItem(self, request: Any, context: Any) -> pb.BatchGetItemResponse | bytes:
        return await self._serve("BatchGetItem", request, context, pb.BatchGetItemResponse())

    async def PutItem(self, request: Any, context: Any) -> pb.PutItemResponse | bytes:
        return await self._serve("PutItem", request, context, pb.PutItemResponse())

    async def UpdateItem(self, request: Any, context: Any) -> pb.UpdateItemResponse | bytes:
        return await self._serve("UpdateItem", request, context, pb.UpdateItemResponse())

    async def DeleteItem(self, request: Any, context: Any) -> pb.DeleteItemResponse | bytes:
        return await self._serve("DeleteItem", request, context, pb.DeleteItemResponse())

    async def BatchWriteItem(self, request: Any, context: Any) -> pb.BatchWriteItemResponse | bytes:
        return await self._serve("BatchWriteItem", request, context, pb.BatchWriteItemResponse())

    async def TransactGetItems(
        self, request: Any, context: Any
    ) -> pb.TransactGetItemsResponse | bytes:
        return await self._serve(
            "TransactGetItems", request, context, pb.TransactGetItemsResponse()
        )

    async def TransactWriteItems(
        self, request: Any, context: Any
    ) -> pb.TransactWriteItemsResponse | bytes:
        return await self._serve(
            "TransactWriteItems", request, context, pb.TransactWriteItemsResponse()
        )

    async def Query(self, request: Any, context: Any) -> pb.QueryResponse | bytes:
        return await self._serve("Query", request, context, pb.QueryResponse())

    async def Scan(self, request: Any, context: Any) -> pb.ScanResponse | bytes:
        return await self._serve("Scan", request, context, pb.ScanResponse())

    async def _serve(
        self, operation: str, request: Any, context: Any, response: _Response
    ) -> _Response | bytes:
        """``response``: an empty one; bytes are a large one that is written already."""
        held: list[object] = []
        try:
            return await self._carried_out(operation, request, context, response, held)
        except PacelineError as error:
            forget_trace(error)
            failure = status_of(error)
        except Exception as error:
            _log.exception("a request failed in an unforeseen way", operation=operation)
            forget_trace(error)
            failure = status_of(_unforeseen(operation, error))
        finally:
            if held:
                self._large_work.let_go(held)
        await context.abort(
            failure.code, failure.message, trailing_metadata=failure.trailing_metadata
        )
        raise AssertionError("abort raises")

    async def _carried_out(
        self, operation: str, request: Any, context: Any, response: _Response, held: list[object]
    ) -> _Response | bytes:
        """A function of its own: the trace of an abort holds the frame that it is raised in, and
        that must not have the parameters."""
        limit_s = timeout_s(context.time_remaining())
        came_by_grpc(context)
        params = await self._params(request, context, held)
        with charged(self._memory):
            result, cache = await self._answered(operation, params, limit_s)
            await context.send_initial_metadata(((CACHE_KEY, cache),))
            return await self._told(operation, response, result)

    async def _told(self, operation: str, response: _Response, result: Result) -> _Response | bytes:
        if not holds_more(result, INLINE_VALUES_MAX):
            return _filled(operation, response, result)
        try:
            return await self._large_work.run(lambda: _encoded(operation, response, result))
        finally:
            self._large_work.let_go([result])

    async def _params(self, request: Any, context: Any, held: list[object]) -> Params:
        """Counted until the call ends, by what they hold; ThrottlingException without room.
        ``held`` gets them if they take long to free."""
        received = received_bytes.get()
        if received is None:
            received = request.ByteSize()
        if received <= SMALL_BYTES_MAX:
            return to_params(request)
        if received <= INLINE_BYTES_MAX:
            params = to_params(request)
            values = dicts_in(params)
        else:
            await self._large_work.admitted()
            params, values = await self._large_work.run(lambda: _counted(request))
        if values > VALUES_MAX:
            self._large_work.let_go([params])
            raise RequestError("ValidationException", TOO_MANY_VALUES)
        wanted = decoded_bytes(0, values)
        memory = self._memory
        let_go = self._large_work.let_go
        if memory.change(0, wanted):
            given_back = wanted
        else:
            memory.change(wanted, 0)
            given_back = 0
            if not memory.take_in(context, wanted):
                let_go([params])
                raise RequestError("ThrottlingException", NO_ROOM)

        def ended(_: Any) -> None:
            memory.change(given_back, 0)
            memory.leave(context)

        if values > INLINE_VALUES_MAX:
            held.append(params)
        context.add_done_callback(ended)
        return params

    async def _answered(
        self, operation: str, params: Params, limit_s: float
    ) -> tuple[Result, Cache]:
        now = self._clock()
        if operation not in WRITES:
            try:
                # Others with more time may share what is asked of DynamoDB: it must not end early
                # because this caller's time does.
                async with asyncio.timeout(limit_s):
                    read = ReadRequest(operation, params)
                    answer = await self._operations.read(read, now + REQUEST_TIMEOUT_S)
                    return await answer.results(self._large_work), answer.cache
            except TimeoutError:
                raise Unavailable(f"{operation} took longer than its deadline") from None
        deadline = now + limit_s
        await self._check_keys(operation, params)
        result = await self._operations.write(operation, params, deadline, is_allowed=True)
        return result, "bypass"

    async def _check_keys(self, operation: str, params: Params) -> None:
        """RequestError if they cannot be read, as long as surely nothing was done; for who may not
        do it before anything is said of a table."""
        refuse_excess(operation, params)
        await self._operations.allow(operation, params)
        schemas = await self._operations.tables.schemas(schemas_wanted(operation, params))
        try:
            plan_write(operation, params, schemas)
        except ValueError as error:
            raise RequestError(
                "ValidationException", f"One or more parameter values were invalid: {error}"
            ) from error


def _counted(request: Any) -> tuple[Params, int]:
    params = to_params(request)
    return params, dicts_in(params)


def _filled(operation: str, response: _Response, result: Result) -> _Response:
    """The answer. A write that was done is a success also if its answer cannot be told."""
    try:
        fill(response, result)
    except Exception:
        if operation not in WRITES:
            raise
        _log.exception("the answer of a write that was done is left out", operation=operation)
        return type(response)()
    return response


def _encoded(operation: str, response: _Response, result: Result) -> bytes:
    """As ``_filled``, of an answer that would take long to write as a whole."""
    kind = type(response)
    try:
        return encode(kind, result)
    except Exception:
        if operation not in WRITES:
            raise
        _log.exception("the answer of a write that was done is left out", operation=operation)
        return b""


def timeout_s(remaining_s: float | None) -> float:
    """How long the operation may take, when its caller waits for ``remaining_s``."""
    if remaining_s is None:
        return REQUEST_TIMEOUT_S
    answer_s = min(ANSWER_S, ANSWER_SHARE * remaining_s)
    return max(0.0, min(remaining_s - answer_s, REQUEST_TIMEOUT_S))


def _unforeseen(operation: str, error: Exception) -> PacelineError:
    text = f"the request failed in the node ({type(error).__name__})"
    if operation in WRITES:
        return OutcomeUnknown(f"{text}; read the item to see what it did")
    return Unavailable(text)


def add_data(
    operations: Operations, clock: Callable[[], float], shared: Shared
) -> Callable[[Any], None]:
    servicer = DataServicer(operations.by("grpc"), clock, shared.large_work, shared.memory)

    def register(server: Any) -> None:
        data_pb2_grpc.add_DataServicer_to_server(servicer, server)

    return register
