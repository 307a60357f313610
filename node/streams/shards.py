"""The shards of one stream, and where each is to be read next. Pure.

A shard takes records for some hours, then it is closed and has one or more children; its records
are trimmed after 24 hours. Source: "Change data capture for DynamoDB Streams" in the DynamoDB
developer guide, and the API reference of DescribeStream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NEVER = float("-inf")

LATEST = "LATEST"
"""Position: from now on, nothing has been read yet. What came before must be made up for."""
TRIM_HORIZON = "TRIM_HORIZON"
"""Position: from the shard's first record on, nothing has been read yet."""
END = "END"
"""Position: closed, and read to its end."""
# Any other position is the sequence number of the last record that all nodes know of.

WITHOUT_RECORDS = frozenset({LATEST, TRIM_HORIZON, END})
"""Positions that do not show whether records behind them were trimmed before they were read."""


@dataclass(frozen=True, slots=True)
class ShardDescription:
    """A shard as DescribeStream lists it."""

    id: str
    parent: str | None
    closed: bool


@dataclass(slots=True)
class Shard:
    id: str
    position: str
    parent: str | None = None
    iterator: str | None = None
    """Where to read on, while the service remembers it (15 minutes)."""
    begun: bool = False
    """True once the service has answered from ``position``, or from a later one."""
    busy: bool = False
    """True while a question or an invalidation of this shard is under way."""
    due_at: float = NEVER
    failures: int = 0
    """The number of failures in a row."""
    silences: int = 0
    """The number of failures in a row that were no throttling."""
    heard_at: float = NEVER
    """Nothing that is still to be read of this shard had been trimmed then: this shard or one of
    its ancestors, all of whose records are older, was answered for."""
    level_at: float = NEVER
    """All nodes know of everything that was written until then to this shard, to its ancestors,
    and, once it is closed, in its place."""


class Shards:
    """Invariants:

    * A shard is read only when its parent is at its end, so that the records of one item come in
      the order in which they were written.
    * A shard that appears later is the child of one that is known, and is read from its first
      record. Any other shows that the shards in between have come and gone.
    """

    def __init__(self, positions: Mapping[str, str]) -> None:
        """``positions`` are those of a checkpoint; empty: begin with what is written from now
        on."""
        self.by_id = {id_: Shard(id_, position) for id_, position in positions.items()}

    def begin(self, listing: Sequence[ShardDescription], now: float) -> None:
        """Takes the first complete listing, when there is no checkpoint: what was written before
        is made up for elsewhere."""
        for each in listing:
            position = END if each.closed else LATEST
            self.by_id[each.id] = Shard(each.id, position, each.parent, heard_at=now, level_at=now)
        self._forget({each.id for each in listing})

    def learn(self, listing: Sequence[ShardDescription]) -> bool:
        """Takes a later complete listing. Returns False if records may be lost."""
        over = _ancestors(self.by_id, listing)
        for each in _parents_first(listing):
            known = self.by_id.get(each.id)
            if known is not None:
                known.parent = each.parent
            elif each.id not in over:
                parent = self.by_id.get(each.parent) if each.parent is not None else None
                if parent is None:
                    return False
                self.by_id[each.id] = Shard(
                    each.id,
                    TRIM_HORIZON,
                    each.parent,
                    heard_at=parent.heard_at,
                    level_at=parent.level_at,
                )
        self._forget({each.id for each in listing})
        return True

    def end(self, shard: Shard) -> None:
        """The shard is closed and read to its end."""
        shard.position = END
        shard.iterator = None
        for child in self.by_id.values():
            if child.parent == shard.id:
                child.heard_at = max(child.heard_at, shard.heard_at)
                child.level_at = max(child.level_at, shard.level_at)

    def _forget(self, listed: set[str]) -> None:
        """Drops shards at their end, which are of use only until a child is known, or they are
        trimmed."""
        parents = {shard.parent for shard in self.by_id.values()}
        for shard in list(self.by_id.values()):
            if shard.position == END and (shard.id in parents or shard.id not in listed):
                del self.by_id[shard.id]

    def readable(self) -> Iterable[Shard]:
        """Returns the shards that may be read, in the order of their ids, which is that of their
        creation."""
        for id_ in sorted(self.by_id):
            shard = self.by_id[id_]
            if shard.position == END:
                continue
            parent = self.by_id.get(shard.parent) if shard.parent is not None else None
            if parent is None or parent.position == END:
                yield shard

    def childless(self) -> bool:
        """True if some shard is at its end, and what goes on in its place is not known yet."""
        return any(shard.position == END for shard in self.by_id.values())

    def levels(self) -> list[float]:
        """``level_at`` of whatever takes records: of shards that are read, and of those at their
        end in whose place others, not known yet, may have gone on since."""
        parents = {shard.parent for shard in self.by_id.values()}
        ended = [shard for shard in self.by_id.values() if shard.position == END]
        open_ended = [shard for shard in ended if shard.id not in parents]
        return [shard.level_at for shard in (*self.readable(), *open_ended)]

    def positions(self) -> dict[str, str]:
        return {shard.id: shard.position for shard in self.by_id.values()}


def _parents_first(listing: Sequence[ShardDescription]) -> list[ShardDescription]:
    by_id = {described.id: described for described in listing}
    ordered: dict[str, ShardDescription] = {}
    for described in listing:
        line = []
        at: ShardDescription | None = described
        while at is not None and at.id not in ordered and at not in line:
            line.append(at)
            at = by_id.get(at.parent) if at.parent is not None else None
        for each in reversed(line):
            ordered[each.id] = each
    return list(ordered.values())


def _ancestors(known: Mapping[str, Shard], listing: Sequence[ShardDescription]) -> set[str]:
    parents = {described.id: described.parent for described in listing}
    found: set[str] = set()
    for id_ in known:
        parent = parents.get(id_) or known[id_].parent
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parents.get(parent)
    return found
