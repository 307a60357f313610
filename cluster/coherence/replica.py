"""A replica's half of the coherence protocol."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.coherence.guard import NEVER, Guard
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    Flush,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    LogMessage,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.primary import LeaseTimes

RENEW_SHARE = 4
"""A lease is asked for this many times within its length, so that lost replies do not end it."""

REQUESTS_MAX = 64
"""Requests remembered while unanswered; older ones are void."""


@dataclass(frozen=True, slots=True)
class ToPrimary:
    message: ReplicaMessage


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The stream cannot be trusted any more: open a new link."""

    reason: str


Action = ToPrimary | Resubscribe


class Replica:
    """Applies the primary's stream in order, and asks for read leases on it.

    Invariant: the caches reflect exactly the messages up to ``position``; a lease counts from when
    it was asked for, and only once everything before its reply is applied.
    """

    def __init__(self, node_id: str, incarnation: str, guard: Guard, settings: LeaseTimes) -> None:
        self._node_id = node_id
        self._incarnation = incarnation
        self._guard = guard
        self._settings = settings
        self.position: Position | None = None
        self.lag: int | None = None
        self._epoch = 0
        self._linked = False
        self._welcomed = False
        self._next_request = 1
        self._asked: dict[int, float] = {}
        self._ask_at = NEVER

    def connect(self, epoch: int, now: float) -> list[Action]:
        """A new stream to the primary of ``epoch`` is open."""
        self._epoch = epoch
        self._linked = True
        self._welcomed = False
        self._asked.clear()
        return [ToPrimary(Subscribe(self._node_id, self._incarnation, epoch, self.position))]

    def disconnected(self, now: float) -> None:
        """The lease goes on until it runs out: the primary waits for it."""
        self._linked = False
        self._welcomed = False
        self._asked.clear()

    def received(self, message: PrimaryMessage, now: float) -> list[Action]:
        if not self._linked:
            return []
        if message.position.epoch != self._epoch:
            return self._lost(f"a message of epoch {message.position.epoch}")
        match message:
            case Welcome():
                return self._welcome(message, now)
            case LeaseReply():
                return self._leased(message, now)
            case _:
                return self._apply(message, now)

    def _welcome(self, message: Welcome, now: float) -> list[Action]:
        if message.reset:
            self._guard.reset(message.fences, message.unknown, message.all_unknown, now)
            self.position = message.position
        elif self.position != message.position:
            return self._lost(f"welcomed at {message.position}, level with {self.position}")
        else:
            self._guard.join(message.fences, message.unknown, message.all_unknown, now)
        self._welcomed = True
        self.lag = 0
        return [ToPrimary(Ack(message.position)), *self._ask(now)]

    def _apply(self, message: LogMessage, now: float) -> list[Action]:
        position = self.position
        if position is None or position.epoch != message.position.epoch:
            return self._lost(f"{message.position} after {position}")
        if message.position.sequence <= position.sequence:
            return []  # doubled
        if message.position.sequence != position.sequence + 1:
            return self._lost(f"{message.position} after {position}: a message is missing")
        match message:
            case Fence(position=fence, keys=keys):
                self._guard.fence(fence, keys, now)
            case Settle(fence=fence, outcome=outcome, images=images):
                self._guard.settle(fence, outcome, images, now)
            case Flush(table=table):
                self._guard.flush(table, now)
            case Begin():
                return self._lost("an epoch began twice")
        self.position = message.position
        if isinstance(message, Fence) and self._welcomed:
            return [ToPrimary(Ack(message.position))]
        return []

    def _leased(self, reply: LeaseReply, now: float) -> list[Action]:
        asked = self._asked.pop(reply.id, None)
        if asked is None or not self._welcomed:
            return []
        if self.position is None or reply.position > self.position:
            return self._lost(f"the primary is at {reply.position}, this node at {self.position}")
        if reply.duration_s > 0:
            until = asked + reply.duration_s * (1 - self._settings.margin)
            self._guard.extend(until, now)
        return []

    def tick(self, now: float) -> list[Action]:
        if not self._welcomed or now < self._ask_at:
            return []
        return self._ask(now)

    def _ask(self, now: float) -> list[Action]:
        request = self._next_request
        self._next_request += 1
        self._asked[request] = now
        while len(self._asked) > REQUESTS_MAX:
            del self._asked[next(iter(self._asked))]
        self._ask_at = now + self._settings.read_s / RENEW_SHARE
        return [ToPrimary(LeaseRequest(request))]

    def hand_back(self, now: float) -> list[Action]:
        """Stop serving; the primary need not wait for this node's lease any more."""
        self._guard.lapse(now)
        self._asked.clear()
        return [ToPrimary(LeaseHandBack())] if self._linked else []

    def _lost(self, reason: str) -> list[Action]:
        self._linked = False
        self._welcomed = False
        self._asked.clear()
        return [Resubscribe(reason)]
