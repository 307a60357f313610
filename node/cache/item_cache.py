"""Items by table and canonical key, 'no such item' answers included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from node.cache.budget import Budget
from node.cache.entry import CacheEntry, Entry, Ttls, bytes_object_bytes
from node.cache.eviction import HITS_MAX, Linked
from paceline.dax.responses import item_reply

_SPARSE_BYTES_PER_KEY = 256
_SPARSE_KEYS_MIN = 64
"""A dict never gives memory back when keys go. One with more than this many bytes per key (twice
what churn alone makes of it) is copied into one that fits; tiny ones are not worth it."""

_RECLAIM_AT_CLEAR = 4096
_RECLAIM_AT_INSTALL = 32
"""Freeing takes about 0.6 us an entry, so a full cache of the default size would hold up the event
loop, and with it lease renewals, for a third of a second. A clear therefore frees a few
milliseconds' worth at once, and every later install some more than it adds."""


class ItemCache:
    """Live entries that may be hit, parked ones that may come back, cleared ones to be freed.

    Invariants: a key is live or parked or neither, never both. Every entry of the three kinds, and
    no other, is in the budget and in the policy's order; so a parked entry counts, and may be
    evicted like any other: then there is nothing to restore, which is a miss and never a wrong
    answer. A cleared entry is out of reach from the moment of the clear, but counts until its
    memory is given back.

    The hot path of a front end needs no call into this class::

        entry = cache.tables.get(table).get(key)      # after a None check; raw bytes of the frame
        if entry is not None and now < entry.expires_at:
            if entry.hits < HITS_MAX:
                entry.hits += 1                       # and touch(entry), unless touch is None
            write(entry.reply)

    ``tables`` stays the same object; the dicts in it come, go and are replaced, so none may be
    kept across other operations.
    """

    def __init__(self, budget: Budget, ttls: Ttls) -> None:
        self.tables: dict[bytes, dict[bytes, Entry]] = {}
        """UTF-8 table name -> canonical key bytes -> live entry."""
        self.touch: Callable[[Linked], None] | None = budget.policy.touch
        self.ttls = ttls
        """May be replaced. It holds for entries installed from then on."""
        self.bytes = 0
        """The memory of all entries, parked and cleared ones included."""
        self.evictions = 0
        self.expired = 0
        """The number of entries dropped because they were found expired."""
        self._budget = budget
        self._parked: dict[bytes, dict[bytes, Entry]] = {}
        self._cleared: list[dict[bytes, Entry]] = []
        self._names: dict[str, bytes] = {}
        """One bytes object per table that was ever cached, shared by its entries."""

    @property
    def count(self) -> int:
        """The number of live entries. Expired ones count until they are found."""
        return sum(map(len, self.tables.values()))

    @property
    def parked(self) -> int:
        return sum(map(len, self._parked.values()))

    def lookup(self, table: str, key: bytes, now: float) -> Entry | None:
        """Returns the live entry of the key and marks it as hit. If it is expired, drops it and
        returns None."""
        entries = self.tables.get(table.encode())
        entry = None if entries is None else entries.get(key)
        return None if entry is None else self._hit(entry, now)

    def lookup_some(self, table: str, keys: Sequence[bytes], now: float) -> list[Entry | None]:
        """As ``lookup`` of each."""
        entries = self.tables.get(table.encode(), {})
        found = [entries.get(key) for key in keys]
        for at, entry in enumerate(found):
            if entry is not None:
                found[at] = self._hit(entry, now)
        return found

    def peek(self, table: str, key: bytes, now: float) -> Entry | None:
        """Returns the live entry of the key if it is not expired. Marks and drops nothing."""
        entry = self.tables.get(table.encode(), {}).get(key)
        return entry if entry is not None and now < entry.expires_at else None

    def install(self, table: str, key: bytes, item: bytes | None, now: float) -> Entry | None:
        """Replaces whatever is there, parked or not, by ``item`` (None: there is no such item).

        Returns None when it is not cached, because it is too large or a negative answer that the
        settings do not keep. What was there is gone all the same.
        """
        ttl = self.ttls.of(table)
        ttl_s = ttl.negative_s if item is None else ttl.record_s
        name = self._names.setdefault(table, table.encode())
        new = Entry(self, name, key, item_reply(item), now + ttl_s)
        size = new.size
        old = self._held(name, key)
        if ttl_s <= 0 or not self._budget.admits(size):
            if old is not None:
                self._drop(old)
            return None
        if old is None:
            self._budget.add(new, size)
        elif self._budget.replace(old, new):
            self._erase(old)
        entries = self.tables.get(name)
        if entries is None:
            entries = self.tables[name] = {}
        entries[key] = new
        self.bytes += size
        if self._cleared:
            self.reclaim(_RECLAIM_AT_INSTALL)
        return new

    def keep_form(self, entry: Entry, form: bytes) -> None:
        """Keeps another front end's reply with ``entry``, as long as that lives."""
        size = bytes_object_bytes(len(form))
        if self._held(entry.table, entry.key) is not entry:
            return  # it took long to make
        if entry.form is None and self._budget.grow(entry, size):
            entry.form = form
            self.bytes += size

    def park(self, table: str, key: bytes) -> None:
        """Sets the live entry aside, if there is one: it is not hit any more, but not lost yet."""
        name = table.encode()
        entry = self.tables.get(name, {}).get(key)
        if entry is not None:
            self._take(self.tables, entry)
            self._parked.setdefault(name, {})[key] = entry

    def restore(self, table: str, key: bytes, now: float = -inf) -> None:
        """Makes the parked entry live again, if it is still there and not expired.

        Without ``now`` an expired one comes back and is never hit: every reader looks at
        ``expires_at``.
        """
        name = table.encode()
        entry = self._parked.get(name, {}).get(key)
        if entry is None:
            return
        if now >= entry.expires_at:
            self._drop(entry)
            self.expired += 1
            return
        self._take(self._parked, entry)
        self.tables.setdefault(name, {})[key] = entry

    def discard(self, table: str, key: bytes) -> None:
        """Drops the entry of the key, parked or not."""
        entry = self._held(table.encode(), key)
        if entry is not None:
            self._drop(entry)

    def clear(self, table: str | None = None) -> None:
        """Drops every entry, parked ones included, of one table or of all."""
        for held in (self.tables, self._parked):
            names = list(held) if table is None else [table.encode()]
            self._cleared += [held.pop(name) for name in names if name in held]
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
            _, entry = cleared[-1].popitem()
            self._budget.remove(entry)
            self.bytes -= entry.size
            if not cleared[-1]:
                cleared.pop()
        return bool(cleared)

    def forget(self, entry: CacheEntry) -> None:
        """Called by the budget when it evicted ``entry``."""
        self._erase(cast("Entry", entry))
        self.evictions += 1

    def _hit(self, entry: Entry, now: float) -> Entry | None:
        if now >= entry.expires_at:
            self._drop(entry)
            self.expired += 1
            return None
        if entry.hits < HITS_MAX:
            entry.hits += 1
        if self.touch is not None:
            self.touch(entry)
        return entry

    def _held(self, name: bytes, key: bytes) -> Entry | None:
        """Returns the entry of the key, live or parked."""
        for held in (self.tables, self._parked):
            entries = held.get(name)
            if entries is not None and (entry := entries.get(key)) is not None:
                return entry
        return None

    def _drop(self, entry: Entry) -> None:
        self._budget.remove(entry)
        self._erase(entry)

    def _erase(self, entry: Entry) -> None:
        """Removes an entry, which the budget no longer counts, from the dicts."""
        self.bytes -= entry.size
        for held in (self.tables, self._parked):
            if held.get(entry.table, {}).get(entry.key) is entry:
                self._take(held, entry)
                return
        for entries in self._cleared:
            if entries.get(entry.key) is entry:
                del entries[entry.key]
                break
        self._cleared = [entries for entries in self._cleared if entries]

    @staticmethod
    def _take(held: dict[bytes, dict[bytes, Entry]], entry: Entry) -> None:
        entries = held[entry.table]
        del entries[entry.key]
        count = len(entries)
        if count == 0:
            del held[entry.table]
        elif sys.getsizeof(entries) > _SPARSE_BYTES_PER_KEY * (count + _SPARSE_KEYS_MIN):
            held[entry.table] = dict(entries)
