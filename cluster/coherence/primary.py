"""The primary's half of the coherence protocol, for one epoch that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cluster.coherence.guard import NEVER, Guard
from cluster.coherence.log import PrimaryLog
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    Flush,
    Image,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    LogMessage,
    Outcome,
    Position,
    PrimaryMessage,
    Settle,
    Subscribe,
    Welcome,
)
from paceline.types import Key


class LeaseTimes(Protocol):
    @property
    def read_s(self) -> float: ...
    @property
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Send:
    link: int
    message: PrimaryMessage


@dataclass(frozen=True, slots=True)
class Ready:
    """The write of this fence may be sent, if ``may_send`` still says so. Emitted once."""

    fence: Position


@dataclass(frozen=True, slots=True)
class Close:
    link: int
    reason: str


Action = Send | Ready | Close


@dataclass(slots=True)
class _Subscriber:
    """A replica with an open link. ``acked``: None until its Welcome is acknowledged."""

    link: int
    node_id: str
    incarnation: str
    welcome: Position
    acked: Position | None = None


@dataclass(slots=True)
class _Write:
    keys: tuple[Key, ...]
    begun: float
    ready: bool = False
    lapses: int = 0
    held: set[str] = field(default_factory=set)
    """Members that hold the fence."""


class Primary:
    """Fences writes and gives out read leases while this node holds ``epoch``.

    Invariants:

    * a write is ready only when more than half of the epoch's members hold its fence and every
      replica whose read lease may be alive has acknowledged it (or that lease has run out);
    * a read lease never outlives the primary lease under which it was given, and is remembered
      until it has run out, whatever happens to the link;
    * a message is in the log before it is sent, and links get messages in the log's order.
    """

    def __init__(
        self,
        node_id: str,
        epoch: int,
        members: frozenset[str],
        guard: Guard,
        settings: LeaseTimes,
        *,
        reset: bool,
        predecessor: Position | None,
        lease_until: float,
        now: float,
    ) -> None:
        self.epoch = epoch
        self.members = members
        self._node_id = node_id
        self._guard = guard
        self._settings = settings
        self._lease_until = lease_until
        self._lapses = 0
        self._closed = False
        self._draining = False
        self._log = PrimaryLog()
        self.position = Position(epoch, 0)
        self._log.append(Begin(self.position, predecessor, reset))
        self._subscribers: dict[int, _Subscriber] = {}
        self._leases: dict[str, float] = {}
        """Node id to when its read lease has surely run out, on this node's clock."""
        self._writes: dict[Position, _Write] = {}
        if reset:
            guard.reset((), (), True, now)
        guard.extend(lease_until, now)

    # -- the primary lease ------------------------------------------------------------------

    def renewed(self, until: float, now: float) -> None:
        self._note_lapse(now)
        self._lease_until = max(self._lease_until, until)
        self._guard.extend(until, now)

    def lapsed(self, now: float) -> None:
        if self._lease_until != NEVER:
            self._lapses += 1
        self._lease_until = NEVER
        self._guard.lapse(now)

    def _note_lapse(self, now: float) -> None:
        if self._lease_until != NEVER and now >= self._lease_until:
            self.lapsed(now)

    def holds(self, now: float) -> bool:
        return not self._closed and now < self._lease_until

    def close(self, now: float) -> None:
        """The epoch is over: what was sent and not answered is in doubt."""
        self._closed = True
        self._guard.settle_open_as_unknown(now)
        self._guard.lapse(now)

    # -- links ------------------------------------------------------------------------------

    def subscribed(self, link: int, message: Subscribe, now: float) -> list[Action]:
        actions: list[Action] = []
        for other in [s for s in self._subscribers.values() if s.node_id == message.node_id]:
            self.unlinked(other.link, now)
            actions.append(Close(other.link, "the node has subscribed anew"))
        missed = self._log.since(message.position) if message.position is not None else None
        self._subscribers[link] = _Subscriber(
            link, message.node_id, message.incarnation, self.position
        )
        for item in missed or ():
            actions.append(Send(link, item))
        actions.append(
            Send(
                link,
                Welcome(
                    self.position,
                    missed is None,
                    self._guard.open_fences(),
                    self._guard.unknown_keys(now),
                    self._guard.all_unknown(now),
                ),
            )
        )
        return actions

    def unlinked(self, link: int, now: float) -> None:
        """The stream is gone. Its read lease is not: writes wait for it to run out."""
        self._subscribers.pop(link, None)

    def received(
        self, link: int, message: Ack | LeaseRequest | LeaseHandBack | Subscribe, now: float
    ) -> list[Action]:
        subscriber = self._subscribers.get(link)
        if subscriber is None:
            return [Close(link, "not subscribed")]
        match message:
            case Ack(position=position):
                return self._acknowledged(subscriber, position, now)
            case LeaseRequest(id=request):
                return [Send(link, self._lease(subscriber, request, now))]
            case LeaseHandBack():
                self._leases.pop(subscriber.node_id, None)
                return self._newly_ready(now)
        return [Close(link, "subscribed twice")]

    def _acknowledged(
        self, subscriber: _Subscriber, position: Position, now: float
    ) -> list[Action]:
        if position.epoch != self.epoch or position > self.position:
            return [Close(subscriber.link, f"acknowledged {position}, which was never sent")]
        if position < subscriber.welcome:
            return []  # catching up: nothing counts before the Welcome is applied
        subscriber.acked = max(subscriber.acked or position, position)
        for fence, write in self._writes.items():
            if fence <= subscriber.acked:
                write.held.add(subscriber.node_id)
        return self._newly_ready(now)

    def _lease(self, subscriber: _Subscriber, request: int, now: float) -> LeaseReply:
        self._note_lapse(now)
        duration_s = 0.0
        if (
            self.holds(now)
            and not self._draining
            and subscriber.acked is not None
            and not self._leaves_a_fence(subscriber, now)
        ):
            duration_s = min(self._settings.read_s, self._lease_until - now)
            until = now + duration_s
            self._leases[subscriber.node_id] = max(
                self._leases.get(subscriber.node_id, NEVER), until
            )
        return LeaseReply(request, self.position, duration_s)

    def _leaves_a_fence(self, subscriber: _Subscriber, now: float) -> bool:
        """A hung replica must not block writes for ever."""
        return any(
            subscriber.node_id not in write.held and now - write.begun > self._settings.read_s
            for write in self._writes.values()
            if not write.ready
        )

    # -- writes -----------------------------------------------------------------------------

    def begin(self, keys: Sequence[Key], now: float) -> tuple[Position, list[Action]]:
        """Fences ``keys`` here and on the replicas; Ready follows, at once or later."""
        fence = self._next()
        unique = tuple(keys)
        self._guard.fence(fence, unique, now)
        self._note_lapse(now)
        self._writes[fence] = _Write(unique, now, lapses=self._lapses, held={self._node_id})
        actions = self._publish(Fence(fence, unique))
        return fence, actions + self._newly_ready(now)

    def may_send(self, fence: Position, now: float) -> bool:
        """Asked when the connection to DynamoDB is in hand."""
        self._note_lapse(now)
        write = self._writes.get(fence)
        return (
            write is not None and write.ready and write.lapses == self._lapses and self.holds(now)
        )

    def orphaned(self, fence: Position, now: float) -> bool:
        """The lease was not held without a break since the fence began."""
        self._note_lapse(now)
        write = self._writes.get(fence)
        return write is None or self._closed or write.lapses != self._lapses

    def settle(
        self,
        fence: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
        now: float,
    ) -> list[Action]:
        """Ends the write of ``fence``. A success whose lease lapsed meanwhile settles unknown."""
        orphaned = self.orphaned(fence, now)
        if self._writes.pop(fence, None) is None or self._closed:
            return []
        if orphaned and outcome is Outcome.SUCCESS:
            outcome = Outcome.UNKNOWN
        sent: tuple[Image | None, ...] = (None,) * len(images)
        if outcome is Outcome.SUCCESS:
            sent = self._guard.installable(fence, images, now)
        self._guard.settle(fence, outcome, sent, now)
        return self._publish(Settle(self._next(), fence, outcome, sent)) + self._newly_ready(now)

    def flush(self, table: str | None, now: float) -> list[Action]:
        self._guard.flush(table, now)
        return self._publish(Flush(self._next(), table))

    def _newly_ready(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for fence, write in self._writes.items():
            if not write.ready and self._is_ready(write, now):
                write.ready = True
                actions.append(Ready(fence))
        return actions

    def _is_ready(self, write: _Write, now: float) -> bool:
        if any(
            now < until and node_id not in write.held for node_id, until in self._leases.items()
        ):
            return False
        if len(self.members) <= 2:
            return True  # no failover, every epoch begins with Reset: nobody needs to remember
        return 2 * len(write.held & self.members) > len(self.members)

    def _next(self) -> Position:
        self.position = Position(self.epoch, self.position.sequence + 1)
        return self.position

    def _publish(self, message: LogMessage) -> list[Action]:
        self._log.append(message)
        return [Send(link, message) for link in self._subscribers]

    # -- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        self._note_lapse(now)
        for node_id in [n for n, until in self._leases.items() if now >= until]:
            del self._leases[node_id]
        return self._newly_ready(now) if self._writes else []

    def drain(self) -> None:
        """No more read leases: the primary lease is to be released."""
        self._draining = True

    def drained(self, now: float) -> bool:
        """All writes settled, and every read lease handed back or run out."""
        return not self._writes and all(now >= until for until in self._leases.values())
