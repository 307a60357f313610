"""What a cache holds: entries, what they cost in memory, how long they live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from cluster.coherence.queries import Dependency
from paceline.dax.responses import MISS_REPLY

# What objects really cost. CPython's small-object allocator hands out multiples of 16 bytes up to
# 512; above that malloc does, with 8 bytes of its own and the same alignment.
_SMALL_MAX = 512
_BYTES_HEADER = bytes.__basicsize__
_GC_HEADER = 16
_INT_BYTES = 32

DICT_SLOT_BYTES = 88
"""Share of a dict per key. A dict that is full and churning, as under eviction, has a table of 3 to
6 places per key, at 20 bytes a place (8-byte hash and two pointers for two thirds of the places,
4 bytes of index for each): 60 to 120 bytes, 86 on the average over sizes; 30 to 60 while it only
grows. Counted flat, because counting the table itself would evict thousands of entries at once
whenever it doubles."""

KEY_TABLE_BYTES = 48
"""Share of a ``KeyTable`` per key: 38 to 41 bytes while it only grows, 42 to 49 while keys come and
go. Those of fewer than 4096 keys, which are one dict, take 30 to 68."""

PARTITION_BYTES = DICT_SLOT_BYTES + 240
"""The cost of a partition that only one result depends on: its place, and a dict of one key."""


def allocated_bytes(size: int) -> int:
    """Returns what the allocator sets aside for an object of ``size`` bytes."""
    return (size + 15) & -16 if size <= _SMALL_MAX else (size + 8 + 15) & -16


def bytes_object_bytes(length: int) -> int:
    """Returns the memory of a ``bytes`` object of that length."""
    return allocated_bytes(_BYTES_HEADER + length)


ITEM_BYTES = KEY_TABLE_BYTES + _INT_BYTES
"""The size of an item's entry without its key and reply. What the columns hold of it counts with
them, in ``Columns.bytes``."""


def item_bytes(key: bytes, reply: bytes, form: bytes | None = None) -> int:
    """Returns the bytes of real memory that go when an item's entry goes."""
    # As ``bytes_object_bytes`` has it: every install comes here.
    taken = _BYTES_HEADER + len(key)
    size = ITEM_BYTES + ((taken + (15 if taken <= _SMALL_MAX else 23)) & -16)
    if reply is not MISS_REPLY:
        taken = _BYTES_HEADER + len(reply)
        size += (taken + (15 if taken <= _SMALL_MAX else 23)) & -16
    if form is not None:
        size += bytes_object_bytes(len(form))
    return size


@dataclass(slots=True)
class Entry:
    """A cached GetItem as it was when it was found: the reply as it goes to the socket, so that a
    hit encodes nothing."""

    table: bytes
    """In UTF-8."""
    key: bytes
    reply: bytes
    form: bytes | None
    """Another front end's reply."""
    expires_at: float
    """It is live while ``now < expires_at``."""

    @property
    def size(self) -> int:
        return item_bytes(self.key, self.reply, self.form)

    @property
    def item(self) -> bytes | None:
        """The item in DAX item form, a copy out of ``reply``; None: there is no such item."""
        reply = self.reply
        if reply is MISS_REPLY:
            return None
        head = reply[3]
        if head < 0x58:
            return reply[4:]
        return reply[4 + (1 << (head - 0x58)) :]


class QueryEntry:
    """A cached Query or Scan result. The caller alone knows what ``value`` is."""

    __slots__ = ("dependency", "key", "node", "size", "table", "value")

    def __init__(
        self,
        table: bytes,
        key: bytes,
        *,
        value: object,
        value_bytes: int,
        dependency: Dependency | None = None,
    ) -> None:
        self.node = -1
        """In the columns; -1 while it is not cached."""
        self.table = table
        """In UTF-8. All entries of the table share one object, hence it is not in ``size``."""
        self.key = key
        self.value = value
        self.dependency = dependency
        """None if no write matters to the result."""
        self.size = QUERY_ENTRY_BYTES + bytes_object_bytes(len(key)) + value_bytes
        """The bytes of real memory that go when the entry goes, but for the columns."""
        if dependency is not None:
            self.size += dependency_bytes(dependency)


def dependency_bytes(dependency: Dependency) -> int:
    """Returns the memory of a result's dependency, and of its place among those that writes look
    through."""
    size = allocated_bytes(Dependency.__basicsize__) + DICT_SLOT_BYTES
    for part in (dependency.partition, dependency.low, dependency.high):
        if part:
            size += bytes_object_bytes(len(part))
    if dependency.partition is not None:
        size += PARTITION_BYTES
    return size


QUERY_ENTRY_BYTES = (
    DICT_SLOT_BYTES + 2 * _INT_BYTES + allocated_bytes(_GC_HEADER + QueryEntry.__basicsize__)
)
"""The size of a query's entry without its key and value: its place, the object, its integers."""


@dataclass(frozen=True, slots=True)
class Ttl:
    """Lifetimes in seconds. For ``record_s``, inf means no limit; for the others, 0 means not
    cached at all."""

    record_s: float = 300.0
    negative_s: float = 60.0
    query_s: float = 300.0

    @classmethod
    def from_millis(cls, record: int, negative: int, query: int) -> Ttl:
        """Takes milliseconds as in DAX's parameter groups, where 0 for records means no time
        limit."""
        return cls(record / 1000 if record else inf, negative / 1000, query / 1000)


@dataclass(frozen=True, slots=True)
class Ttls:
    """The general lifetimes, and those of the tables that differ."""

    general: Ttl = field(default_factory=Ttl)
    tables: Mapping[str, Ttl] = field(default_factory=dict)

    def of(self, table: str) -> Ttl:
        return self.tables.get(table, self.general)
