"""The gRPC ``Replication`` service: links of replicas, and writes that they forward. It is served
at the members' port, so its callers are nodes of this cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
import structlog

from cluster.coherence.messages import Position
from cluster.coherence.takeover_report import TakeoverReport
from cluster.transport.charges import charged
from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX, LargeWork
from cluster.transport.member_certificates import peer_name
from cluster.transport.memory import MemoryBudget
from cluster.transport.origin import Origin, origin
from cluster.transport.traces import forget_trace
from node.replication import wire
from node.replication.forwarding import UNANSWERED_MAX as FORWARDED_MAX
from node.replication.gathering import gathered
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.values.size import holds_more
from node.writes.flush import FLUSH, Flushes
from node.writes.path import WritePath
from paceline.errors import OutcomeUnknown, PacelineError
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc

_log = structlog.get_logger()

ANSWER_S = 0.25
ANSWER_SHARE = 0.25
"""The share of the caller's time that is kept for the answer's way back, up to a limit. With the
same deadline on both sides, a write that was not sent in time would end as an unknown outcome at
the caller."""

UNANSWERED_MAX = 2 * FORWARDED_MAX
"""Requests under way on one stream. A caller has half of that; those that it has given up count
here until they end."""

FRAME_ANSWERS_MAX = 256
FRAME_BYTES_MAX = 2 * 1024 * 1024
"""A frame of answers is cut once it is this large. A single answer may be larger."""

TOLD_S = 1.0
"""The time for the last answers when the node stops."""

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
        self._tasks: set[asyncio.Task[pb.ForwardReply]] = set()
        """Of writes that came alone. Each goes on when its caller goes away."""
        self._untold = 0
        """Requests that came by streams and have no answer yet on a stream that stands."""
        self._all_told = asyncio.Event()
        self._all_told.set()

    async def Link(self, request_iterator: object, context: Any) -> None:
        await self._primary.serve(context, peer_name(context.auth_context()))

    async def Forward(self, request: pb.ForwardRequest, context: Any) -> pb.ForwardReply:
        """Runs the write here or refuses with FAILED_PRECONDITION; never forwards again."""
        remaining = context.time_remaining()
        timeout_s = self._default_timeout_s if remaining is None else remaining
        task = asyncio.create_task(self._alone(request, timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except EpochOver as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise

    async def _alone(self, request: pb.ForwardRequest, timeout_s: float) -> pb.ForwardReply:
        with charged(self._memory):
            return await self._forwarded(request, timeout_s)

    def _ended(self, task: asyncio.Task[pb.ForwardReply]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: its caller may have gone away

    async def Exchange(self, request_iterator: object, context: Any) -> None:
        """As ``Forward``, for many at once. A write goes on when its stream ends."""
        answers = _Answers(self._told)
        await context.write(pb.AnswerFrame())
        writer = asyncio.create_task(answers.write(context))
        try:
            # No deadline: gRPC's keepalive ends the stream of a node that is gone.
            while (frame := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                for request in frame.requests:
                    answers.begin(asyncio.create_task(self._answer(request)), request.id)
                    self._untold += 1
                    self._all_told.clear()
                if answers.under_way > UNANSWERED_MAX:
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
        finally:
            answers.end()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _answer(self, numbered: pb.NumberedForward) -> pb.NumberedAnswer:
        try:
            with charged(self._memory):
                reply = await self._forwarded(numbered.request, numbered.left_s)
        except EpochOver as error:
            return pb.NumberedAnswer(id=numbered.id, not_primary=str(error))
        return pb.NumberedAnswer(id=numbered.id, reply=reply)

    def _told(self, count: int) -> None:
        self._untold -= count
        if not self._untold:
            self._all_told.set()

    async def aclose(self) -> None:
        """Returns when all answers are told, or ``TOLD_S`` has passed."""
        try:
            async with asyncio.timeout(TOLD_S):
                await self._all_told.wait()
        except TimeoutError:
            _log.info("not all forwarded writes were answered", left=self._untold)

    async def _forwarded(self, request: pb.ForwardRequest, timeout_s: float) -> pb.ForwardReply:
        """Raises EpochOver if nothing was done, since this node is not the primary."""
        answer_s = min(ANSWER_S, ANSWER_SHARE * timeout_s)
        deadline = self._clock() + max(timeout_s - answer_s, 0.0)
        run_if = self._large_work.run_if
        packed = request.params
        large = len(packed) > INLINE_BYTES_MAX
        try:
            if large:
                await self._large_work.admitted()
            operation, by = wire.forward_request_back(request)
            origin.set(Origin(trace=request.trace))
            params = await run_if(large, lambda: wire.unpack(packed))
            result = await self._run(operation, params, deadline, by)
        except PacelineError as error:
            forget_trace(error)
            return pb.ForwardReply(error=wire.forward_error(error))
        large = holds_more(result, INLINE_VALUES_MAX)
        told = await run_if(large, lambda: _packed(operation, result))
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

    async def _run(
        self, operation: str, params: Params, deadline: float, by: wire.By | None
    ) -> Result:
        if operation == FLUSH:
            return await self._flushes.run_here(params, deadline)
        return await self._writes.execute_here(operation, params, deadline, by)


class _Answers:
    """What one stream of forwarded writes is to be told. ``told`` is called with the number of
    answers that were sent, or that nobody waits for any more."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._tasks: set[asyncio.Task[pb.NumberedAnswer]] = set()
        self._ready: list[pb.NumberedAnswer] = []
        self._wake = asyncio.Event()
        self._ended = False

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    def begin(self, task: asyncio.Task[pb.NumberedAnswer], number: int) -> None:
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, number))

    def _done(self, number: int, task: asyncio.Task[pb.NumberedAnswer]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            answer = _unknown(number)
        elif (error := task.exception()) is not None:
            _log.error("a forwarded write failed", exc_info=error)
            answer = _unknown(number)
        else:
            answer = task.result()
        if self._ended:
            self._told(1)
            return
        self._ready.append(answer)
        self._wake.set()

    async def write(self, context: Any) -> None:
        """Sends answers that are ready, together, until it is cancelled."""
        while True:
            await self._wake.wait()  # no deadline: silence is normal
            self._wake.clear()
            while self._ready:
                if self._tasks:
                    await gathered(self._ready.__len__)
                count = self._fitting()
                await context.write(pb.AnswerFrame(answers=self._ready[:count]))
                del self._ready[:count]
                self._told(count)

    def _fitting(self) -> int:
        """The number of answers for one frame, at least one."""
        size = 0
        for count, answer in enumerate(self._ready[:FRAME_ANSWERS_MAX]):
            size += answer.ByteSize()
            if count and size > FRAME_BYTES_MAX:
                return count
        return min(len(self._ready), FRAME_ANSWERS_MAX)

    def end(self) -> None:
        """The stream has ended. What is under way goes on."""
        self._ended = True
        self._told(len(self._ready))
        self._ready.clear()


def _unknown(number: int) -> pb.NumberedAnswer:
    error = OutcomeUnknown("the primary failed with the write; read the item to see what it is")
    return pb.NumberedAnswer(id=number, reply=pb.ForwardReply(error=wire.forward_error(error)))


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
) -> tuple[Callable[[Any], None], Callable[[], Awaitable[None]]]:
    """What registers the service with a server, and what waits for its last answers."""
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

    return register, servicer.aclose
