"""Records what a primary knows of its replicas: links, acknowledgements, read leases."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Protocol

from cluster.coherence.guard import NEVER

REPLICAS_MAX = 64
"""The most nodes recorded. A cluster has at most eleven; more are nodes that come and go."""

MARKS_PER_LEASE = 8
"""Resolution with which the age of unacknowledged fences is known, in parts of a read lease."""


class LeaseTimes(Protocol):
    """Durations of the protocol; every node of a cluster has the same ones."""

    @property
    def read_s(self) -> float: ...
    @property
    def margin(self) -> float: ...


HEARD_LEASES = 2.0
"""A link that brought nothing for this many read leases may well be dead."""


@dataclass(slots=True)
class ReplicaRecord:
    """One incarnation of another node. Outlives its links while it holds a lease or a fence."""

    node_id: str
    incarnation: str
    member: bool
    link: int | None = None
    welcome: int = 0
    """Sequence of the Welcome on this link; acknowledged with ``acked >= welcome``."""
    acked: int = -1
    """Every fence up to here is held by this node; with a new link, -1 until its Welcome is
    acknowledged."""
    lease_until: float = NEVER
    """On this node's clock; counted from when the request was received, so never too short."""
    heard_at: float = NEVER
    """The time of the link's last message."""


class Replicas:
    """All replicas of one epoch.

    Invariants:

    * A read lease is on record until it ran out or was handed back, through link breaks and also
      when its holder was restarted.
    * Acknowledgements are cumulative, so one sequence says for all fences who holds them.
    """

    def __init__(
        self,
        node_id: str,
        members: frozenset[str],
        settings: LeaseTimes,
        former: Replicas | None = None,
    ) -> None:
        """``former``: the record of this node's own epoch before this one, whose read leases may
        live."""
        self._members = members
        self._acks_needed = _acks_needed(node_id, members)
        self._read_s = settings.read_s
        self._nodes: dict[str, ReplicaRecord] = {}
        self.links: dict[int, ReplicaRecord] = {}
        self._forgotten_until: float = former._forgotten_until if former is not None else NEVER
        """The time when the leases of all replaced processes have run out, of this node's epochs
        before this one, too."""
        self._marks: deque[tuple[float, int]] = deque()
        """(time, sequence of the last fence at about that time), one lease back."""
        self._former: dict[tuple[str, str], float] = former._live() if former is not None else {}
        """(node, incarnation) to the end of a lease that this node gave in its epoch before. A
        process that subscribes in this epoch uses it no more."""

    def _live(self) -> dict[tuple[str, str], float]:
        given = {
            (replica.node_id, replica.incarnation): replica.lease_until
            for replica in self._nodes.values()
        }
        return {**self._former, **given}

    # -- links ------------------------------------------------------------------------------

    def of(self, node_id: str) -> ReplicaRecord | None:
        return self._nodes.get(node_id)

    def link(self, link: int, node_id: str, incarnation: str, welcome: int) -> bool:
        """Opens ``link``, whose Welcome is at sequence ``welcome``. False: too many nodes."""
        replica = self._nodes.get(node_id)
        if replica is None or replica.incarnation != incarnation:
            if replica is not None:
                self._forgotten_until = max(self._forgotten_until, replica.lease_until)
            elif len(self._nodes) >= REPLICAS_MAX:
                return False
            replica = ReplicaRecord(node_id, incarnation, node_id in self._members)
            self._nodes[node_id] = replica
        self._former.pop((node_id, incarnation), None)
        replica.link = link
        replica.welcome = welcome
        replica.acked = -1
        self.links[link] = replica
        return True

    def unlink(self, link: int, now: float) -> None:
        replica = self.links.pop(link, None)
        if replica is not None:
            replica.link = None
            self._forget(replica, now)

    def _forget(self, replica: ReplicaRecord, now: float) -> None:
        """Drops the record if nothing needs it. A member's stays: it still holds the fences."""
        if replica.link is None and now >= replica.lease_until and not replica.member:
            del self._nodes[replica.node_id]

    # -- fences -----------------------------------------------------------------------------

    def fenced(self, sequence: int, now: float) -> None:
        """Notes that a fence was sent to all links."""
        marks = self._marks
        if marks and now - marks[-1][0] < self._read_s / MARKS_PER_LEASE:
            marks[-1] = (marks[-1][0], sequence)
        else:
            marks.append((now, sequence))
            self._overdue(now)

    def _overdue(self, now: float) -> int:
        """The sequence of the last fence that is about a read lease old; -1: there is none."""
        marks = self._marks
        old = now - self._read_s
        while len(marks) > 1 and marks[1][0] <= old:
            marks.popleft()
        return marks[0][1] if marks and marks[0][0] <= old else -1

    def held(self, sequence: int, now: float) -> int:
        """Fences up to the answer, at most ``sequence``, are held by all who have to hold them:
        by a majority, and by everyone whose read lease may be alive."""
        if now < self._forgotten_until or self._former_live(now):
            return -1
        held = sequence
        if self._acks_needed:
            acks = [replica.acked for replica in self._nodes.values() if replica.member]
            if len(acks) < self._acks_needed:
                return -1
            acks.sort(reverse=True)
            held = acks[self._acks_needed - 1]
        for replica in self._nodes.values():
            if replica.acked < held and now < replica.lease_until:
                held = replica.acked
        return held

    def majority_linked(self, now: float) -> bool:
        """Whether enough members are linked, and were heard of lately, to hold the next fence.
        A replica asks for its lease several times in the length of one."""
        silent = now - HEARD_LEASES * self._read_s
        level = sum(replica.member and replica.heard_at > silent for replica in self.links.values())
        return level >= self._acks_needed

    # -- read leases ------------------------------------------------------------------------

    def may_lease(self, replica: ReplicaRecord, now: float) -> bool:
        """True once the Welcome is acknowledged, unless the replica leaves a fence unacknowledged
        for about a lease: a hung one would block writes for ever."""
        return replica.acked >= replica.welcome and replica.acked >= self._overdue(now)

    def leases_live(self, now: float) -> bool:
        return now < self.leases_until()

    def leases_until(self) -> float:
        """The time at which ``leases_live`` is over if no lease is given or handed back."""
        return max(self._lease_ends())

    def next_end(self, now: float) -> float:
        """The time of the next end of a lease after ``now``; infinity: none is known."""
        return min((end for end in self._lease_ends() if end > now), default=inf)

    def _lease_ends(self) -> Iterator[float]:
        yield self._forgotten_until
        yield from self._former.values()
        yield from (replica.lease_until for replica in self._nodes.values())

    def _former_live(self, now: float) -> bool:
        return any(now < until for until in self._former.values())

    def tick(self, now: float) -> None:
        for replica in list(self._nodes.values()):
            if now >= replica.lease_until:
                replica.lease_until = NEVER
                self._forget(replica, now)
        if not self._former_live(now):
            self._former.clear()


def _acks_needed(node_id: str, members: frozenset[str]) -> int:
    """How many other members must hold a fence. Of two members none can take over from the other,
    so no fence has to be remembered: only leases count."""
    if len(members) == 2:
        return 0
    return len(members) // 2 + 1 - (node_id in members)
