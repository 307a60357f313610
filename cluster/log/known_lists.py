"""The attribute lists that the replicated log knows, by id and by names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgpack

from paceline.dax import attribute_lists

ATTRIBUTE_LISTS_MAX = 200_000
"""The most attribute lists. Clients that put data into names would else fill every node's
memory."""

LIST_BYTES_MAX = 512 * 1024
"""Of one list, as snapshots have it. The names of an item, of at most 400 KiB, always fit."""

LISTS_BYTES_MAX = 12 * 1024 * 1024
"""Of all lists: they are in every snapshot of the log, and in every node's memory."""


class KnownLists:
    """``preferred_id`` gives the id of a list (>= 2) as long as no other list has it."""

    def __init__(self, preferred_id: Callable[[Sequence[str]], int]) -> None:
        self._preferred_id = preferred_id
        self._by_id: dict[int, tuple[str, ...]] = {}
        self._by_names: dict[tuple[str, ...], int] = {}
        self._bytes = 0
        self._learn(attribute_lists.EMPTY_LIST_ID, ())

    def names_of(self, list_id: int) -> tuple[str, ...] | None:
        return self._by_id.get(list_id)

    def id_of(self, names: tuple[str, ...]) -> int | None:
        return self._by_names.get(names)

    def define(self, names: tuple[str, ...]) -> tuple[int, str]:
        """Returns the id of ``names``, and why they were refused, or an empty text."""
        known = self._by_names.get(names)
        if known is not None:
            return known, ""
        if len(self._by_id) >= ATTRIBUTE_LISTS_MAX:
            return 0, f"the cluster knows {ATTRIBUTE_LISTS_MAX} attribute lists already"
        chosen = self._preferred_id(names)
        while chosen in self._by_id:
            chosen = attribute_lists.next_id(chosen)
        size = _size(chosen, names)
        if size > LIST_BYTES_MAX:
            return 0, f"an attribute list of {size} bytes; the most is {LIST_BYTES_MAX}"
        if self._bytes + size > LISTS_BYTES_MAX:
            return 0, f"all attribute lists together would have more than {LISTS_BYTES_MAX} bytes"
        self._learn(chosen, names)
        return chosen, ""

    def fields(self) -> list[object]:
        """For a snapshot."""
        return [[list_id, list(names)] for list_id, names in sorted(self._by_id.items())]

    def restore(self, lists: Mapping[int, tuple[str, ...]]) -> None:
        """Knows these, and no others: what an earlier release let in is kept."""
        self._by_id, self._by_names, self._bytes = {}, {}, 0
        for list_id, names in lists.items():
            self._learn(list_id, names)

    def _learn(self, list_id: int, names: tuple[str, ...]) -> None:
        self._by_id[list_id] = names
        self._by_names[names] = list_id
        self._bytes += _size(list_id, names)


def _size(list_id: int, names: tuple[str, ...]) -> int:
    """Returns the bytes in a snapshot."""
    return len(msgpack.packb([list_id, names]))
