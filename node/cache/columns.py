"""What is known of the entries of all caches of a node, by their numbers. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

from node.cache.nodes import Nodes


class Owner(Protocol):
    """The cache that an entry belongs to."""

    def forget(self, node: int) -> int:
        """The entry was evicted: it is no longer in the policy's order. What the columns say of it
        still holds. Returns its size."""


class Columns(Nodes):
    """Of a node that nobody has, ``keys``, ``values`` and ``forms`` hold None."""

    def __init__(self) -> None:
        self.places = array("I")
        """What ``place`` returned: whose it is, and of which table."""
        self.keys: list[Any] = []
        """Bytes, the same object as in its owner's dict."""
        self.values: list[Any] = []
        """Of an item the reply to GetItem, in bytes; of a page its ``QueryEntry``."""
        self.forms: list[Any] = []
        """Of an item another front end's reply, in bytes, or None. Only ``ItemCache.keep_form``
        sets it, since it counts."""
        self.expires_at = array("d")
        """An entry is live while ``now < expires_at``."""
        self.owners: list[Owner] = []
        """By place."""
        self.names: list[bytes] = []
        """By place: the table, in UTF-8."""
        super().__init__()

    def _columns(self) -> Sequence[array[int] | array[float] | bytearray | list[object]]:
        more = (self.places, self.keys, self.values, self.forms, self.expires_at)
        return (*super()._columns(), *more)

    def _extend(self, count: int) -> None:
        super()._extend(count)
        self.places.extend([0] * count)
        self.expires_at.extend([0.0] * count)
        empty = [None] * count
        self.keys += empty
        self.values += empty
        self.forms += empty

    @property
    def _row_bytes(self) -> int:
        return 46

    def place(self, owner: Owner, name: bytes) -> int:
        """Returns a number for the entries that the owner has of the table."""
        self.owners.append(owner)
        self.names.append(name)
        return len(self.names) - 1

    def identity(self, node: int) -> int:
        return hash(self.keys[node]) ^ hash(self.names[self.places[node]])

    def give_back(self, node: int) -> None:
        self.keys[node] = self.values[node] = self.forms[node] = None
        super().give_back(node)
