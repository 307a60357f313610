"""From a table's keys to the numbers of their entries, in dicts of a known density. Pure.

A dict never uses a place twice, so one whose keys come and go fills up; CPython then makes it three
to six times as large as its keys, and copies all of it in one go. Here a table of many keys has
many dicts, so none takes long to copy, and a copy without gaps follows where it gains something.
Their shares of the keys differ by up to a factor of two, as the sizes of dicts do, so that they
grow by turns, and a key takes about as much at every number of keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, cycle, islice
from sys import getsizeof

Shards = list[dict[bytes, int]]
"""``SHARDS`` dicts: that of a key is at ``hash(key) & SHARD_MASK``. Some are the same dict."""

SHARDS = 512
SHARD_MASK = SHARDS - 1

SPLIT_KEYS = 4096
"""A table of fewer keys has one dict. More are split at once, in half a millisecond."""

_SPARSE_BYTES_PER_KEY = 136
_SPARSE_KEYS_MIN = 16
"""A dict never gives memory back when keys go. One with more than this many bytes per key (twice
what churn alone makes of it) is copied into one that fits; tiny ones are not worth it."""


def _widths() -> list[int]:
    """Returns of each dict how many shards it has: from four to seven, ``SHARDS`` in all."""
    return [*islice(cycle((4, 5, 6, 7)), 92), 6]


_STARTS = [0, *accumulate(_widths())]
_DICT_OF = bytes(at for at, width in enumerate(_widths()) for _ in range(width))


class KeyTable:
    """``shards`` stays the same object, of 4 KB; the dicts in it are replaced."""

    __slots__ = ("_dicts", "count", "shards")

    def __init__(self) -> None:
        self.count = 0
        self._dicts: list[dict[bytes, int]] = [{}]
        self.shards: Shards = self._dicts * SHARDS

    def __len__(self) -> int:
        return self.count

    def get(self, key: bytes) -> int | None:
        return self.shards[hash(key) & SHARD_MASK].get(key)

    @property
    def size(self) -> int:
        """The memory of its dicts, in bytes."""
        return sum(map(getsizeof, self._dicts))

    def put(self, key: bytes, node: int) -> None:
        """``key`` is not in the table yet."""
        shard = hash(key) & SHARD_MASK
        entries = self.shards[shard]
        before = getsizeof(entries)
        entries[key] = node
        self.count += 1
        if getsizeof(entries) != before:
            count = len(entries)
            places = 1 << (3 * count - 1).bit_length()
            if 8 * places >= 27 * count:  # in half of them there is room for an eighth more
                self._replace(shard, dict(entries))
            if self.count > SPLIT_KEYS and len(self._dicts) == 1:
                self._split()

    def pop(self, key: bytes) -> int:
        """Raises KeyError."""
        shard = hash(key) & SHARD_MASK
        entries = self.shards[shard]
        node = entries.pop(key)
        self.count -= 1
        if not self.count and len(self._dicts) > 1:
            self._dicts = [{}]
            self.shards[:] = self._dicts * SHARDS
        elif getsizeof(entries) > _SPARSE_BYTES_PER_KEY * (len(entries) + _SPARSE_KEYS_MIN):
            self._replace(shard, dict(entries))
        return node

    def popitem(self) -> tuple[bytes, int]:
        """Takes any key out. Raises KeyError if there is none."""
        while len(self._dicts) > 1 and not self._dicts[-1]:
            self._dicts.pop()
        item = self._dicts[-1].popitem()
        self.count -= 1
        return item

    def items(self) -> Iterator[tuple[bytes, int]]:
        for entries in self._dicts:
            yield from entries.items()

    def _replace(self, shard: int, entries: dict[bytes, int]) -> None:
        if len(self._dicts) == 1:
            self._dicts[0] = entries
            self.shards[:] = [entries] * SHARDS
            return
        at = _DICT_OF[shard]
        self._dicts[at] = entries
        self.shards[_STARTS[at] : _STARTS[at + 1]] = [entries] * (_STARTS[at + 1] - _STARTS[at])

    def _split(self) -> None:
        (whole,) = self._dicts
        self._dicts = [{} for _ in _widths()]
        self.shards[:] = [self._dicts[at] for at in _DICT_OF]
        for key, node in whole.items():
            self.shards[hash(key) & SHARD_MASK][key] = node
