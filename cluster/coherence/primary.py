"""The primary's half of the coherence protocol, for one epoch that this node holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from cluster.coherence.effects import Effect, effects_bytes
from cluster.coherence.guard import NEVER, Guard
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
    ReplicaMessage,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.replicas import LeaseTimes, ReplicaRecord, Replicas
from cluster.coherence.takeover_report import bytes_of, unknown_of
from paceline.errors import NotSent
from paceline.types import Key

OPEN_BYTES_MAX = 2 * 1024 * 1024
"""The most bytes that the keys of all open fences may have: a new subscriber gets them in one
message, and gRPC's limit for one is 4 MiB."""


class Send(NamedTuple):
    link: int
    message: PrimaryMessage


class Ready(NamedTuple):
    """The write of this fence may be sent, if ``may_send`` still says so. Emitted once."""

    fence: Position


@dataclass(frozen=True, slots=True)
class Close:
    """The driver closes this link. What it still brings is ignored."""

    link: int
    reason: str


Action = Send | Ready | Close


@dataclass(slots=True)
class _Write:
    fence: Position
    bytes: int
    lapses: int
    """The number of lapses of the primary lease when the fence began."""
    ready: bool = False
    sent: bool = False


class Primary:
    """Fences writes and gives read leases while this node holds ``epoch``.

    Invariants:

    * A write is ready only when more than half of the epoch's members, this node included, hold
      its fence, and every replica whose read lease may be alive has acknowledged it. (Of two
      members none can take over, so nobody needs to remember the fence, and only leases count.)
    * A read lease never outlives the primary lease that it was given under, is given only to a
      replica that acknowledged its Welcome, and is remembered until it ran out or was handed
      back, whatever becomes of the link.
    * A message is in the log before it is sent, and every link gets messages in the log's order.
    * ``members`` never changes: another set is another epoch.
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
        lease_until: float,
        now: float,
        former: Replicas | None = None,
    ) -> None:
        """``reset``: what the former epoch left behind is not known, so every key is unknown for
        Q. False only for the first epoch of a cluster whose DynamoDB no other cluster has
        written to, after a complete takeover, and when this node was the primary of the epoch
        before: then ``former`` are its replicas."""
        self.epoch = epoch
        self.members = members
        self.closed = False
        self._guard = guard
        self._settings = settings
        self._reset = reset
        self._lease_until = lease_until
        self._lapses = 0
        self._draining = False
        self._paused = False
        self._replicas = Replicas(node_id, members, settings, former)
        self._writes: dict[Position, _Write] = {}
        self._waiting: deque[_Write] = deque()
        """Writes that are not ready, in the order of their fences; some may be settled already."""
        self._open_bytes = 0
        self._log = guard.log
        self._sequence = 0
        if guard.position is not None and guard.position.epoch == epoch:
            # Begun a second time: no position may name two messages, and none of the first time
            # may be one that the log leads on from.
            self._sequence = guard.position.sequence + 2
            self._reset = True
        predecessor = None if self._reset else guard.position
        guard.lapse(now)
        if self._reset:
            guard.reset((), (), True, now)
            guard.log.clear()
        else:
            guard.begin_epoch(now)
        guard.extend(lease_until, now)
        guard.position = self.position
        self._log.append(Begin(self.position, predecessor, self._reset))

    # -- the primary lease ------------------------------------------------------------------

    def renewed(self, until: float, now: float) -> None:
        """The lease was renewed, in this epoch, until ``until`` on this node's clock."""
        if self.closed:
            return
        if not self.holds(now):
            self._lapses += 1  # also when nobody has noticed it
        self._lease_until = max(self._lease_until, until)
        self._guard.extend(until, now)

    def lapsed(self, now: float) -> None:
        """The lease is lost, or given up: writes that are under way are orphaned."""
        if not self.closed:
            self._lease_until = NEVER
            self._guard.lapse(now)

    def holds(self, now: float) -> bool:
        """Whether the primary lease is valid at this moment."""
        return now < self._lease_until

    def close(self, now: float) -> list[Action]:
        """The epoch is over for this node: what was sent and not answered is in doubt."""
        if self.closed:
            return []
        self.closed = True
        self._lease_until = NEVER
        self._guard.lapse(now)
        self._guard.settle_open_as_unknown(now)
        actions: list[Action] = [Close(link, "the epoch is over") for link in self._replicas.links]
        self._replicas.links.clear()
        return actions

    # -- links ------------------------------------------------------------------------------

    def subscribed(self, link: int, message: Subscribe, now: float) -> list[Action]:
        """A link's first message. The log after the subscriber's position, or a reset; then what
        is open and unknown."""
        if self.closed or message.epoch != self.epoch:
            return [Close(link, f"not the primary of epoch {message.epoch}")]
        if link in self._replicas.links:
            return self.drop(link, "subscribed twice", now)
        actions: list[Action] = []
        former = self._replicas.of(message.node_id)
        if former is not None and former.link is not None:
            actions += self.drop(former.link, "the node has subscribed anew", now)
        if not self._replicas.link(link, message.node_id, message.incarnation, self._sequence):
            return [Close(link, "more nodes have subscribed than a cluster can have")]
        missed = self._missed(message.position)
        actions += [Send(link, missing) for missing in missed or ()]
        actions.append(Send(link, self._welcome(missed is None, now)))
        # Its process may have had a lease of this node's epoch before, which it uses no more.
        return actions + self._newly_ready(now)

    def _missed(self, position: Position | None) -> tuple[LogMessage, ...] | None:
        """None: the subscriber is not in this epoch's chain, or the log does not reach back."""
        return None if position is None else self._log.since(position)

    def _welcome(self, reset: bool, now: float) -> Welcome:
        unknown, all_unknown = unknown_of(self._guard, now)
        return Welcome(self.position, reset, self._guard.open_fences(), unknown, all_unknown)

    def unlinked(self, link: int, now: float) -> None:
        """The link is gone. Its replica's lease is not: writes wait until it has run out."""
        self._replicas.unlink(link, now)

    def drop(self, link: int, reason: str, now: float) -> list[Action]:
        """Gives a link up, for instance because its backlog is too long."""
        self.unlinked(link, now)
        return [Close(link, reason)]

    def received(self, link: int, message: ReplicaMessage, now: float) -> list[Action]:
        """A later message of a link, in the order in which the replica sent them."""
        replica = self._replicas.links.get(link)
        if replica is None:
            return [Close(link, "not subscribed")]
        replica.heard_at = now
        match message:
            case Ack(position=position):
                return self._acked(link, replica, position, now)
            case LeaseRequest(id=request):
                return [Send(link, self._lease(replica, request, now))]
            case LeaseHandBack():
                replica.lease_until = NEVER
                return self._newly_ready(now)
        return self.drop(link, "subscribed twice", now)

    def _acked(
        self, link: int, replica: ReplicaRecord, position: Position, now: float
    ) -> list[Action]:
        if position.epoch != self.epoch or position.sequence > self._sequence:
            return self.drop(link, f"acknowledged {position}, which was never sent", now)
        if position.sequence < replica.welcome or position.sequence <= replica.acked:
            return []
        replica.acked = position.sequence
        return self._newly_ready(now)

    def _lease(self, replica: ReplicaRecord, request: int, now: float) -> LeaseReply:
        """The lease ends with the primary's own. The position in the reply reveals a lost
        message."""
        duration_s = 0.0
        if self.holds(now) and not self._draining and self._replicas.may_lease(replica, now):
            duration_s = min(self._settings.read_s, self._lease_until - now)
            replica.lease_until = max(replica.lease_until, now + duration_s)
        return LeaseReply(request, self.position, duration_s, self._guard.rights_revision())

    # -- writes -----------------------------------------------------------------------------

    def begin(
        self, keys: Sequence[Key], now: float, effects: Sequence[Effect | None] = ()
    ) -> tuple[Position, list[Action]]:
        """Fences ``keys`` here, then on the replicas; Ready follows, at once or later.

        ``effects`` aligns with ``keys``, empty: not known; they must hold at this moment.
        Raises NotSent when the lease is not valid, or no more writes can be under way.
        """
        if not self.holds(now):
            raise NotSent(
                "this node's primary lease is not valid now, so the write was not sent; it is"
                " safe to try again"
            )
        if self._paused or (self._draining and not self._replicas.leases_live(now)):
            raise NotSent(
                "this node is ending its epoch, so the write was not sent; it is safe to try again"
            )
        keys = tuple(keys)
        size = bytes_of(keys)
        if self._open_bytes + size > OPEN_BYTES_MAX:
            raise NotSent(
                "too many writes are under way, so this one was not sent; it is safe to try again"
            )
        effects = tuple(effects)
        effects_size = effects_bytes(effects)
        if self._open_bytes + size + effects_size > OPEN_BYTES_MAX:
            effects = ()  # more is invalidated then, but the write need not wait
        else:
            size += effects_size
        fence = self._next()
        self._guard.fence(fence, keys, now, effects)
        write = _Write(fence, size, self._lapses)
        self._writes[fence] = write
        self._open_bytes += size
        self._waiting.append(write)
        self._replicas.fenced(fence.sequence, now)
        actions = self._publish(Fence(fence, keys, effects))
        actions += self._newly_ready(now)
        return fence, actions

    def may_send(self, fence: Position, now: float) -> bool:
        """Asked when the connection to DynamoDB is in hand, right before the write goes out.
        After True the write counts as sent."""
        write = self._writes.get(fence)
        if write is None or not write.ready or not self.holds(now):
            return False
        if write.lapses != self._lapses:
            return False
        write.sent = True
        return True

    def orphaned(self, fence: Position, now: float) -> bool:
        """Whether the lease has lapsed since the fence began (or the fence is not open here):
        then a success must not be told to the client. To be asked before ``settle``."""
        write = self._writes.get(fence)
        return write is None or write.lapses != self._lapses or not self.holds(now)

    def settle(
        self,
        fence: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
        now: float,
    ) -> list[Action]:
        """Ends the write of ``fence``; ``images`` aligns with its keys, empty: none are known.

        An orphaned write settles unknown, unless it certainly was not sent. After ``close``
        nothing is left to settle.
        """
        orphaned = self.orphaned(fence, now)
        write = self._writes.pop(fence, None)
        if write is None or self.closed:
            return []
        self._open_bytes -= write.bytes
        if orphaned and (write.sent or outcome is not Outcome.REJECTED):
            outcome = Outcome.UNKNOWN
        allowed: tuple[Image | None, ...] = ()
        if outcome is Outcome.SUCCESS:
            allowed = self._guard.images_allowed(fence, images, now)
        self._guard.settle(fence, outcome, allowed, now)
        return self._publish(Settle(self._next(), fence, outcome, allowed))

    def flush(self, table: str | None, now: float) -> list[Action]:
        """Everything cached of ``table`` (None: of all tables) is void, here and then elsewhere."""
        if self.closed:
            return []
        self._guard.flush(table, now)
        return self._publish(Flush(self._next(), table))

    def _newly_ready(self, now: float) -> list[Action]:
        waiting = self._waiting
        if not waiting:
            return []
        actions: list[Action] = []
        held = self._replicas.held(self._sequence, now)
        while waiting and waiting[0].fence.sequence <= held:
            write = waiting.popleft()
            if write.fence in self._writes:
                write.ready = True
                actions.append(Ready(write.fence))
        return actions

    def _next(self) -> Position:
        self._sequence += 1
        position = Position(self.epoch, self._sequence)
        self._guard.position = position
        return position

    def _publish(self, message: LogMessage) -> list[Action]:
        self._log.append(message)
        return [Send(link, message) for link in self._replicas.links]

    @property
    def position(self) -> Position:
        """The position of the last message of this epoch's stream."""
        return Position(self.epoch, self._sequence)

    @property
    def open_writes(self) -> int:
        return len(self._writes)

    # -- time and the planned end -----------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """Ends read leases that have run out; the writes that waited for one become ready."""
        if self.closed:
            return []
        self._replicas.tick(now)
        return self._newly_ready(now)

    def deadline(self, now: float) -> float:
        """The time until which ``tick``, having been called at ``now``, has nothing to do, if
        nothing is received meanwhile; infinity: for ever."""
        return inf if self.closed else self._replicas.next_end(now)

    def pause(self, paused: bool) -> None:
        """No write begins while paused: the next epoch, begun here, finds none under way."""
        self._paused = paused

    def cut_off(self, now: float) -> bool:
        """True if too few members could hold a write's fence now."""
        return not self._replicas.majority_linked(now)

    @property
    def replicas(self) -> Replicas:
        """The records of this epoch's replicas, for the next epoch if this node begins it."""
        return self._replicas

    def draining(self, now: float) -> None:
        """The lease is to be released: no more read leases; when all have run out, no more
        writes either."""
        self._draining = True

    def drained(self, now: float) -> bool:
        """True: nobody serves under this epoch and every write is settled; stop believing in the
        lease (``close``) in this same turn, then release it."""
        return self._draining and not self._writes and not self._replicas.leases_live(now)
