"""Registers the reads under way whose results may be kept, and revokes them."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.coherence.effects import IndexTouch
from cluster.coherence.messages import WHOLE
from cluster.coherence.queries import Dependency, Dependents
from paceline.types import Key


class Fill:
    """Permission to keep what a read brings back, until something revokes it.

    Of an item under ``key``, or of a query with ``dependency``. ``consistent``: the read must ask
    DynamoDB with ConsistentRead.
    """

    __slots__ = ("consistent", "dependency", "generation", "key", "valid")

    def __init__(
        self, key: Key | None, dependency: Dependency | None, generation: int, consistent: bool
    ) -> None:
        self.key = key
        self.dependency = dependency
        self.generation = generation
        self.consistent = consistent
        self.valid = True


class Fills:
    """The fills that run and are not revoked: at most one per item, any number of queries."""

    def __init__(self) -> None:
        self._items: dict[Key, Fill] = {}
        self._queries: Dependents[Fill] = Dependents()
        self._detached: set[Fill] = set()

    def has_item(self, key: Key) -> bool:
        return key in self._items

    def add(self, fill: Fill) -> None:
        if fill.key is not None:
            self._items[fill.key] = fill
        elif fill.dependency is not None and fill.dependency.detached:
            self._detached.add(fill)
        else:
            self._queries.add(fill)

    def discard(self, fill: Fill) -> None:
        if fill.key is None:
            self._queries.discard(fill)
            self._detached.discard(fill)
        elif self._items.get(fill.key) is fill:
            del self._items[fill.key]

    def revoke_item(self, key: Key) -> None:
        """Revokes the fill of ``key``, or of a whole table if the key stands for all of its
        items."""
        if key[1] == WHOLE:
            for each in [each for each in self._items if each[0] == key[0]]:
                self._items.pop(each).valid = False
            return
        fill = self._items.pop(key, None)
        if fill is not None:
            fill.valid = False

    def revoke_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        """Revokes the fills that lie at ``touches``; None: all of the table that writes can
        change."""
        for fill in self._queries.pop_touched(table, touches):
            fill.valid = False

    def revoke_table(self, table: str) -> None:
        """Revokes all fills of items and queries of the table, detached queries included."""
        for key in [key for key in self._items if key[0] == table]:
            self.revoke_item(key)
        self.revoke_queries(table, None)
        for fill in self._detached:
            if fill.dependency is not None and fill.dependency.table == table:
                fill.valid = False

    def clear(self) -> None:
        """Makes room for new fills of all items. The generation of those that run shows that they
        are void."""
        self._items.clear()
