"""A replica's half of the coherence protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from cluster.coherence.guard import NEVER, Guard
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    LogMessage,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Subscribe,
    Welcome,
)
from cluster.coherence.replicas import LeaseTimes
from cluster.coherence.takeover_report import follows, reflect

REQUESTS_PER_LEASE = 3
"""The number of lease requests within a lease's usable length, so that two replies may be late."""

REQUESTS_MAX = 8
"""The most unanswered requests that are kept. The reply to an older one would be worth nothing."""

SILENT_LEASES = 5.0
"""A link that brings neither its Welcome nor any reply to a lease request for so many read leases
is dead, whatever the transport says."""


class ToPrimary(NamedTuple):
    message: ReplicaMessage


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The stream cannot be trusted any more: open a new link and ``connect`` again."""

    reason: str


Action = ToPrimary | Resubscribe


class Replica:
    """Applies the primary's stream in order, and asks for read leases on it. One per process.

    Invariants:

    * The caches reflect exactly the messages up to ``position``. A message whose predecessor is
      not applied is never applied; a new link makes good what is missing.
    * A lease counts from when it was asked for, on the link that it was asked on, and only once
      the position named by its reply is applied, and the rights that the primary goes by are
      this node's, too.
    * Nothing is acknowledged on a link before its Welcome is applied.
    """

    def __init__(self, node_id: str, incarnation: str, guard: Guard, settings: LeaseTimes) -> None:
        self._node_id = node_id
        self._incarnation = incarnation
        self._guard = guard
        self._settings = settings
        self._epoch = 0
        self._linked = False
        self._welcomed = False
        self._wanted = True
        self._broken = False
        """The stream here leads nowhere, so only a reset helps. It is kept until then, since
        another new primary may have to ask for it."""
        self.level_at = NEVER
        """Whatever the primary knew by then of who may do what, this node knows."""
        self._last_request = 0
        self._asked: dict[int, float] = {}
        """Request id to the time when it was sent."""
        self._ask_at = NEVER
        self._silent_at = NEVER

    @property
    def position(self) -> Position | None:
        """The position of the last message applied, or published by this node as a primary."""
        return self._guard.position

    @property
    def writes_open(self) -> int:
        """The number of fences here that are not settled."""
        return self._guard.writes_open

    @property
    def lag(self) -> int | None:
        """The number of messages known to be missing: 0 while level, None while not."""
        return 0 if self._welcomed else None

    # -- the link ---------------------------------------------------------------------------

    def connect(self, epoch: int, now: float) -> list[Action]:
        """Begins a new stream to the primary of ``epoch``. Nothing of an older stream may be passed
        to ``received`` from now on."""
        position = self._guard.position
        if epoch != self._epoch:
            # The lease was another epoch's, whose primary waits for it no more.
            self._guard.lapse(now)
        self._epoch = epoch
        self._unlink()
        if position is not None and position.epoch > epoch:
            return [Resubscribe(f"epoch {epoch} is over, this node has seen {position.epoch}")]
        self._linked = True
        self._silent_at = now + SILENT_LEASES * self._settings.read_s
        known = None if self._broken else position
        actions: list[Action] = [
            ToPrimary(Subscribe(self._node_id, self._incarnation, epoch, known))
        ]
        if not self._wanted:
            actions.append(ToPrimary(LeaseHandBack()))  # the one before was lost, maybe
        return actions

    def disconnected(self, now: float) -> None:
        """The link is gone. The read lease goes on until it runs out: the primary waits for it."""
        self._unlink()

    def _unlink(self) -> None:
        self._linked = False
        self._welcomed = False
        self._asked.clear()

    def _lost(self, reason: str) -> list[Action]:
        self._unlink()
        return [Resubscribe(reason)]

    # -- the stream -------------------------------------------------------------------------

    def received_all(self, messages: Sequence[PrimaryMessage], now: float) -> list[Action]:
        """Takes messages that arrived together: as ``received``, with one acknowledgement for
        all."""
        actions: list[Action] = []
        ack: Action | None = None
        for message in messages:
            for action in self.received(message, now):
                if isinstance(action, ToPrimary) and isinstance(action.message, Ack):
                    ack = action
                else:
                    actions.append(action)
            if not self._linked:
                return actions
        return actions if ack is None else [ack, *actions]

    def received(self, message: PrimaryMessage, now: float) -> list[Action]:
        """Takes one message of the current link, in the order of arrival."""
        if not self._linked:
            return []
        if message.position.epoch > self._epoch:
            return self._lost(f"a message of epoch {message.position.epoch}")
        if isinstance(message, Welcome | LeaseReply):
            if message.position.epoch < self._epoch:
                return []
            if isinstance(message, Welcome):
                return self._welcome(message, now)
            return self._leased(message, now)
        return self._apply(message, now)

    def _welcome(self, welcome: Welcome, now: float) -> list[Action]:
        if self._welcomed:
            return []  # doubled; it would take the fences back to what they were
        if welcome.reset:
            self._guard.reset(welcome.fences, welcome.unknown, welcome.all_unknown, now)
            self._guard.log.clear()
            self._guard.position = welcome.position
            self._broken = False
        elif self._guard.position != welcome.position:
            return self._lost(f"welcomed at {welcome.position}, level with {self.position}")
        else:
            self._guard.join(welcome.fences, welcome.unknown, welcome.all_unknown, now)
        self._welcomed = True
        self._silent_at = now + SILENT_LEASES * self._settings.read_s
        return [ToPrimary(Ack(welcome.position)), *self._ask(now)]

    def _apply(self, message: LogMessage, now: float) -> list[Action]:
        """Applies a log message. Before the Welcome it may be of an older epoch: the missed
        tail."""
        position = self._guard.position
        if isinstance(message, Begin):
            return self._begin(message, now)
        if position is None or message.position <= position:
            return []  # doubled, or overtook the Welcome, whose reset makes it good
        if not follows(position, message):
            if not self._welcomed and position.epoch < self._epoch == message.position.epoch:
                return []  # overtook the Welcome, which resets or shows that messages are gone
            return self._lost(f"{message.position} after {position}: a message is missing")
        reflect(self._guard, message, now)
        # Only fences are waited for; the rest is acknowledged with the next of them.
        if isinstance(message, Fence) and self._welcomed:
            return [ToPrimary(Ack(message.position))]
        return []

    def _begin(self, begin: Begin, now: float) -> list[Action]:
        """An epoch counts here only if its chain leads on from where this node is."""
        position = self._guard.position
        if position is not None and position >= begin.position:
            return []  # doubled
        if position is None or not follows(position, begin):
            self._broken = True
            return self._lost(f"epoch {begin.position.epoch} does not follow what is known here")
        reflect(self._guard, begin, now)
        return []

    # -- read leases ------------------------------------------------------------------------

    def _leased(self, reply: LeaseReply, now: float) -> list[Action]:
        asked = self._asked.pop(reply.id, None)
        position = self._guard.position
        if asked is None or position is None:
            return []
        self._silent_at = now + SILENT_LEASES * self._settings.read_s
        if reply.position > position:
            return self._lost(f"the primary is at {reply.position}, this node at {position}")
        if reply.rights_revision > self._guard.rights_revision():
            return []  # who may not read any more would still be answered; the next may be in time
        if reply.duration_s > 0:
            self.level_at = max(self.level_at, asked)
        self._guard.extend(asked + reply.duration_s * (1 - self._settings.margin), now)
        return []

    def _ask(self, now: float) -> list[Action]:
        if not self._wanted:
            return []
        self._last_request += 1
        self._asked[self._last_request] = now
        if len(self._asked) > REQUESTS_MAX:
            del self._asked[next(iter(self._asked))]
        usable_s = self._settings.read_s * (1 - self._settings.margin)
        self._ask_at = now + usable_s / REQUESTS_PER_LEASE
        return [ToPrimary(LeaseRequest(self._last_request))]

    def hand_back(self, now: float) -> list[Action]:
        """Stops serving for good, on later links too, since the process is about to end. The
        primary need not wait for this node, which goes on holding fences."""
        self._guard.lapse(now)
        self._asked.clear()
        self._wanted = False
        return [ToPrimary(LeaseHandBack())] if self._linked else []

    # -- time -------------------------------------------------------------------------------

    def deadline(self) -> float:
        """The time until which ``tick`` has nothing to do, if nothing is received meanwhile;
        infinity: for ever."""
        if not self._linked:
            return inf
        silent_at = self._silent_at if self._wanted or not self._welcomed else inf
        return min(silent_at, self._ask_at if self._welcomed and self._wanted else inf)

    def tick(self, now: float) -> list[Action]:
        """Asks for the lease in time, and gives up a link that stays silent."""
        if not self._linked:
            return []
        if now >= self._silent_at and (self._wanted or not self._welcomed):
            return self._lost("the primary does not answer on this link")
        return self._ask(now) if self._welcomed and now >= self._ask_at else []
