"""Items by table and canonical key, 'no such item' answers included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from node.cache.budget import Budget
from node.cache.entry import Entry, Ttls, bytes_object_bytes, item_bytes
from node.cache.key_table import SHARD_MASK, KeyTable, Shards
from node.cache.nodes import HITS_MAX
from paceline.dax.responses import MISS_REPLY, item_reply

_RECLAIM_AT_CLEAR = 4096
_RECLAIM_AT_INSTALL = 32
"""Freeing takes about a microsecond an entry, so a full cache of the default size would hold up the
event loop, and with it lease renewals, for a third of a second. A clear therefore frees a few
milliseconds' worth at once, and every later install some more than it adds."""


@dataclass(slots=True)
class _Table:
    """What is held of one table. ``place``: of its entries, in the columns."""

    name: bytes
    place: int
    live: KeyTable = field(default_factory=KeyTable)
    parked: dict[bytes, int] = field(default_factory=dict)


class ItemCache:
    """Live entries that may be hit, parked ones that may come back, cleared ones to be freed.

    Invariants: a key is live or parked or neither, never both. Every entry of the three kinds, and
    no other, is in the budget and in the policy's order; so a parked entry counts, and may be
    evicted like any other: then there is nothing to restore, which is a miss and never a wrong
    answer. A cleared entry is out of reach from the moment of the clear, but counts until its
    memory is given back.

    The hot path of a front end needs no call into this class::

        shards = cache.tables.get(table)              # raw bytes of the frame
        node = shards[hash(key) & SHARD_MASK].get(key)  # after a None check
        if node is not None and now < columns.expires_at[node]:
            if columns.hits[node] < HITS_MAX:
                columns.hits[node] += 1               # and touch(node), unless touch is None
            write(columns.values[node])

    ``tables`` and the columns stay the same objects; what is in ``tables`` comes, goes and is
    replaced, so none of it may be kept across other operations.
    """

    def __init__(self, budget: Budget, ttls: Ttls) -> None:
        self.tables: dict[bytes, Shards] = {}
        """UTF-8 table name -> where the nodes of its live entries are by canonical key bytes. No
        table is in it without entries."""
        self.touch: Callable[[int], None] | None = budget.policy.touch
        self.columns = budget.entries
        self.ttls = ttls
        """May be replaced. It holds for entries installed from then on."""
        self.bytes = 0
        """The memory of all entries, parked and cleared ones included, but for the columns."""
        self.evictions = 0
        self.expired = 0
        """The number of entries dropped because they were found expired."""
        self._budget = budget
        self._held: dict[bytes, _Table] = {}
        """Every table that was ever cached."""
        self._cleared: list[KeyTable | dict[bytes, int]] = []

    @property
    def count(self) -> int:
        """The number of live entries. Expired ones count until they are found."""
        return sum(table.live.count for table in self._held.values())

    @property
    def parked(self) -> int:
        return sum(len(table.parked) for table in self._held.values())

    def lookup(self, table: str, key: bytes, now: float) -> Entry | None:
        """Returns the live entry of the key and marks it as hit. If it is expired, drops it and
        returns None."""
        node = self._live(table, key)
        return self.entry(node) if node is not None and self._hit(node, now) else None

    def replies(self, table: str, keys: Sequence[bytes], now: float) -> list[bytes | None]:
        """As ``lookup`` of each, but returns their replies."""
        shards = self.tables.get(table.encode())
        if shards is None:
            return [None] * len(keys)
        found: list[bytes | None] = []
        for key in keys:
            node = shards[hash(key) & SHARD_MASK].get(key)
            if node is not None and self._hit(node, now):
                found.append(self.columns.values[node])
            else:
                found.append(None)
        return found

    def peek(self, table: str, key: bytes, now: float = -inf) -> Entry | None:
        """Returns the live entry of the key if it is not expired. Marks and drops nothing."""
        node = self._live(table, key)
        return self.entry(node) if node is not None and self.is_live(node, now) else None

    def age_s(self, table: bytes, key: bytes, now: float) -> float | None:
        """How long ago the key's entry was cached, by the lifetime that its table has now. None: it
        is not there, or has no end."""
        shards = self.tables.get(table)
        node = None if shards is None else shards[hash(key) & SHARD_MASK].get(key)
        if node is None:
            return None
        ttl = self.ttls.of(table.decode())
        ttl_s = ttl.negative_s if self.columns.values[node] is MISS_REPLY else ttl.record_s
        expires_at: float = self.columns.expires_at[node]
        return max(0.0, ttl_s - (expires_at - now)) if expires_at < inf and ttl_s < inf else None

    def is_live(self, node: int, now: float) -> bool:
        """Whether a lookup would find it: False if it is parked, cleared, expired, or no item."""
        columns = self.columns
        key = columns.keys[node]
        if key is None or now >= columns.expires_at[node]:
            return False
        place = columns.places[node]
        held = self._held.get(columns.names[place])
        return held is not None and held.place == place and held.live.get(key) == node

    def entry(self, node: int) -> Entry:
        """Returns what the columns say of it now."""
        columns = self.columns
        return Entry(
            columns.names[columns.places[node]],
            columns.keys[node],
            columns.values[node],
            columns.forms[node],
            columns.expires_at[node],
        )

    def install(self, table: str, key: bytes, item: bytes | None, now: float) -> Entry | None:
        """Replaces whatever is there, parked or not, by ``item`` (None: there is no such item).

        Returns None when it is not cached, because it is too large or a negative answer that the
        settings do not keep. What was there is gone all the same.
        """
        ttl = self.ttls.of(table)
        ttl_s = ttl.negative_s if item is None else ttl.record_s
        held = self._table(table)
        reply = item_reply(item)
        size = item_bytes(key, reply)
        node = self._node(held, key)
        if ttl_s <= 0 or not self._budget.admits(size):
            if node is not None:
                self._drop(node)
            return None
        expires_at = now + ttl_s
        if node is not None:
            more = size - self._size(node)
            if self._budget.replace(node, reply, expires_at, more):
                self.bytes += more
                if held.parked.pop(key, None) is not None:
                    self._put(held, self.columns.keys[node], node)
                return self._installed(node)
        node = self._budget.add(held.place, key, reply, expires_at, size)
        self._put(held, key, node)
        self.bytes += size
        return self._installed(node)

    def _installed(self, node: int) -> Entry:
        if self._cleared:
            self.reclaim(_RECLAIM_AT_INSTALL)
        return self.entry(node)

    def keep_form(self, entry: Entry, form: bytes) -> None:
        """Keeps another front end's reply with ``entry``, as long as that lives."""
        held = self._held.get(entry.table)
        node = None if held is None else self._node(held, entry.key)
        columns = self.columns
        # It took long to make: there may be no entry by now, or another one.
        if node is None or columns.values[node] is not entry.reply:
            return
        more = bytes_object_bytes(len(form))
        if columns.forms[node] is None and self._budget.grow(node, self._size(node), more):
            columns.forms[node] = form
            self.bytes += more

    def park(self, table: str, key: bytes) -> None:
        """Sets the live entry aside, if there is one: it is not hit any more, but not lost yet."""
        held = self._held.get(table.encode())
        node = None if held is None else held.live.get(key)
        if held is not None and node is not None:
            self._take(held, key)
            held.parked[self.columns.keys[node]] = node

    def restore(self, table: str, key: bytes, now: float = -inf) -> None:
        """Makes the parked entry live again, if it is still there and not expired.

        Without ``now`` an expired one comes back and is never hit: every reader looks at
        ``expires_at``.
        """
        held = self._held.get(table.encode())
        node = None if held is None else held.parked.get(key)
        if held is None or node is None:
            return
        if now >= self.columns.expires_at[node]:
            self._drop(node)
            self.expired += 1
            return
        del held.parked[key]
        self._put(held, self.columns.keys[node], node)

    def discard(self, table: str, key: bytes) -> None:
        """Drops the entry of the key, parked or not."""
        held = self._held.get(table.encode())
        node = None if held is None else self._node(held, key)
        if node is not None:
            self._drop(node)

    def clear(self, table: str | None = None) -> None:
        """Drops every entry, parked ones included, of one table or of all."""
        names = list(self._held) if table is None else [table.encode()]
        for held in filter(None, map(self._held.get, names)):
            self.tables.pop(held.name, None)
            if held.live.count:
                self._cleared.append(held.live)
                held.live = KeyTable()
            if held.parked:
                self._cleared.append(held.parked)
                held.parked = {}
        self.reclaim(_RECLAIM_AT_CLEAR)

    def reclaim(self, entries_max: int) -> bool:
        """Gives back the memory of up to ``entries_max`` cleared entries. Returns whether more are
        left.

        Installs do it by and by; an idle driver may do it sooner.
        """
        cleared = self._cleared
        for _ in range(entries_max):
            if not cleared:
                break
            _, node = cleared[-1].popitem()
            size = self._size(node)
            self._budget.remove(node, size)
            self.bytes -= size
            if not cleared[-1]:
                cleared.pop()
        return bool(cleared)

    def forget(self, node: int) -> int:
        """Called by the budget when it evicted an entry. Returns its size."""
        self.evictions += 1
        return self._erase(node)

    def _hit(self, node: int, now: float) -> bool:
        """Counts a hit. If the entry is expired, drops it and returns False."""
        columns = self.columns
        if now >= columns.expires_at[node]:
            self._drop(node)
            self.expired += 1
            return False
        if columns.hits[node] < HITS_MAX:
            columns.hits[node] += 1
        if self.touch is not None:
            self.touch(node)
        return True

    def _live(self, table: str, key: bytes) -> int | None:
        shards = self.tables.get(table.encode())
        return None if shards is None else shards[hash(key) & SHARD_MASK].get(key)

    def _table(self, table: str) -> _Table:
        name = table.encode()
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Table(name, self.columns.place(self, name))
        return held

    @staticmethod
    def _node(held: _Table, key: bytes) -> int | None:
        """Returns the entry of the key, live or parked."""
        for nodes in (held.live, held.parked):
            node = nodes.get(key)
            if node is not None:
                return node
        return None

    def _size(self, node: int) -> int:
        columns = self.columns
        return item_bytes(columns.keys[node], columns.values[node], columns.forms[node])

    def _drop(self, node: int) -> None:
        self._budget.remove(node, self._erase(node))

    def _erase(self, node: int) -> int:
        """Removes an entry from all but the budget and the columns. Returns its size."""
        size = self._size(node)
        self.bytes -= size
        key = self.columns.keys[node]
        held = self._held[self.columns.names[self.columns.places[node]]]
        if held.live.get(key) == node:
            self._take(held, key)
        elif held.parked.get(key) == node:
            del held.parked[key]
        else:
            for nodes in self._cleared:
                if nodes.get(key) == node:
                    nodes.pop(key)
                    break
            self._cleared = [nodes for nodes in self._cleared if nodes]
        return size

    def _put(self, held: _Table, key: bytes, node: int) -> None:
        if not held.live.count:
            self.tables[held.name] = held.live.shards
        held.live.put(key, node)

    def _take(self, held: _Table, key: bytes) -> None:
        """Takes a key out of the live ones."""
        held.live.pop(key)
        if not held.live.count:
            del self.tables[held.name]
