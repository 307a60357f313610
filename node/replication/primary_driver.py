"""Runs the primary's half of the coherence protocol: links, acknowledgements, waiting writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from cluster.coherence.effects import Effect, effects_bytes
from cluster.coherence.guard import Guard
from cluster.coherence.messages import (
    Ack,
    Fence,
    Image,
    Outcome,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Settle,
    Subscribe,
)
from cluster.coherence.primary import Action, Close, Primary, Ready, Send
from cluster.settings import LeaseSettings
from node.replication import packing, wire
from node.replication.gathering import gathered
from node.replication.packing import Packed
from node.requests.counts import Latencies
from paceline.errors import ProtocolError
from paceline.types import Key
from paceline.v1 import replication_pb2 as pb

log = structlog.get_logger()

LINK_BACKLOG_MAX = 20_000
"""The most messages waiting for one replica. A replica that is further behind is cheaper to reset
than to feed: its link is closed and its cache starts again."""

LINK_BYTES_MAX = 32 * 1024 * 1024
"""The most bytes of keys and images waiting for one replica. Images may have 400 KB each, so a
replica that hangs under load would otherwise cost its primary gigabytes before the count is
reached. Far above what a subscription begins with: the log (8 MiB) and a Welcome (3 MiB)."""

FRAME_MESSAGES_MAX = 512
"""Bounds one frame well under gRPC's 4 MiB message limit for fences and small images."""

FRAME_BYTES_MAX = 2 * 1024 * 1024
"""Images up to DynamoDB's 400 KB each: a frame is cut once it is this large."""


class WriteObserver(Protocol):
    """Follows the fences of this node's epochs. What a call raises is logged."""

    def fenced(
        self, fence: Position, keys: Sequence[Key], effects: Sequence[Effect | None]
    ) -> None: ...

    def settled(self, fence: Position, images: Sequence[Image | None]) -> None:
        """``images``: those that may be installed; empty unless the write was a clear success."""

    def epoch_over(self) -> None: ...


class EpochOver(Exception):
    """The epoch of a fence ended before its write was sent. The write may start again, perhaps
    elsewhere."""


@dataclass
class Link:
    """One replica's stream, as the primary sees it."""

    id: int
    packs: bool = False
    """The replica reads what ``packing`` makes."""
    backlog: list[PrimaryMessage | Packed] = field(default_factory=list)
    """What ``packing`` has made is there in its place."""
    bytes: int = 0
    """Payload of ``backlog``."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: str | None = None
    denied: bool = False
    """The replica says that it is another one than it is."""

    def put(self, message: PrimaryMessage | Packed) -> None:
        if self.closed is not None:
            return
        if len(self.backlog) >= LINK_BACKLOG_MAX or self.bytes >= LINK_BYTES_MAX:
            self.close("replica too far behind")
            return
        if not self.backlog:
            self.wake.set()
        self.backlog.append(message)
        self.bytes += len(message) if isinstance(message, Packed) else _payload_bytes(message)

    def next_frame(self) -> pb.PrimaryFrame:
        """Takes the longest prefix of the backlog that fits one frame, at least one message."""
        frame = pb.PrimaryFrame()
        pieces: list[Packed] = []
        count = size = 0
        for message in self.backlog[:FRAME_MESSAGES_MAX]:
            if isinstance(message, Packed):
                size += len(message)
                if count and size > FRAME_BYTES_MAX:
                    break
                pieces.append(message)
                self.bytes -= len(message)
            else:
                encoded = wire.primary_message(message)
                size += encoded.ByteSize()
                if pieces or (count and size > FRAME_BYTES_MAX):
                    break
                frame.messages.append(encoded)
                self.bytes -= _payload_bytes(message)
            count += 1
        if pieces:
            frame.packed = packing.joined(pieces)
        del self.backlog[:count]
        return frame

    def waiting(self) -> int:
        """The number of messages that are not sent."""
        return len(self.backlog)

    def close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            self.backlog.clear()  # a stream that is stuck may take a while to end
        self.wake.set()


class PrimaryDriver:
    """Owns one ``Primary`` at most, for as long as this node holds the primary lease's epoch."""

    def __init__(
        self, node_id: str, guard: Guard, settings: LeaseSettings, clock: Callable[[], float]
    ) -> None:
        self._node_id = node_id
        self._guard = guard
        self._settings = settings
        self._clock = clock
        self._primary: Primary | None = None
        self._links: dict[int, Link] = {}
        self._next_link = 1
        self._ready: dict[Position, tuple[asyncio.Future[None], float]] = {}
        """What waits for fences, and since when."""
        self.fence_waits = Latencies()
        """Of fences that got ready: how long that took."""
        self.observer: WriteObserver | None = None
        self.on_eased: Callable[[], None] = lambda: None
        """Called when a write was settled or a replica was heard of: it may be what the end of the
        epoch waits for."""
        self.on_deadline: Callable[[float], None] = lambda when: None
        """Called with the time at which ``tick`` has something to do, when that may be earlier."""

    # -- epochs -----------------------------------------------------------------------------

    @property
    def primary(self) -> Primary | None:
        return self._primary

    def begin_epoch(
        self, epoch: int, members: frozenset[str], *, reset: bool, lease_until: float
    ) -> None:
        former = self._primary
        self.end_epoch("a new epoch begins here")
        self._primary = Primary(
            self._node_id,
            epoch,
            members,
            self._guard,
            self._settings,
            reset=reset,
            lease_until=lease_until,
            now=self._clock(),
            former=former.replicas if former is not None else None,
        )
        self.on_deadline(self.deadline())
        log.info("epoch begins", epoch=epoch, reset=reset, members=sorted(members))

    def renewed(self, until: float) -> None:
        if self._primary is not None:
            self._primary.renewed(until, self._clock())

    def lapsed(self) -> None:
        if self._primary is not None:
            self._primary.lapsed(self._clock())

    def end_epoch(self, reason: str) -> None:
        primary, self._primary = self._primary, None
        if primary is None:
            return
        primary.close(self._clock())
        for link in self._links.values():
            link.close(reason)
        for future, _ in self._ready.values():
            if not future.done():
                future.set_exception(EpochOver(reason))
        self._ready.clear()
        self._observe(lambda observer: observer.epoch_over())

    @property
    def links(self) -> int:
        return len(self._links)

    def tick(self) -> None:
        if self._primary is not None:
            self._run(self._primary.tick(self._clock()))

    def deadline(self) -> float:
        """As ``Primary.deadline``."""
        return inf if self._primary is None else self._primary.deadline(self._clock())

    # -- writes -----------------------------------------------------------------------------

    def begin(
        self, primary: Primary, keys: Sequence[Key], effects: Sequence[Effect | None] = ()
    ) -> tuple[Position, asyncio.Future[None]]:
        """Fences ``keys``. The future is done when the write may be sent, or fails with EpochOver.

        ``effects`` are as ``Primary.begin`` takes them.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if primary is not self._primary:
            raise EpochOver("the epoch ended")
        now = self._clock()
        fence, actions = primary.begin(keys, now, effects)
        self._ready[fence] = future, now
        if self.observer is not None:
            self._observe(lambda observer: observer.fenced(fence, keys, effects))
        self._run(actions)
        return fence, future

    def may_send(self, primary: Primary, fence: Position) -> bool:
        """As ``Primary.may_send``, now."""
        return primary.may_send(fence, self._clock())

    def settle(
        self,
        primary: Primary,
        fence: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
    ) -> bool:
        """Ends a fence. Returns False if the write is orphaned (its lease lapsed, its epoch is
        over)."""
        waited = self._ready.pop(fence, None)
        if waited is not None:
            waited[0].cancel()
        if primary is not self._primary:
            return False
        now = self._clock()
        orphaned = primary.orphaned(fence, now)
        if self.observer is not None:
            clear = outcome is Outcome.SUCCESS and not orphaned
            allowed = self._guard.images_allowed(fence, images, now) if clear else ()
            self._observe(lambda observer: observer.settled(fence, allowed))
        self._run(primary.settle(fence, outcome, images, now))
        self.on_eased()
        return not orphaned

    def _observe(self, tell: Callable[[WriteObserver], None]) -> None:
        """Tells the observers. No write may depend on them."""
        if self.observer is None:
            return
        try:
            tell(self.observer)
        except Exception:
            log.exception("the observer of writes failed")

    def flush(self, table: str | None) -> None:
        """Voids what every node has cached of ``table``. Raises EpochOver when not the primary."""
        if self._primary is None:
            raise EpochOver("not the primary")
        self._run(self._primary.flush(table, self._clock()))

    def _run(self, actions: Sequence[Action]) -> None:
        last: PrimaryMessage | None = None
        packed: Packed | None = None
        for action in actions:
            match action:
                case Send(link=link_id, message=message):
                    link = self._links.get(link_id)
                    if link is None:
                        continue
                    if not link.packs:
                        link.put(message)
                        continue
                    if message is not last:
                        last, packed = message, packing.packed(message)
                    link.put(message if packed is None else packed)
                case Ready(fence=fence):
                    waited = self._ready.pop(fence, None)
                    if waited is not None and not waited[0].done():
                        self.fence_waits.add((), self._clock() - waited[1])
                        waited[0].set_result(None)
                case Close(link=link_id, reason=reason):
                    link = self._links.get(link_id)
                    if link is not None:
                        link.close(reason)

    # -- links ------------------------------------------------------------------------------

    async def serve(self, context: Any, caller: str | None) -> None:
        """One replica's stream, from its Subscribe to its end. ``caller``: the node that its
        certificate names; nobody subscribes for another one. ``context``: gRPC's, read and
        written directly, since it leaves asynchronous generators of a broken call to the garbage
        collector, and with them the end of the link.

        No deadline: a link lives as long as the epoch; a dead peer is found by gRPC keepalive,
        and costs a fence only until its read lease has run out.
        """
        primary = self._primary
        if primary is None:
            await context.write(_refused("not the primary"))
            return
        link = Link(self._next_link)
        self._next_link += 1
        self._links[link.id] = link
        reader = asyncio.create_task(self._read(primary, link, context, caller))
        try:
            while True:
                await link.wake.wait()
                link.wake.clear()
                while link.backlog:
                    if primary.open_writes > 1:
                        await gathered(link.waiting)
                    if link.backlog:
                        await context.write(link.next_frame())
                if link.denied:
                    await context.abort(grpc.StatusCode.PERMISSION_DENIED, link.closed)
                if link.closed is not None:
                    await context.write(_refused(link.closed))
                    return
        finally:
            del self._links[link.id]
            primary.unlinked(link.id, self._clock())
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, primary: Primary, link: Link, context: Any, caller: str | None) -> None:
        reason = "the replica closed the stream"
        try:
            while (frame := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                for item in frame.messages:
                    if primary is not self._primary:
                        reason = "the epoch ended"
                        return
                    message = wire.replica_message_back(item)
                    if isinstance(message, Subscribe):
                        if message.node_id != caller:
                            link.denied = True
                            reason = f"{caller} subscribes as {message.node_id}"
                            return
                        link.packs = item.subscribe.reads_packed
                    self._receive(primary, link, message)
        except ProtocolError as error:
            reason = str(error)
        finally:
            link.close(reason)

    def _receive(self, primary: Primary, link: Link, message: ReplicaMessage) -> None:
        now = self._clock()
        if isinstance(message, Subscribe):
            if message.epoch != primary.epoch:
                link.close(f"epoch {message.epoch} is not the current one")
                return
            self._run(primary.subscribed(link.id, message, now))
        else:
            self._run(primary.received(link.id, message, now))
            if not isinstance(message, Ack):
                self.on_deadline(primary.deadline(now))
                self.on_eased()


def _refused(reason: str) -> pb.PrimaryFrame:
    return pb.PrimaryFrame(messages=[pb.PrimaryMessage(refused=pb.Refused(reason=reason))])


def _payload_bytes(message: PrimaryMessage) -> int:
    match message:
        case Fence(keys=keys, effects=effects):
            return sum(len(table) + len(key) for table, key in keys) + effects_bytes(effects)
        case Settle(images=images):
            return sum(len(image.item) for image in images if image is not None and image.item)
    return 0
