"""Carries a write to the primary and its answer back. Nothing is ever sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
import structlog

from cluster.coherence.messages import Position
from cluster.coherence.takeover import ANSWERS_S
from cluster.coherence.takeover_report import TakeoverReport
from cluster.transport.charges import admit_write
from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX, LargeWork
from cluster.transport.members_server import RECEIVED_BYTES_MAX
from cluster.transport.memory import decoded_bytes
from node.replication import wire
from node.replication.primary_driver import EpochOver
from node.values.size import holds_more
from paceline.errors import NotSent, OutcomeUnknown, RequestError, Unavailable
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc

_log = structlog.get_logger()

_TOO_LARGE = "The request is too large for any that DynamoDB takes, so it was not sent"

VALUE_BYTES = 5
"""Of one of the smallest values in an answer that was forwarded: ``{"N": "7"}``."""

HAND_OVER_S = 1.0
"""The time to wait for a connection to the primary before the view is looked at again."""


class Forwarder:
    """The client's side of forwarding: one call per write, over the channel to the primary."""

    def __init__(
        self,
        channel: Callable[[str], grpc.aio.Channel],
        clock: Callable[[], float],
        large_work: LargeWork | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._channel = channel
        self._clock = clock

    async def reach(self, node_id: str, deadline: float) -> None:
        """Returns when a connection to the node is up. Raises EpochOver if it is not within a
        second, and NotSent if the deadline is over. Nothing was sent either way."""
        left = deadline - self._clock()
        if left <= 0:
            raise NotSent("no time left to forward the write to the primary")
        try:
            async with asyncio.timeout(min(HAND_OVER_S, left)):
                await self._to(node_id).channel_ready()
        except TimeoutError:
            raise EpochOver("the primary cannot be reached") from None

    async def forward(
        self, node_id: str, operation: str, params: Params, deadline: float
    ) -> Result:
        """Returns the primary's result, or raises its error. Call ``reach`` first.

        Raises RequestError if the write is too large (nothing was sent), EpochOver if the callee
        refused it as not being the primary (it may be routed again), and OutcomeUnknown if it was
        handed over and no answer came.
        """
        run_if = self._large_work.run_if
        packed = await run_if(holds_more(params, INLINE_VALUES_MAX), lambda: wire.pack(params))
        request = pb.ForwardRequest(operation=operation, params=packed)
        # Asked here, since a refusal over there looks as if the primary had failed with it.
        if request.ByteSize() > RECEIVED_BYTES_MAX:
            raise RequestError("ValidationException", _TOO_LARGE)
        stub = pb_grpc.ReplicationStub(self._to(node_id))
        try:
            reply: pb.ForwardReply = await stub.Forward(
                request, timeout=max(deadline - self._clock(), 0.001)
            )
        except grpc.aio.AioRpcError as error:
            # FAILED_PRECONDITION is the callee's own word that it did nothing.
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                raise EpochOver(error.details() or "not the primary") from None
            if error.code() == grpc.StatusCode.PERMISSION_DENIED:
                raise NotSent("the primary does not take this node's certificate") from None
            raise OutcomeUnknown(
                "the link to the primary broke after the write was handed over; "
                "read the item to see whether it happened"
            ) from error
        if reply.WhichOneof("outcome") == "error":
            raise wire.forward_error_back(reply.error)
        try:
            packed = reply.result
            large = len(packed) > INLINE_BYTES_MAX
            if large:
                await admit_write(decoded_bytes(len(packed), len(packed) // VALUE_BYTES))
            result: Result = await run_if(large, lambda: wire.unpack(packed))
        except Exception:
            _log.exception("the answer of a write that was done is left out", operation=operation)
            return {}
        return result

    async def recall(self, node_id: str, epoch: int, position: Position | None) -> TakeoverReport:
        """The report of the node there, for this one to take over as primary of ``epoch``.

        Unavailable if it gives none."""
        stub = pb_grpc.ReplicationStub(self._channel(node_id))
        request = wire.recall_request(epoch, position)
        try:
            return wire.takeover_report_back(await stub.Recall(request, timeout=ANSWERS_S))
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{node_id} does not give its takeover report") from error

    def _to(self, node_id: str) -> grpc.aio.Channel:
        try:
            return self._channel(node_id)
        except Unavailable as error:  # it has left since it was looked up
            raise EpochOver(str(error)) from None
