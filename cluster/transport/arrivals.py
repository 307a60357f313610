"""Bounds the messages that arrive slowly, and chooses which one gives way. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from cluster.transport.expected import Network, counted_as

T = TypeVar("T")


class Arrivals(Generic[T]):
    """At most ``total_max`` at once, half of them of one address that is not exempt.

    The oldest gives way, of the same address if that has too many: it has had the most time, and
    those who never finish would else keep their places.
    """

    def __init__(self, total_max: int, exempt: Sequence[Network]) -> None:
        self._total_max = total_max
        self._per_address_max = max(1, total_max // 2)
        self._exempt = tuple(exempt)
        self._addresses: dict[T, str] = {}
        """The slow messages' addresses in order of arrival; empty if exempt."""

    def __len__(self) -> int:
        return len(self._addresses)

    def came(self, who: T, address: str) -> T | None:
        """Counts ``who``, and returns the message that gives way to it, which is counted no
        more."""
        counted = counted_as(address, self._exempt)
        same = [one for one, other in self._addresses.items() if counted and other == counted]
        victim: T | None = None
        if len(same) >= self._per_address_max:
            victim = same[0]
        elif len(self._addresses) >= self._total_max:
            victim = next(iter(self._addresses))
        if victim is not None:
            del self._addresses[victim]
        self._addresses[who] = counted
        return victim

    def gone(self, who: T) -> None:
        """The message is complete, or given up."""
        self._addresses.pop(who, None)
