"""Runs a replica's half of the coherence protocol: one link to the current primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import grpc
import grpc.aio
import structlog

from cluster.coherence.messages import PrimaryMessage, ReplicaMessage
from cluster.coherence.replica import Replica, Resubscribe, ToPrimary
from node.replication import packing, wire
from node.replication.gathering import gathered
from paceline.errors import ProtocolError, Unavailable
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc

log = structlog.get_logger()

RECONNECT_S = 0.1
"""The pause between attempts to reach the primary: short against a lease, long against a spin."""

OUTBOX_MAX = 10_000
"""The most messages to the primary that wait for the stream. Acknowledgements are cumulative, so a
longer queue means a stuck stream, which is then closed."""


@dataclass(frozen=True, slots=True)
class Target:
    """The primary to follow; one value per epoch."""

    epoch: int
    node_id: str


class ReplicaDriver:
    """Follows one target at a time; ``follow(None)`` when this node is the primary itself."""

    def __init__(
        self,
        replica: Replica,
        channel: Callable[[str], grpc.aio.Channel],
        clock: Callable[[], float],
    ) -> None:
        self._replica = replica
        self._channel = channel
        self._clock = clock
        self._target: Target | None = None
        self._changed = asyncio.Event()
        self._outbox: asyncio.Queue[ReplicaMessage] | None = None
        self.on_deadline: Callable[[float], None] = lambda when: None
        """Called with the time at which ``tick`` has something to do, when that may be earlier."""

    def follow(self, target: Target | None) -> None:
        if target != self._target:
            self._target = target
            self._break()

    def leave(self, epoch: int) -> None:
        """Ends a link to the primary of an epoch before ``epoch``."""
        if self._target is not None and self._target.epoch < epoch:
            self.follow(None)

    def hand_back(self) -> None:
        """Stops answering from the cache, so that writes need not wait for this node's lease."""
        self._run(self._replica.hand_back(self._clock()))

    def tick(self) -> None:
        if self._outbox is not None:
            self._run(self._replica.tick(self._clock()))

    def deadline(self) -> float:
        """As ``Replica.deadline``."""
        return inf if self._outbox is None else self._replica.deadline()

    async def run(self) -> None:
        """Links to the target, again after every break, until it is cancelled."""
        while True:
            target = self._target
            self._changed.clear()
            changed = asyncio.create_task(self._await_change())
            link = asyncio.create_task(self._link(target)) if target is not None else None
            try:
                # No deadline: a link lives as long as its epoch. A dead peer costs only this
                # replica's read lease, and gRPC keepalive ends the stream.
                await asyncio.wait(
                    {changed} if link is None else {changed, link},
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                await _cancelled(changed)
                if link is not None:
                    await _cancelled(link)
                    self._outbox = None
                    self._replica.disconnected(self._clock())
            if target is not None and self._target == target:
                await asyncio.sleep(RECONNECT_S)

    async def _await_change(self) -> None:
        await self._changed.wait()

    async def _link(self, target: Target) -> None:
        if self._target != target:
            return  # changed before this task got to run; ``connect`` would lapse the new role
        outbox = self._outbox = asyncio.Queue(OUTBOX_MAX)
        try:
            channel = self._channel(target.node_id)
        except Unavailable as error:
            log.debug("no replication link", primary=target.node_id, reason=str(error))
            return
        call = pb_grpc.ReplicationStub(channel).Link()
        writer = asyncio.create_task(self._write(call, outbox))
        try:
            self._run(self._replica.connect(target.epoch, self._clock()))
            while self._outbox is outbox:
                frame = await call.read()
                if frame is grpc.aio.EOF:  # type: ignore[attr-defined]
                    return
                # This node may have become the primary while the frame was on its way: a Welcome
                # of the old epoch would reset the Guard under the new one's fences.
                if self._outbox is not outbox or not self._apply(frame):
                    return
        except (grpc.aio.AioRpcError, ProtocolError) as error:
            reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
            log.debug("replication link broke", primary=target.node_id, reason=reason)
        finally:
            call.cancel()
            await _cancelled(writer)

    def _apply(self, frame: pb.PrimaryFrame) -> bool:
        """Applies a frame. Returns False if the callee refuses the link."""
        messages: list[PrimaryMessage] = []
        for item in frame.messages:
            if item.WhichOneof("message") == "refused":
                log.debug("replication link refused", reason=item.refused.reason)
                return False
            messages.append(wire.primary_message_back(item))
        messages += packing.unpacked(frame.packed)
        self._run(self._replica.received_all(messages, self._clock()))
        return True

    async def _write(
        self,
        call: grpc.aio.StreamStreamCall[pb.ReplicaFrame, pb.PrimaryFrame],
        outbox: asyncio.Queue[ReplicaMessage],
    ) -> None:
        while True:
            # No deadline: silence is normal between leases. The link's end cancels this.
            batch = [await outbox.get()]
            if self._replica.writes_open > 1:
                await gathered(outbox.qsize)
            while not outbox.empty():
                batch.append(outbox.get_nowait())
            try:
                await call.write(wire.replica_frame(batch))
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the reader learns why

    def _run(self, actions: Sequence[ToPrimary | Resubscribe]) -> None:
        for action in actions:
            match action:
                case ToPrimary(message=message):
                    self._put(message)
                case Resubscribe(reason=reason):
                    log.info("replication stream out of step, subscribing anew", reason=reason)
                    self._break()
        self.on_deadline(self.deadline())

    def _put(self, message: ReplicaMessage) -> None:
        if self._outbox is not None:
            try:
                self._outbox.put_nowait(message)
            except asyncio.QueueFull:
                log.warning("too many messages wait for the primary, linking anew")
                self._break()

    def _break(self) -> None:
        self._outbox = None
        self._changed.set()


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
