"""Carries writes to the primary and their answers back. Nothing is ever sent twice.

Small writes share one stream (``Exchange``): what is ready at the same time travels in one frame,
since a frame costs much more than what is in it. A large one is a call of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from node.replication.gathering import gathered
from node.replication.primary_driver import EpochOver
from node.tracing.spans import trace_of_request
from node.values.size import holds_more
from paceline.errors import NotSent, OutcomeUnknown, PacelineError, RequestError, Unavailable
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc

_log = structlog.get_logger()

_TOO_LARGE = "The request is too large for any that DynamoDB takes, so it was not sent"

VALUE_BYTES = 5
"""Of one of the smallest values in an answer that was forwarded: ``{"N": "7"}``."""

HAND_OVER_S = 1.0
"""The time to wait for a connection to the primary before the view is looked at again."""

SHARED_BYTES_MAX = INLINE_BYTES_MAX
"""A packed write of more is a call of its own: it would hold up those behind it."""

CHECK_S = 0.1
"""The time between two looks at deadlines, and at who is the primary."""

NEW_PRIMARY_GRACE_S = 1.0
"""How long a forwarded operation may still wait for the old primary's answer once a new epoch is
known: the old one's reply may be on its way, but most likely it is gone."""

UNANSWERED_MAX = 2048
"""Requests under way on one stream. What comes on top are calls of their own, which gRPC bounds."""

FRAME_REQUESTS_MAX = 256
"""With ``SHARED_BYTES_MAX`` the most that a frame may have, a few megabytes."""

_NO_TIME_LEFT = "no time left to forward the write to the primary"

PRIMARY_CHANGED = (
    "the primary changed while it had the write; read the item to see whether it happened"
)

_BROKE = (
    "the link to the primary broke after the write was handed over; "
    "read the item to see whether it happened"
)


@dataclass(slots=True)
class _Asked:
    """One request that has no answer. ``sent``: it was handed to gRPC, so the primary may have
    it."""

    request: pb.ForwardRequest
    until: float
    """The caller's deadline, or an earlier time since the primary has moved."""
    moved: Callable[[], bool]
    answer: asyncio.Future[pb.NumberedAnswer]
    sent: bool = False
    given_up: bool = False
    """The primary has moved."""


class Exchange:
    """Small writes on one stream to one primary, from ``open`` until it breaks or is closed."""

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float]) -> None:
        self.channel = channel
        self._clock = clock
        self._call: Any = None
        self._last = 0
        self._asked: dict[int, _Asked] = {}
        """The requests that wait for an answer, by their numbers."""
        self._unsent: list[int] = []
        self._idle: asyncio.Future[None] | None = None
        """What the writer waits for while there is nothing to send."""
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        """The timer of the next ``_look`` at requests that wait; None: none does."""
        self.usable = False
        """True while it takes more requests."""

    async def open(self) -> None:
        """Returns when the primary takes requests; AioRpcError if it does not. Needs a deadline
        around it."""
        self._call = pb_grpc.ReplicationStub(self.channel).Exchange()
        try:
            hello = await self._call.read()
            self.usable = hello is not grpc.aio.EOF  # type: ignore[attr-defined]
        finally:
            if not self.usable:
                self._call.cancel()
        loop = asyncio.get_running_loop()
        if self.usable:
            self._tasks = [loop.create_task(self._read()), loop.create_task(self._write())]

    @property
    def full(self) -> bool:
        return len(self._asked) >= UNANSWERED_MAX

    def ask(
        self, request: pb.ForwardRequest, deadline: float, moved: Callable[[], bool]
    ) -> asyncio.Future[pb.NumberedAnswer]:
        """Sends ``request`` with the next frame. The future gets its answer, or EpochOver or
        NotSent (the primary never had it), or OutcomeUnknown."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[pb.NumberedAnswer] = loop.create_future()
        self._last += 1
        self._asked[self._last] = _Asked(request, deadline, moved, answer)
        self._unsent.append(self._last)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._timer is None:
            self._timer = loop.call_later(CHECK_S, self._look)
        return answer

    @property
    def is_open(self) -> bool:
        """True while answers may still come."""
        return any(not task.done() for task in self._tasks)

    def retire(self) -> None:
        """Takes no more requests, and ends when those under way have their answers."""
        self.usable = False
        if not self._asked:
            self.close()

    def close(self) -> None:
        """Ends the stream. Requests without an answer end as when it breaks."""
        self._break()
        for task in self._tasks:
            task.cancel()

    # -- what goes up -----------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            if not self._unsent:
                # No deadline: silence is normal. The stream's end cancels this.
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            if len(self._asked) > 1:
                await gathered(self._unsent.__len__)
            frame = self._frame()
            if frame.requests:
                try:
                    await self._call.write(frame)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return  # the reader learns why

    def _frame(self) -> pb.ForwardFrame:
        """Takes what is to be sent. From here on it counts as sent, whatever becomes of the
        frame."""
        now = self._clock()
        frame = pb.ForwardFrame()
        numbers = self._unsent[:FRAME_REQUESTS_MAX]
        del self._unsent[:FRAME_REQUESTS_MAX]
        for number in numbers:
            asked = self._asked.get(number)
            if asked is None:
                continue
            if asked.answer.done():  # nobody waits for it any more
                del self._asked[number]
                continue
            asked.sent = True
            left_s = max(asked.until - now, 0.001)
            frame.requests.add(id=number, left_s=left_s, request=asked.request)
        return frame

    # -- what comes down --------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            # No deadline: gRPC's keepalive ends the stream of a primary that is gone.
            while (frame := await self._call.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                for answer in frame.answers:
                    asked = self._asked.pop(answer.id, None)
                    if asked is not None and not asked.answer.done():
                        asked.answer.set_result(answer)
                if not (self.usable or self._asked):
                    return  # retired
        except grpc.aio.AioRpcError as error:
            _log.debug("the stream of forwarded writes broke", reason=error.details())
        finally:
            self._break()
            self._tasks[1].cancel()

    def _break(self) -> None:
        """What was not sent may be routed again. Nobody knows of the rest."""
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
        if self._call is not None:
            self._call.cancel()
        asked, self._asked = self._asked, {}
        self._unsent.clear()
        for one in asked.values():
            if one.answer.done():
                continue
            if one.sent:
                one.answer.set_exception(OutcomeUnknown(_BROKE))
            else:
                one.answer.set_exception(EpochOver("the link to the primary broke"))

    # -- who waits for how long -------------------------------------------------------------

    def _look(self) -> None:
        """Ends what has waited for long enough: one timer for all, and no other."""
        now = self._clock()
        for number, asked in list(self._asked.items()):
            if not asked.given_up and asked.moved():
                asked.given_up = True
                asked.until = min(asked.until, now + NEW_PRIMARY_GRACE_S)
            if asked.until <= now:
                del self._asked[number]
                if not asked.answer.done():
                    asked.answer.set_exception(_unanswered(asked))
        self._timer = None
        if self._asked:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._look)


def _unanswered(asked: _Asked) -> PacelineError | EpochOver:
    if not asked.sent:
        if asked.given_up:
            return EpochOver("the primary changed before the write was handed over")
        return NotSent(_NO_TIME_LEFT)
    if asked.given_up:
        return OutcomeUnknown(PRIMARY_CHANGED)
    return OutcomeUnknown(
        "the primary did not answer in time after the write was handed over; "
        "read the item to see whether it happened"
    )


class Forwarder:
    """The client's side of forwarding, over the channel to the primary."""

    def __init__(
        self,
        channel: Callable[[str], grpc.aio.Channel],
        clock: Callable[[], float],
        large_work: LargeWork | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._channel = channel
        self._clock = clock
        self._exchanges: dict[str, Exchange] = {}
        """By node; the one to the primary, as it was last known."""
        self._retired: list[Exchange] = []
        self._opening: dict[str, asyncio.Task[None]] = {}

    def at_hand(self, node_id: str) -> bool:
        """Whether a write may be handed over at once."""
        exchange = self._exchanges.get(node_id)
        return exchange is not None and exchange.usable and exchange.channel is self._to(node_id)

    async def reach(self, node_id: str, deadline: float) -> None:
        """Returns when a connection to the node is up. Raises EpochOver if it is not within a
        second, and NotSent if the deadline is over. Nothing was sent either way."""
        left = deadline - self._clock()
        if left <= 0:
            raise NotSent(_NO_TIME_LEFT)
        try:
            async with asyncio.timeout(min(HAND_OVER_S, left)):
                channel = self._to(node_id)
                await channel.channel_ready()
                opening = self._opening.get(node_id)
                if opening is None:
                    opening = asyncio.ensure_future(self._open(node_id, channel))
                    self._opening[node_id] = opening
                    opening.add_done_callback(lambda _: self._opening.pop(node_id))
                await asyncio.shield(opening)
        except TimeoutError:
            raise EpochOver("the primary cannot be reached") from None

    async def _open(self, node_id: str, channel: grpc.aio.Channel) -> None:
        """Opens a stream for small writes. Where there is none, they are calls of their own, whose
        ends say what is wrong."""
        exchange = Exchange(channel, self._clock)
        try:
            async with asyncio.timeout(HAND_OVER_S):
                await exchange.open()
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            _log.debug("no stream for forwarded writes", primary=node_id, reason=repr(error))
        if not exchange.usable:
            return
        for former in self._exchanges.values():
            former.retire()
        self._retired = [one for one in (*self._retired, *self._exchanges.values()) if one.is_open]
        self._exchanges = {node_id: exchange}

    async def aclose(self) -> None:
        """Ends the streams. What was handed over and has no answer is of unknown outcome."""
        for opening in list(self._opening.values()):
            opening.cancel()
        for exchange in (*self._exchanges.values(), *self._retired):
            exchange.close()

    async def share(
        self,
        node_id: str,
        operation: str,
        params: Params,
        deadline: float,
        moved: Callable[[], bool],
        by: wire.By | None = None,
    ) -> Result | None:
        """As ``forward``, in a frame with others, of a node that is at hand right now. None, and
        nothing was sent, if its stream is full, or the write is not for one. ``moved``: whether
        another node is known to be the primary; after a grace the answer is waited for no more."""
        exchange = self._exchanges.get(node_id)
        if exchange is None or exchange.full or holds_more(params, INLINE_VALUES_MAX):
            return None
        packed = wire.pack_few(params)
        if len(packed) > SHARED_BYTES_MAX:
            return None
        request = wire.forward_request(operation, packed, by, trace_of_request())
        answer = await exchange.ask(request, deadline, moved)
        if answer.WhichOneof("end") == "not_primary":
            raise EpochOver(answer.not_primary)
        return await self._result(answer.reply, operation)

    async def forward(
        self,
        node_id: str,
        operation: str,
        params: Params,
        deadline: float,
        by: wire.By | None = None,
    ) -> Result:
        """Returns the primary's result, or raises its error. Call ``reach`` first. ``by``: in whose
        name, where writes go with callers' credentials.

        Raises RequestError if the write is too large (nothing was sent), EpochOver if the callee
        refused it as not being the primary (it may be routed again), and OutcomeUnknown if it was
        handed over and no answer came.
        """
        run_if = self._large_work.run_if
        packed = await run_if(holds_more(params, INLINE_VALUES_MAX), lambda: wire.pack(params))
        request = wire.forward_request(operation, packed, by, trace_of_request())
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
            raise OutcomeUnknown(_BROKE) from error
        return await self._result(reply, operation)

    async def _result(self, reply: pb.ForwardReply, operation: str) -> Result:
        run_if = self._large_work.run_if
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
