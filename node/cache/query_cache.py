"""Query and Scan results, by table and canonical parameters."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.coherence.effects import IndexTouch
from cluster.coherence.queries import Dependency, Dependents
from node.cache.budget import Budget
from node.cache.entry import QueryEntry, Ttls
from node.cache.nodes import HITS_MAX

QueryKey = tuple[str, bytes]
"""(table, canonical bytes of operation, index and every parameter that shapes the answer)."""


class QueryCache:
    """Results as opaque values, kept until their TTL, a write that can change them, or eviction.

    Invariants: every entry in ``_tables`` is in the budget and in the policy's order; those with a
    dependency, and no others, are among ``_dependents``.
    """

    def __init__(self, budget: Budget, ttls: Ttls) -> None:
        self.ttls = ttls
        """May be replaced. It holds for results put from then on."""
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self.expired = 0
        self.invalidated = 0
        """The number of results dropped because a write could change them."""
        self._budget = budget
        self._entries = budget.entries
        self._touch = budget.policy.touch
        self._tables: dict[bytes, dict[bytes, QueryEntry]] = {}
        self._dependents: Dependents[QueryEntry] = Dependents()
        self._names: dict[str, tuple[bytes, int]] = {}
        """Of each table that was ever cached its name, which its entries share, and its place."""

    @property
    def count(self) -> int:
        """The number of results held. Expired ones count until they are found."""
        return sum(map(len, self._tables.values()))

    def get(self, key: QueryKey, now: float) -> object | None:
        """Returns the value put under ``key`` and marks it as hit; None if there is none or it
        expired."""
        entry = self._tables.get(key[0].encode(), {}).get(key[1])
        columns = self._entries
        if entry is not None and now >= columns.expires_at[entry.node]:
            self._drop(entry)
            self.expired += 1
            entry = None
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        if columns.hits[entry.node] < HITS_MAX:
            columns.hits[entry.node] += 1
        if self._touch is not None:
            self._touch(entry.node)
        return entry.value

    def put(
        self,
        key: QueryKey,
        value: object,
        size: int,
        now: float,
        dependency: Dependency | None = None,
    ) -> bool:
        """Keeps ``value``, which takes ``size`` bytes of real memory, in place of what was there.

        ``dependency``: what writes must not touch; None, or a detached one: no write matters.

        False when it is not cached: too large, or the table's query TTL is 0.
        """
        table, parameters = key
        ttl_s = self.ttls.of(table).query_s
        known = self._names.get(table)
        if known is None:
            name = table.encode()
            known = self._names[table] = name, self._entries.place(self, name)
        name, place = known
        old = self._tables.get(name, {}).get(parameters)
        if dependency is not None and dependency.detached:
            dependency = None
        new = QueryEntry(name, parameters, value=value, value_bytes=size, dependency=dependency)
        if ttl_s <= 0 or not self._budget.admits(new.size):
            if old is not None:
                self._drop(old)
            return False
        expires_at = now + ttl_s
        node = -1 if old is None else old.node
        if old is not None and self._budget.replace(node, new, expires_at, new.size - old.size):
            self._erase(old)
            self._entries.keys[node] = parameters
            new.node = node
        else:
            new.node = self._budget.add(place, parameters, new, expires_at, new.size)
        self._tables.setdefault(name, {})[parameters] = new
        self._dependents.add(new)
        self.bytes += new.size
        return True

    def drop(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        """Drops the results that a write at ``touches`` can change; with None, all that have a
        dependency."""
        for entry in self._dependents.touched(table, touches):
            if entry.node >= 0:  # one may be found by several touches
                self._drop(entry)
                self.invalidated += 1

    def drop_table(self, table: str) -> None:
        """Drops every result of the table."""
        for entry in list(self._tables.get(table.encode(), {}).values()):
            self._drop(entry)

    def clear(self) -> None:
        for name in list(self._tables):
            self.drop_table(name.decode())

    def forget(self, node: int) -> int:
        """Called by the budget when it evicted an entry. Returns its size."""
        entry: QueryEntry = self._entries.values[node]
        self._erase(entry)
        self.evictions += 1
        return entry.size

    def _drop(self, entry: QueryEntry) -> None:
        node = entry.node
        self._erase(entry)
        self._budget.remove(node, entry.size)

    def _erase(self, entry: QueryEntry) -> None:
        """Removes an entry from all but the budget."""
        entries = self._tables[entry.table]
        del entries[entry.key]
        if not entries:
            del self._tables[entry.table]
        self._dependents.discard(entry)
        self.bytes -= entry.size
        entry.node = -1
