"""How often keys were asked for of late, in few bits."""

from __future__ import annotations

from zlib import crc32

ROWS = 4
COUNT_MAX = 15
SAMPLE_PER_ENTRY = 10
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
"""Odd numbers of 64 bits, one for each row: their products with a key's hash are its places."""


class Sketch:
    """A count-min sketch of four bits a counter whose counters are halved after so many increments
    (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", 2015)."""

    def __init__(self, entries: int) -> None:
        """``entries``: about how many the cache holds."""
        width = 1 << max(4, (entries * 2 - 1).bit_length())
        self._mask = width - 1
        self._rows = [bytearray(width) for _ in range(ROWS)]
        self._sample = SAMPLE_PER_ENTRY * max(entries, 1)
        self._added = 0

    def add(self, key: bytes) -> None:
        """Counts as in a conservative update: only the least of the key's counters grow."""
        places = self._places(key)
        least = min(row[place] for row, place in places)
        if least >= COUNT_MAX:
            return
        for row, place in places:
            if row[place] == least:
                row[place] += 1
        self._added += 1
        if self._added >= self._sample:
            self._halve()

    def count(self, key: bytes) -> int:
        return min(row[place] for row, place in self._places(key))

    def _places(self, key: bytes) -> list[tuple[bytearray, int]]:
        digest = crc32(key)
        return [
            (row, (digest * factor >> 20) & self._mask)
            for row, factor in zip(self._rows, _FACTORS, strict=True)
        ]

    def _halve(self) -> None:
        self._rows = [bytearray(count >> 1 for count in row) for row in self._rows]
        self._added //= 2
