"""What travels on the link between the primary and a replica, and what their caches are asked.

Messages with a ``position`` form one totally ordered log per epoch: (epoch, 0) is ``Begin``.
``Welcome`` and ``LeaseReply`` are addressed to one replica and carry the position that the log
had reached when they were sent; they take no position of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.queries import Change
from paceline.types import Key

WHOLE = b""
"""Stands in a key for every item of its table; no item has an empty key. A write whose keys are not
known fences ``(table, WHOLE)``."""


class Position(NamedTuple):
    """Place of a message in the stream, ordered. A tuple since every write hashes and compares
    several of them."""

    epoch: int
    sequence: int


class Outcome(Enum):
    """How a write ended, as far as its primary knows."""

    SUCCESS = "success"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Image(NamedTuple):
    """What a successful write left under its key: DAX item form, or None for 'no such item'."""

    item: bytes | None


@dataclass(frozen=True, slots=True)
class Begin:
    """First message of an epoch; ``predecessor`` is the last position of the epoch before it."""

    position: Position
    predecessor: Position | None
    reset: bool


class Fence(NamedTuple):
    """A write to ``keys`` is under way until a Settle names ``position``.

    ``effects`` aligns with ``keys``; None, or empty as a whole: not known.
    """

    position: Position
    keys: tuple[Key, ...]
    effects: tuple[Effect | None, ...] = ()


class Settle(NamedTuple):
    """The write of ``fence`` ended. ``images`` aligns with the fence's keys; None: not known."""

    position: Position
    fence: Position
    outcome: Outcome
    images: tuple[Image | None, ...]


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything cached of ``table`` (None: of all tables) is void."""

    position: Position
    table: str | None


LogMessage = Begin | Fence | Settle | Flush


@dataclass(frozen=True, slots=True)
class Welcome:
    """Ends a subscription's catch-up: from here on the replica is level with ``position``.

    With ``reset`` the replica empties its caches and replaces all fences and quarantines by
    the ones given here; without, it adds these to its own.
    """

    position: Position
    reset: bool
    fences: tuple[Fence, ...]
    unknown: tuple[Key, ...]
    all_unknown: bool


@dataclass(frozen=True, slots=True)
class LeaseReply:
    """A read lease of ``duration_s`` seconds, or 0 when none can be given now.

    ``rights_revision``: of who may do what, as the replicated log has it, by which the primary
    goes. A replica that goes by an older one must not use the lease yet.
    """

    id: int
    position: Position
    duration_s: float
    rights_revision: int = 0


PrimaryMessage = LogMessage | Welcome | LeaseReply


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Opens a link. ``position``: the last one applied, None if there is none."""

    node_id: str
    incarnation: str
    epoch: int
    position: Position | None


class Ack(NamedTuple):
    """Everything up to ``position`` is applied, a Welcome that named it included."""

    position: Position


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    id: int


@dataclass(frozen=True, slots=True)
class LeaseHandBack:
    """The replica has stopped answering from its cache under any lease given so far.

    Needs a link that keeps the order of what the replica sends: one that arrived after a later
    LeaseRequest would end the wrong lease.
    """


ReplicaMessage = Subscribe | Ack | LeaseRequest | LeaseHandBack


class Caches(Protocol):
    """A node's caches as the coherence protocol drives them. Pure memory: no call waits.

    A fence *parks* an entry: it cannot be hit any more, but is kept aside so that a write that
    changed nothing can *restore* it. Queries and scans that it can change are dropped for good.
    """

    def park(self, key: Key) -> None: ...
    def restore(self, key: Key) -> None:
        """Puts the parked entry back, if there still is one."""

    def discard(self, key: Key) -> None:
        """Drops the entry and its parked form."""

    def install(self, key: Key, image: Image, now: float) -> None:
        """Replaces whatever is there, parked or not, by ``image``."""

    def change(self, key: Key, effect: Effect | None) -> Change:
        """What a write of ``key`` can change in queries, as far as this node can tell."""

    def drop_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        """Drops the results that lie at ``touches``; None: all that writes matter to."""

    def clear(self, table: str | None) -> None:
        """Empties all caches, parked entries included, of one table or of all."""
