"""The gRPC ``Replication`` service: links of replicas, and writes that they forward. It is served
at the members' port, so its callers are nodes of this cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import structlog

from cluster.coherence.messages import Position
from cluster.coherence.takeover_report import TakeoverReport
from cluster.transport.charges import charged
from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX, LargeWork
from cluster.transport.member_certificates import peer_name
from cluster.transport.memory import MemoryBudget
from cluster.transport.traces import forget_trace
from node.replication import wire
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.values.size import holds_more
from node.writes.flush import FLUSH, Flushes
from node.writes.path import WritePath
from paceline.errors import PacelineError
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc

_log = structlog.get_logger()

ANSWER_S = 0.25
ANSWER_SHARE = 0.25
"""The share of the caller's time that is kept for the answer's way back, up to a limit. With the
same deadline on both sides, a write that was not sent in time would end as an unknown outcome at
the caller."""

Peek = Callable[[pb.PeekRequest], pb.PeekReply]

ReportForTakeover = Callable[[int, Position | None], TakeoverReport | None]
"""As ``Coordinator.report_for_takeover``."""


class ReplicationServicer(replication_pb2_grpc.ReplicationServicer):
    def __init__(
        self,
        primary: PrimaryDriver,
        writes: WritePath,
        flushes: Flushes,
        peek: Peek,
        report_for_takeover: ReportForTakeover,
        clock: Callable[[], float],
        default_timeout_s: float,
        large_work: LargeWork | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._memory = memory or MemoryBudget()
        self._peek = peek
        self._report_for_takeover = report_for_takeover
        self._primary = primary
        self._writes = writes
        self._flushes = flushes
        self._clock = clock
        self._default_timeout_s = default_timeout_s

    async def Link(self, request_iterator: object, context: Any) -> None:
        await self._primary.serve(context, peer_name(context.auth_context()))

    async def Forward(self, request: pb.ForwardRequest, context: Any) -> pb.ForwardReply:
        """Runs the write here or refuses with FAILED_PRECONDITION; never forwards again."""
        with charged(self._memory):
            return await self._forwarded(request, context)

    async def _forwarded(self, request: pb.ForwardRequest, context: Any) -> pb.ForwardReply:
        remaining = context.time_remaining()
        timeout_s = self._default_timeout_s if remaining is None else remaining
        answer_s = min(ANSWER_S, ANSWER_SHARE * timeout_s)
        deadline = self._clock() + max(timeout_s - answer_s, 0.0)
        run_if = self._large_work.run_if
        packed = request.params
        large = len(packed) > INLINE_BYTES_MAX
        try:
            if large:
                await self._large_work.admitted()
            params = await run_if(large, lambda: wire.unpack(packed))
            result = await self._run(request.operation, params, deadline)
        except EpochOver as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise
        except PacelineError as error:
            forget_trace(error)
            return pb.ForwardReply(error=wire.forward_error(error))
        large = holds_more(result, INLINE_VALUES_MAX)
        told = await run_if(large, lambda: _packed(request.operation, result))
        return pb.ForwardReply(result=told)

    async def Peek(self, request: pb.PeekRequest, context: Any) -> pb.PeekReply:
        return self._peek(request)

    async def Recall(self, request: pb.RecallRequest, context: Any) -> pb.RecallReply:
        epoch, position = wire.recall_request_back(request)
        report = self._report_for_takeover(epoch, position)
        if report is None:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"this node knows of an epoch after {epoch}"
            )
            raise AssertionError("abort raises")
        return wire.takeover_report(report)

    async def _run(self, operation: str, params: Params, deadline: float) -> Result:
        if operation == FLUSH:
            return await self._flushes.run_here(params, deadline)
        return await self._writes.execute_here(operation, params, deadline)


def _packed(operation: str, result: Result) -> bytes:
    """Of what was done: a success, whatever is wrong with its answer."""
    try:
        return wire.pack(result)
    except Exception:
        _log.exception("the answer of a write that was done is left out", operation=operation)
        return wire.pack({})


def add_replication(
    primary: PrimaryDriver,
    writes: WritePath,
    flushes: Flushes,
    peek: Peek,
    report_for_takeover: ReportForTakeover,
    clock: Callable[[], float],
    default_timeout_s: float,
    large_work: LargeWork,
    memory: MemoryBudget,
) -> Callable[[Any], None]:
    servicer = ReplicationServicer(
        primary,
        writes,
        flushes,
        peek,
        report_for_takeover,
        clock,
        default_timeout_s,
        large_work,
        memory,
    )

    def register(server: Any) -> None:
        replication_pb2_grpc.add_ReplicationServicer_to_server(servicer, server)

    return register
