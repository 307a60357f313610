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


@dataclass(frozen=True, slots=True)
class Described:
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
    """The service has answered from ``position``, or from a later one."""
    busy: bool = False
    """A question or an invalidation of this shard is under way."""
    due_at: float = NEVER
    failures: int = 0
    """In a row."""
    silences: int = 0
    """Failures in a row that were no throttling."""
    level_at: float = NEVER
    """All records written by then have been brought to all nodes."""


class Shards:
    """Invariants:

    * A shard is read only when its parent is at its end, so that the records of one item come in
      the order in which they were written.
    * A shard that appears later is read from its first record. Reading too much is harmless.
    * Nothing forgotten here is read again, as long as the stream still lists its descendants.
    """

    def __init__(self, positions: Mapping[str, str]) -> None:
        """``positions``: of a checkpoint; empty: begin with what is written from now on."""
        self.by_id = {id_: Shard(id_, position) for id_, position in positions.items()}

    def learn(self, listing: Sequence[Described]) -> None:
        """Takes a complete listing of the stream's shards."""
        fresh = not self.by_id
        over = set() if fresh else _ancestors(self.by_id, listing)
        for described in listing:
            known = self.by_id.get(described.id)
            if known is not None:
                known.parent = described.parent
            elif fresh:
                position = END if described.closed else LATEST
                self.by_id[described.id] = Shard(described.id, position, described.parent)
            elif described.id not in over:
                self.by_id[described.id] = Shard(described.id, TRIM_HORIZON, described.parent)
        self._forget({described.id for described in listing})

    def _forget(self, listed: set[str]) -> None:
        """Shards at their end are of use only until a child is known, or they are trimmed."""
        parents = {shard.parent for shard in self.by_id.values()}
        for shard in list(self.by_id.values()):
            if shard.position == END and (shard.id in parents or shard.id not in listed):
                del self.by_id[shard.id]

    def readable(self) -> Iterable[Shard]:
        """In the order of their ids, which is that of their creation."""
        for id_ in sorted(self.by_id):
            shard = self.by_id[id_]
            if shard.position == END:
                continue
            parent = self.by_id.get(shard.parent) if shard.parent is not None else None
            if parent is None or parent.position == END:
                yield shard

    def childless(self) -> bool:
        """Some shard is at its end, and what goes on in its place is not known yet."""
        return any(shard.position == END for shard in self.by_id.values())

    def positions(self) -> dict[str, str]:
        return {shard.id: shard.position for shard in self.by_id.values()}


def _ancestors(known: Mapping[str, Shard], listing: Sequence[Described]) -> set[str]:
    parents = {described.id: described.parent for described in listing}
    found: set[str] = set()
    for id_ in known:
        parent = parents.get(id_) or known[id_].parent
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parents.get(parent)
    return found
